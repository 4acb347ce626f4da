"""How one actor lets go of what it and its children hold: in its clean-up, at its end, and without records."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from ..context import Context, Effects, Life
from ..errors import HandlerFailed
from ..nothing import NOTHING, without
from ..plan import Call, CleanupPlan
from ..records import Caller, Event
from ..resources import Resource
from ..spec import STEP_TIMEOUT_S
from .calls import call_once
from .cleanup import CleanupItem, CleanupReport, clean_up, is_gone
from .ending import refused_at_the_end, struck
from .scope import handler_failure, run_bounded

if TYPE_CHECKING:
    from ..actor import Actor

log = logging.getLogger("steward.custody")
Mode = Literal["recorded", "struck", "stopped"]
HALT_S: Final = STEP_TIMEOUT_S  # a step under way ends within its handlers' bound


class Custodian:
    """clean_up()'s view of an actor.

    mode recorded: its own clean-up; children are stopped, and the log says what became of them. struck: its parent
    strikes it for good, by force. stopped: the session stops in this process only; nothing is written.
    """

    def __init__(self, actor: Actor, mode: Mode = "recorded") -> None:
        self.actor = actor
        self.path = actor.path
        self.holdings = actor.holdings
        self._mode = mode

    def now(self) -> float:
        return self.actor.now()

    async def call_cleanup(self, call: Call, timeout_s: float) -> Any:
        """Outside the limits; without a log to write to, what it emits and sends goes nowhere."""
        event = self.actor.entered_by or Event("cleanup")
        life = Life(f"the clean-up of {self.path}")
        effects = None if self._mode == "recorded" else Effects()
        ctx = Context(self.actor, event, life, effects, is_limited=False)
        try:
            return await call_once(self.actor, call, ctx, timeout_s)
        finally:
            life.end()

    async def stop_children(self, timeout_s: float) -> list[CleanupItem]:
        """All at once; a child that is not at its end within the bound of its kind is struck by force."""
        children = list(self.actor.children.values())
        began = self.now()
        if self._mode == "recorded" and children:
            for child in children:
                child.post(Event("stop", sender=self.path))
            await asyncio.wait({child.ended() for child in children}, timeout=timeout_s)
        left = [child for child in children if not child.is_gone]
        await asyncio.gather(*(self._strike(child) for child in left))
        seconds = self.now() - began
        return [_child_item(child, began, seconds, forced=child in left) for child in children]

    async def _strike(self, child: Actor) -> None:
        refused = [update for one in child.subtree() for update in refused_at_the_end(one)]
        report = await dissolve(child, is_for_good=self._mode != "stopped")
        child.report = report.to_json()
        session = self.actor.session
        session.remove(child, [struck(child), *refused], is_recorded=self._mode == "recorded")
        if self._mode == "recorded":
            session.note_survivors(self.actor)


def _child_item(child: Actor, began: float, seconds: float, *, forced: bool) -> CleanupItem:
    verdict = "forced" if forced else "released"
    return CleanupItem("children", child.path, began - child.born_at, verdict, seconds, report=child.report)  # type: ignore[arg-type]


async def full_cleanup(actor: Actor, only: tuple[str, ...] = ()) -> CleanupReport:
    """The step `cleanup`: shutdown handlers, the entries in order, what children passed up; then, in an owned kind,
    what is left passes to the parent."""
    custodian = Custodian(actor)
    if only:
        return await clean_up(custodian, [entry for entry in actor.plan.cleanup if entry.kind in only])
    report = CleanupReport(await _shutdown_handlers(actor))
    report.items += (await clean_up(custodian, actor.plan.cleanup)).items
    report.items += await _settle_inherited(custodian)
    if actor.parent is not None:
        pass_up(actor, actor.parent)
        actor.session.note_survivors(actor.parent)
    return report


async def dissolve(actor: Actor, *, is_for_good: bool = False) -> CleanupReport:
    """Stop an actor and all below it in this process, without a record, and let go of what they hold.

    What survives a restart is left where it is, unless it is for good. What cannot be let go passes to the parent.
    """
    await actor.halt(HALT_S)
    await actor.close()
    custodian = Custodian(actor, "struck" if is_for_good else "stopped")
    for resource in actor.holdings.all():
        if resource.survives and not is_for_good:
            actor.holdings.drop(resource)
    report = CleanupReport(await _shutdown_handlers(actor))
    report.items += (await clean_up(custodian, actor.plan.cleanup)).items
    report.items += await _settle_inherited(custodian)
    if actor.parent is not None:
        pass_up(actor, actor.parent)
    return report


async def _shutdown_handlers(actor: Actor) -> list[CleanupItem]:
    """What handlers asked for with ctx.on_shutdown, last first, each within its bound."""
    items = []
    while actor.shutdown_handlers:
        *first, handler = actor.shutdown_handlers
        actor.shutdown_handlers = tuple(first)
        began = actor.now()
        if error := await _shut_down(actor, handler):
            name = getattr(handler, "__qualname__", repr(handler))
            items.append(CleanupItem("shutdown handler", name, 0.0, "forced", actor.now() - began, error))
    return items


async def _shut_down(actor: Actor, handler: Callable[[], Awaitable[None]]) -> str:
    async def call() -> None:
        await handler()

    try:
        await run_bounded(call(), actor.holdings, f"{actor.path} shutdown handler", STEP_TIMEOUT_S)
    except Exception as error:
        return handler_failure("shutdown handler", error).shown
    return ""


async def _settle_inherited(custodian: Custodian) -> list[CleanupItem]:
    """Look again at what children could not let go and no entry of ours covers."""
    actor = custodian.actor
    items = []
    own = {entry.kind for entry in actor.plan.cleanup}
    for resource, entry in list(actor.inherited.items()):
        if resource not in actor.holdings.held(resource.kind):
            actor.inherited = without(actor.inherited, resource)  # an entry of ours has let it go, and reported it
            continue
        gone = await is_gone(custodian, resource, entry)
        if gone:
            actor.holdings.drop(resource)
            actor.inherited = without(actor.inherited, resource)
        elif resource.kind in own:
            continue  # its entry has reported it
        name = f"{resource.name} (of {resource.owner})"
        verdict = "released" if gone else "leaked"
        age_s = actor.now() - resource.since
        items.append(CleanupItem(resource.kind, name, age_s, verdict, 0.0))  # type: ignore[arg-type]
    return items


def pass_up(actor: Actor, parent: Actor) -> None:
    """What actor could not let go is its parent's from now on: only a root can be stuck."""
    entries = {entry.kind: entry for entry in actor.plan.cleanup}
    for resource in actor.holdings.all():
        entry: CleanupPlan | None = actor.inherited.get(resource) or entries.get(resource.kind)
        where = f"{actor.session.sid}{actor.path}"
        log.warning("%s %s of %s passes to %s", resource.kind, resource.name, where, parent.path)
        actor.holdings.drop(resource)
        if resource.kind == "tasks":
            parent.holdings.adopt(resource.handle)
        else:
            parent.holdings.hold(resource, reserve=False)
            parent.inherited = {**parent.inherited, resource: entry}
    actor.inherited = NOTHING


def write_off(actor: Actor, call: Call, ctx: Context) -> None:
    """The built-in step: what leaked becomes the node's, on its audited list, so that the session may end."""
    if call.name != "write_off":
        raise HandlerFailed(call.name, "nonsense", f"{call.name} belongs into a run, not into a do", ref="spec")
    assert ctx.effects is not None, "the loader lets write_off stand in a do only"
    reason = str(ctx.event.payload.get("reason", ""))
    for resource in actor.holdings.all():
        ctx.effects.written_off[resource] = partial(_write_off, actor, resource, reason, ctx.event.caller)


def _write_off(actor: Actor, resource: Resource, reason: str, caller: Caller) -> None:
    actor.session.written_off(resource, reason, caller)
    actor.holdings.drop(resource)
    actor.inherited = without(actor.inherited, resource)


async def prove_clean(actor: Actor, written_off: Container[Resource] = ()) -> HandlerFailed | None:
    """Look at everything before a final state is committed (C1); None if nothing is held any more.

    written_off: what this very step passes to the node's audited list.
    """
    custodian = Custodian(actor)
    entries = {entry.kind: entry for entry in actor.plan.cleanup}
    left = [f"child {path}" for path in actor.children]
    for resource in actor.holdings.all():
        if resource in written_off:
            continue
        if await is_gone(custodian, resource, actor.inherited.get(resource) or entries.get(resource.kind)):
            actor.holdings.drop(resource)
            actor.inherited = without(actor.inherited, resource)
        else:
            left.append(f"{resource.kind} {resource.name}")
    if not left:
        return None
    return HandlerFailed("final", "leaked", f"still held: {', '.join(left)}", ref="report")
