"""SessionHealthMonitor: runs the checks that the file declares, and raises `unhealthy` where they keep failing."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .actor import Actor
from .clock import Timer
from .context import GuardContext
from .errors import Refused
from .records import Event
from .registry import Bound
from .steps.conditions import set_condition
from .steps.scope import handler_failure, run_bounded
from .tasks import call_owned, engine_task

if TYPE_CHECKING:
    from .sessions import SessionManager

CHECK_TIMEOUT_S: Final = 2.0
CHECKS_AT_ONCE: Final = 64  # actors that are examined at the same time; a slow check delays its neighbours' by little

log = logging.getLogger("steward.health")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one actor that found something ill."""

    actor: str
    check: str
    text: str


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """A session now. counts: tasks, files, processes and memory (bytes) of the session and all below it."""

    sid: str
    state: str
    is_healthy: bool
    findings: tuple[Finding, ...]
    counts: dict[str, int]
    connections: int


class SessionHealthMonitor:
    """One timer for all; an actor's checks run when its kind's `every` has passed."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None
        every = [plan.check_every_s for plan in manager.plans.values() if plan.checks]
        self._every_s = min(every, default=0.0)
        self._due: dict[str, float] = {}

    def start(self) -> None:
        if self._every_s:
            self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _arm(self) -> None:
        self._timer = self._manager.clock.call_at(self._manager.clock.now() + self._every_s, self._begin)

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = engine_task(self._pass(), "health pass")
        self._arm()

    async def _pass(self) -> None:
        now = self._manager.clock.now()
        due = [kind for kind, plan in self._manager.plans.items() if plan.checks and self._due.get(kind, 0.0) <= now]
        for kind in due:
            self._due[kind] = now + self._manager.plans[kind].check_every_s - 0.001
        sessions = self._manager.sessions()
        actors = (actor for session in sessions for actor in session.find_actors() if actor.kind in due)
        async with asyncio.TaskGroup() as lanes:  # over when all are; to cancel it ends them all
            for _ in range(CHECKS_AT_ONCE):
                lanes.create_task(self._examine(actors), name="health lane")

    async def _examine(self, actors: Iterator[Actor]) -> None:
        """One after another: as many do so as checks run at once, and each gives way in between. (A task for each of
        50,000 actors made the pass slower by half, and one turn of the loop a second long.)"""
        for actor in actors:
            if not _is_past_checks(actor):
                await self._examine_one(actor)
                await asyncio.sleep(0)

    async def _examine_one(self, actor: Actor) -> None:
        """What goes wrong here is this actor's; those behind it are looked at all the same (R1)."""
        try:
            findings = await self._findings(actor)
        except Exception as error:
            log.exception("the checks of %s%s could not be run", actor.session.sid, actor.path)
            findings = [Finding(actor.path, "health", f"its checks could not be run: {type(error).__name__}")]
        self._judge(actor, findings)

    def _judge(self, actor: Actor, findings: list[Finding]) -> None:
        if _is_past_checks(actor):
            return
        actor.ill_checks = actor.ill_checks + 1 if findings else 0
        for finding in findings:
            log.warning("%s%s is ill: %s: %s", actor.session.sid, actor.path, finding.check, finding.text)
        set_condition(actor, "unhealthy", holds=actor.ill_checks >= actor.plan.unhealthy_after)

    async def _findings(self, actor: Actor) -> list[Finding]:
        found = [(check, await self._ask(actor, check)) for check in actor.plan.checks]
        return [Finding(actor.path, check.name, text) for check, text in found if text]

    async def _ask(self, actor: Actor, check: Bound) -> str | None:
        try:
            answer: Any = call_owned(actor.holdings, check, GuardContext(actor, Event("health")))
            if inspect.iscoroutine(answer):
                answer = await run_bounded(answer, actor.holdings, f"{actor.path} check {check.name}", CHECK_TIMEOUT_S)
            return None if answer is None else call_owned(actor.holdings, str, answer)
        except Exception as error:
            return f"the check itself failed: {handler_failure(check.name, error).shown}"

    async def check_session_health(self, sid: str) -> HealthStatus:
        """Run all checks of a session now. Raises Refused if it is not live, JournalError if it cannot be woken."""
        session = await self._manager.find(sid)
        if session is None or session.root is None:
            raise Refused("unknown_session", "there is no such session that is up")
        found = [one for actor in session.find_actors() for one in await self._findings(actor)]
        counts = dict(session.root.holdings.ledger.counts)
        return HealthStatus(sid, session.state, not found, tuple(found), counts, session.connections)


def _is_past_checks(actor: Actor) -> bool:
    return actor.is_halted or actor.is_ending
