"""One step of an actor, exactly: take, decide, do, commit, then memory (language.md, "A step, exactly").

Everything before the commit may fail and leaves nothing; everything after it cannot.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..codec import decode, encode
from ..context import Context, Effects, GuardContext, Life
from ..errors import HandlerFailed
from ..plan import Row
from ..records import Event, Outcome, Update
from ..spec import CONDITIONS
from ..tasks import call_owned
from .activity import show_failure
from .calls import as_failure, call_handler
from .custody import full_cleanup, prove_clean, write_off
from .decide import Decision, decide
from .ending import refused_at_the_end
from .intake import EXPIRED
from .mailbox import Item
from .scope import handler_failure

if TYPE_CHECKING:
    from ..actor import Actor

log = logging.getLogger("steward.step")


async def step(actor: Actor, item: Item) -> None:
    """Take one item from the mailbox to its outcome. Raises JournalError if the log takes nothing."""
    if item.is_withdrawn:
        return
    early = _early(actor, item)
    if early is not None:
        actor.session.settle(item, early)
    elif item.is_late is not None and item.is_late():
        actor.session.intake.refuse(item, EXPIRED)
    else:
        intake = actor.session.intake
        is_numbered = intake.begin(item)
        try:
            await _begin(actor, item)
        finally:
            if is_numbered:
                intake.end(item)


async def _begin(actor: Actor, item: Item) -> None:
    event = item.event
    try:
        decision = _decide(actor, event)
    except Exception as error:
        _do_failed(actor, item, as_failure(f"guard of {event.name}", error))
        return
    if decision.row is not None:
        await _take(actor, item, decision.row)
    elif decision.verb == "defer":
        _defer(actor, item)
    else:
        _answer(actor, item, decision)
    if event.name == "restored":
        actor.resume(event)


def _decide(actor: Actor, event: Event) -> Decision:
    """Raises what a guard raises; but nobody comes after `failed`, so there a guard that raises does not hold."""
    state, targets, ctx = actor.state_plan, actor.plan.targets, GuardContext(actor, event)
    try:
        return call_owned(actor.holdings, decide, state, targets, event, ctx)
    except Exception as error:
        if event.name != "failed":
            raise
        handler_failure("guard of failed", error)
        return call_owned(actor.holdings, partial(decide, is_lenient=True), state, targets, event, ctx)


def _early(actor: Actor, item: Item) -> Outcome | None:
    """The outcome of an event that came too late for its state, or came before."""
    event = item.event
    if event.activation and event.activation != actor.activation:
        return Outcome("ignored")
    if event.name in CONDITIONS and event.name not in actor.conditions:
        return Outcome("ignored")
    if event.command is not None and not item.is_offer:
        return actor.session.intake.known(event.command)
    return None


def _answer(actor: Actor, item: Item, decision: Decision) -> None:
    """Refused, ignored or already so: nothing changes, but the sender is told and a message counts as taken."""
    if decision.verb == "already":
        outcome = Outcome("done", value=actor.report, already=True)
    elif decision.verb == "refuse":
        outcome = Outcome("refused", decision.code, decision.message)
    else:
        outcome = Outcome("ignored")
    _note_taken(actor, item, outcome)


def _note_taken(actor: Actor, item: Item, outcome: Outcome) -> None:
    """One record for an event that changed nothing, if anything has to remember that it was taken."""
    event = item.event
    body = _consumed(item)
    if not body and event.command is None:
        actor.session.settle(item, outcome)
        return
    updates = _late_outcome(actor, item, outcome)
    actor.session.commit(actor, "taken", {"event": event.name, **body}, item, outcome, updates=updates)
    if item.is_offer:
        actor.mailbox.forget_deferred([event.id])


def _consumed(item: Item) -> dict[str, Any]:
    """What the record says so that the event counts once: a message, a deferred event, an end, a timer."""
    event = item.event
    body: dict[str, Any] = {}
    if item.is_offer:
        body["undeferred"] = [event.id]
    elif event.id:
        body["taken"] = event.id
    if event.activation:
        body["pays" if event.name in ("done", "failed") else "fired"] = event.name
    return body


def _late_outcome(actor: Actor, item: Item, outcome: Outcome) -> list[Update]:
    """What came of a deferred command, if it is not seen by its effects (M5)."""
    if not item.is_offer or item.event.command is None or outcome.ok:
        return []
    data = {"actor": actor.path, "status": outcome.status, "code": outcome.code, "message": outcome.message}
    return [Update("command.outcome", data, item.event.command)]


def _defer(actor: Actor, item: Item) -> None:
    if item.is_offer:
        return
    if actor.mailbox.is_full and not item.event.id:
        _note_taken(actor, item, Outcome("failed", "busy", "too many events wait already"))
        return
    outcome = Outcome("deferred")
    kept = replace(item.event, id=f"d{actor.session.log.rev + 1}")
    body = _consumed(item) | {"event": kept.to_json()}
    actor.session.commit(actor, "deferred", body, item, outcome)
    actor.mailbox.defer(kept)


async def _take(actor: Actor, item: Item, row: Row) -> None:
    """Run the row's `do`, prove a final state clean, then commit."""
    event = item.event
    draft = _Draft(actor, event)
    error = await _do(actor, row, draft.ctx)
    if error is not None and event.name == "failed":
        # Nobody comes after `failed`: its transition is taken with nothing but the error in its record.
        draft.life.end()
        draft = _Draft(actor, event)
    elif error is not None:
        draft.life.end()
        _do_failed(actor, item, error)
        return
    unclean = await _prove(actor, row, draft, event)
    draft.life.end()
    failure = unclean or await _commit(actor, item, row, draft, error)
    if failure is not None and event.name == "failed" and unclean is None:
        failure = await _commit(actor, item, row, _Draft(actor, event), failure)
    if failure is not None:
        _do_failed(actor, item, failure)


async def _prove(actor: Actor, row: Row, draft: _Draft, event: Event) -> HandlerFailed | None:
    """Look before a final state is entered (C1). What fails into its end has had no clean-up: it gets one here."""
    if row.to is None or not actor.plan.states[row.to].is_final:
        return None
    unclean = await prove_clean(actor, draft.effects.written_off)
    if unclean is not None and event.name == "failed":
        await full_cleanup(actor)
        unclean = await prove_clean(actor, draft.effects.written_off)
    return unclean


class _Draft:
    """What one step would change: its ctx, which dies with the step, and the effects it asked for."""

    def __init__(self, actor: Actor, event: Event) -> None:
        self.life = Life(f"the step of {actor.path} for {event.name}")
        self.effects = Effects()
        self.ctx = Context(actor, event, self.life, self.effects)


async def _do(actor: Actor, row: Row, ctx: Context) -> HandlerFailed | None:
    for call in row.do:
        try:
            if call.bound is None:
                write_off(actor, call, ctx)
            else:
                await call_handler(actor, call, ctx)
        except HandlerFailed as failure:
            return failure
    return None


def _do_failed(actor: Actor, item: Item, failure: HandlerFailed) -> None:
    """Nothing has changed. A sender outside is told; an event of the actor itself is followed by `failed`."""
    outcome = Outcome("failed", failure.code, f"{failure.handler} failed: {failure.shown}")
    event = item.event
    is_own_end = event.name == "done" and event.activation != 0
    if actor.state_plan.is_cleaning and not is_own_end:
        # A clean-up is left by its own end only; what another event's `do` did wrong is told, and no more.
        _note_taken(actor, item, outcome)
        return
    if event.origin in ("engine", "self") and event.name != "failed":
        followed = Event("failed", {"error": show_failure(failure)}, origin="self", activation=actor.activation)
        body = {"event": followed.to_json(), "holds": actor.holdings.surviving(), **_consumed(item)}
        actor.session.commit(actor, "owed", body)
        actor.post(followed)
        item.settle(outcome)
        return
    if event.name == "failed":
        log.error("%s%s stays in %s: %s", actor.session.sid, actor.path, actor.state, failure)
    _note_taken(actor, item, outcome)


async def _commit(
    actor: Actor, item: Item, row: Row, draft: _Draft, error: HandlerFailed | None
) -> HandlerFailed | None:
    """Write the step, then follow it in memory, then deliver. Gives the failure, with nothing changed, if what the
    handlers asked for is no JSON."""
    event, now = item.event, actor.now()
    body = _record_body(actor, item, row, draft, error, now)
    updates = [*draft.effects.updates, *_own_updates(actor, row, event)]
    try:
        messages = actor.session.commit(
            actor, "step", body, item, Outcome("done"), updates=updates, sends=draft.effects.sends
        )
    except TypeError as nonsense:
        return as_failure("do", HandlerFailed("do", "nonsense", f"an effect is no JSON: {nonsense}"))
    # Text at once: what is in the log is what memory gets, though a handler may still hold the draft.
    kept = encode(draft.ctx.draft) if draft.ctx.draft is not None else None
    if row.to is not None and actor.parent is None and actor.plan.states[row.to].is_final:
        # The end of a session leaves the process without anybody waiting for it: it is awaited here (M2).
        await actor.session.log.landed()
    draft.effects.apply()
    if kept is not None:
        actor.data = decode(kept)
        actor.holdings.account(len(kept))
    actor.report = body.get("report", actor.report)
    if item.is_offer:
        actor.mailbox.forget_deferred([event.id])
    if row.to is not None:
        await actor.leave()
        if not actor.plan.states[row.to].is_final:
            # leave() waits for a clean-up under way, which lets go of what the step's record still names (C1).
            actor.session.note_survivors(actor, body["holds"])
        actor.enter(row.to, event, now, body["deadlines"])
    else:
        actor.arm(body["deadlines"])
    actor.session.deliver(messages)
    return None


def _record_body(
    actor: Actor, item: Item, row: Row, draft: _Draft, error: HandlerFailed | None, now: float
) -> dict[str, Any]:
    event = item.event
    is_timer = "fired" in (consumed := _consumed(item))
    body: dict[str, Any] = {"event": event.name, "from": actor.state, **consumed}
    body["deadlines"] = {} if row.to is None and is_timer else actor.deadlines(row.to, now)
    body["holds"] = actor.holdings.surviving()
    if error is not None:
        body["error"] = show_failure(error)
    if draft.ctx.draft is not None:
        body["data"] = draft.ctx.draft
    if event.origin == "self" and "report" in event.payload:
        body["report"] = event.payload["report"]
    if row.to is not None:
        _describe_entry(actor, body, row.to, event)
    return body


def _describe_entry(actor: Actor, body: dict[str, Any], target: str, event: Event) -> None:
    body["to"] = target
    body["by"] = event.to_json()
    if target in actor.plan.entries_kept and event.name != "restored":
        body["counted"] = actor.plan.entries_kept[target]
    if actor.plan.states[target].is_final:
        body["ended"] = True
        body["undeferred"] = [one.id for one in actor.mailbox.deferred]


def _own_updates(actor: Actor, row: Row, event: Event) -> list[Update]:
    """The change of state, and, at the end, what was deferred and found no state that takes it (M5)."""
    if row.to is None:
        return []
    data = {"actor": actor.path, "from": actor.state, "to": row.to, "event": event.name}
    if not actor.plan.states[row.to].is_final:
        return [Update(f"{actor.kind}.state", data, event.command)]
    last = Update(f"{actor.kind}.state", {**data, "final": True}, event.command)
    return [last, *refused_at_the_end(actor)]
