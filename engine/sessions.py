"""SessionManager: the one directory of sessions; creation, limits, the way back from the log, leaving."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import secrets
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .archive import RETENTION_S, SWEEP_S, Archive
from .clock import Clock, Timer
from .errors import JournalError, LimitExceeded, Refused, StewardError
from .family import add_actor
from .health import SessionHealthMonitor
from .journal.base import Journal, SessionRow, TokenRow
from .machine import LifecycleMachine
from .plan import KindPlan
from .records import ROOT, Caller, Command, Event, Origin, Outcome
from .recovery import Stored, read_back, refuse_vanished
from .resources import Resource
from .session import Session
from .sessionlog import SessionLog
from .state import SessionImage
from .tasks import engine_task, install_task_factory, remove_task_factory
from .watchdog import Watchdog

WRITTEN_OFF_MAX: Final = 1000
REBUILDS_MAX: Final = 5
REBUILD_BACKOFF_S: Final = 0.5
SID_BYTES: Final = 16

log = logging.getLogger("steward.sessions")


@dataclass(frozen=True, slots=True)
class WrittenOff:
    """A leak that an admin passed to the node: named, and kept track of."""

    sid: str
    kind: str
    name: str
    reason: str
    user: str
    at: float


class SessionManager:
    """All sessions of this process. start() before anything else, shutdown() last; one loop."""

    def __init__(
        self,
        machines: Mapping[str, LifecycleMachine],
        journal: Journal,
        *,
        services: Mapping[str, Any] | None = None,
        root_kind: str | None = None,
        random_source: random.Random | None = None,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
        retention_s: float = RETENTION_S,
    ) -> None:
        self.machines = machines
        self.plans: Mapping[str, KindPlan] = {kind: _plan(machine) for kind, machine in machines.items()}
        self.targets = {kind: _targets(plan) for kind, plan in self.plans.items()}
        self.services: Mapping[str, Any] = dict(services or {})
        self.random = random_source or random.Random()
        self.written_off_list: deque[WrittenOff] = deque(maxlen=WRITTEN_OFF_MAX)
        self.unreadable: dict[str, str] = {}
        self.is_leaving = False
        self.created = 0
        self.finished = 0
        self.clock: Clock
        self.root_kind = root_kind or self._only_root()
        self._journal = journal
        self._token_bytes = token_bytes
        self._sessions: dict[str, Session] = {}
        self._archive = Archive(journal, self._load_ended, retention_s=retention_s)
        self._users: Counter[str] = Counter()
        self._reserved = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sweep: Timer | None = None
        self._monitor = SessionHealthMonitor(self)
        self._watchdog = Watchdog()

    def _only_root(self) -> str:
        roots = [kind for kind, plan in self.plans.items() if plan.is_root]
        if len(roots) != 1:
            raise StewardError(f"which kind is a session? nobody owns any of: {', '.join(roots)}")
        return roots[0]

    # Life of the manager

    async def start(self) -> None:
        """Open the journal and bring every stored session back. Raises JournalError if it does not open, StewardError
        if stored actors are in states that the file no longer has."""
        loop = asyncio.get_running_loop()
        self.clock = Clock(loop)
        install_task_factory(loop)
        await self._journal.open()
        stored = [row for row in await self._journal.sessions() if row.ended_at is None]
        found = [one for row in stored if (one := await self._read(row)) is not None]
        refuse_vanished(found, self.plans)
        for one in found:
            self._bring_back(one)
        self._monitor.start()
        self._watchdog.start(loop)
        self._sweep = self.clock.call_at(self.clock.now() + SWEEP_S, self._sweep_archive)

    async def shutdown(self, grace_s: float) -> None:
        """Leave: refuse what is new, give sessions that are ending half the grace, stop the rest without a record.

        What has not ended goes on in the next process. Cancelling ends the grace: the journal is closed at once.
        """
        self.is_leaving = True
        self._monitor.stop()
        if self._sweep is not None:
            self._sweep.cancel()
        try:
            ending = [one.ended for one in self._sessions.values() if one.root and one.root.state_plan.is_cleaning]
            if ending:
                await asyncio.wait(ending, timeout=grace_s / 2)
            async with asyncio.timeout(grace_s / 2):
                await asyncio.gather(*(session.dissolve() for session in list(self._sessions.values())))
        except TimeoutError:
            log.error("the grace of %g s is over; %d sessions were cut short", grace_s, len(self._sessions))
        finally:
            for task in self._tasks:
                task.cancel()
            self._watchdog.stop()
            self.clock.close()
            self._sessions.clear()
            await self._journal.close()
            remove_task_factory(asyncio.get_running_loop())

    # Sessions

    @property
    def live(self) -> int:
        """Sessions that are up or being created; exactly what the limit `live` counts."""
        return self._reserved

    def sessions(self) -> list[Session]:
        return list(self._sessions.values())

    def counts(self) -> dict[str, Any]:
        states = Counter(session.state for session in self._sessions.values())
        return {
            "created": self.created,
            "final": self.finished,
            "live": self._reserved,
            "by_state": dict(sorted(states.items())),
            "timers": len(self.clock),
            "unreadable": len(self.unreadable),
            "written_off": len(self.written_off_list),
        }

    async def create(
        self,
        *,
        user: str = "",
        roles: frozenset[str] = frozenset(),
        data: Mapping[str, Any] | None = None,
        token: TokenRow | Callable[[str], TokenRow] | None = None,
    ) -> Session:
        """A new session, in the log on return; its life goes on by itself from there.

        data: the root's first data. token: the first right to it, or what makes it from the sid. Raises
        LimitExceeded, Refused (leaving) or JournalError; then nothing of it is left (C5). Cancelling the caller
        leaves a whole session or none.
        """
        if self.is_leaving:
            raise Refused("leaving", "this server is leaving; dial again", retry_ms=1000)
        self._reserve(user)
        try:
            sid = "s." + base64.b32encode(self._token_bytes(SID_BYTES)).decode().lower().rstrip("=")
            row = SessionRow(sid, user, self._token_bytes(6).hex(), self.clock.now())
            right = token(sid) if callable(token) else token
            content = {**(data or {}), "roles": sorted(roles)}
            making = self._own(engine_task(self._make(row, content, right), f"{sid} create"))
        except BaseException:
            self._give_back(user)
            raise
        return await asyncio.shield(making)

    async def _make(self, row: SessionRow, data: dict[str, Any], token: TokenRow | None) -> Session:
        session = Session(self, row, self._log(row), SessionImage())
        try:
            tokens = (token,) if token is not None else ()
            root = add_actor(session, self.root_kind, None, ROOT, data, row=row, tokens=tokens)
            await session.log.drain()
            if session.log.error is not None:
                raise JournalError(f"the session was not stored: {session.log.error}")
        except BaseException:
            session.is_failed = True
            self._give_back(row.user)
            raise
        self.created += 1
        self._sessions[row.sid] = session
        root.conditions.add("last_connection_lost")
        root.start(Event("created"))
        return session

    def _reserve(self, user: str) -> None:
        limits = self.plans[self.root_kind].limits
        if limits.live is not None and self._reserved >= limits.live:
            raise LimitExceeded("live", limits.live, f"{limits.live} sessions are live already", retry_ms=5000)
        if limits.live_per_user is not None and self._users[user] >= limits.live_per_user:
            message = f"{limits.live_per_user} of your sessions are live already; end one"
            raise LimitExceeded("live_per_user", limits.live_per_user, message)
        self._reserved += 1
        self._users[user] += 1

    def _give_back(self, user: str) -> None:
        self._reserved -= 1
        self._users[user] -= 1
        if not self._users[user]:
            del self._users[user]

    async def send(
        self,
        sid: str,
        *,
        to: str = ROOT,
        name: str,
        payload: Mapping[str, Any] | None = None,
        origin: Origin = "client",
        caller: Caller | None = None,
        command: Command | None = None,
    ) -> Outcome:
        """What became of an event from outside, once it is durable. Cancelling the wait cancels nothing else (M6)."""
        session = await self.find(sid)
        if session is None:
            return Outcome("refused", "unknown_session", "there is no such session")
        waiter = session.intake.submit(
            to, name, payload or {}, origin=origin, caller=caller or Caller(), command=command
        )
        return await asyncio.shield(waiter)

    async def find(self, sid: str) -> Session | None:
        """A session that is up, or an ended one while its log is kept; None otherwise."""
        if sid in self._sessions:
            return self._sessions[sid]
        return await self._archive.find(sid)

    async def token(self, digest: bytes) -> TokenRow | None:
        """The right that a token's SHA-256 stands for."""
        return await self._journal.token(digest)

    async def tokens(self, sid: str) -> list[TokenRow]:
        return await self._journal.tokens(sid)

    async def check_session_health(self, sid: str) -> Any:
        """See SessionHealthMonitor.check."""
        return await self._monitor.check_session_health(sid)

    # What sessions tell us

    def session_ended(self, session: Session) -> None:
        if self._sessions.pop(session.sid, None) is not None:
            self.finished += 1
            self._give_back(session.user)
        self._archive.keep(session)

    def session_failed(self, session: Session, error: Exception) -> None:
        log.error("session %s is rebuilt from its log: %s", session.sid, error, extra={"sid": session.sid})
        if session.sid in self._sessions and not self.is_leaving:
            self._own(engine_task(self._rebuild(session), f"{session.sid} rebuild"))

    def written_off(self, session: Session, resource: Resource, reason: str, caller: Caller) -> None:
        entry = WrittenOff(session.sid, resource.kind, resource.name, reason, caller.user, self.clock.now())
        self.written_off_list.append(entry)
        log.warning("written off: %s %s of %s by %r: %s", entry.kind, entry.name, entry.sid, entry.user, reason)

    async def _rebuild(self, session: Session) -> None:
        """Stop what is left of it in memory, then bring it back; the store may need a while."""
        await session.dissolve()
        for attempt in range(REBUILDS_MAX):
            try:
                row = await self._journal.session(session.sid)
                found = await self._read(row) if row is not None else None
            except JournalError as error:
                log.warning("session %s does not come back yet: %s", session.sid, error)
                await asyncio.sleep(REBUILD_BACKOFF_S * 2**attempt)
                continue
            self._sessions.pop(session.sid, None)
            self._give_back(session.user)
            if found is not None:
                self._bring_back(found)
            return
        self.unreadable[session.sid] = "the store refused it until the attempts were used up"
        self._sessions.pop(session.sid, None)
        self._give_back(session.user)

    async def _read(self, row: SessionRow) -> Stored | None:
        """A stored session; None, and named, if it cannot be read: it is left as it is (R4)."""
        try:
            return await read_back(self._journal, row)
        except (StewardError, ValueError) as error:
            self.unreadable[row.sid] = str(error)
            log.error("session %s is left as it is: %s", row.sid, error, extra={"sid": row.sid})
            return None

    def _bring_back(self, stored: Stored) -> None:
        row = stored.row
        session = Session(self, row, self._log(row), stored.image)
        self._sessions[row.sid] = session
        self._reserved += 1
        self._users[row.user] += 1
        session.restore()

    def _log(self, row: SessionRow) -> SessionLog:
        def failed(error: Exception) -> None:
            session = self._sessions.get(row.sid)
            if session is not None:
                session.fail(error)

        return SessionLog(self._journal, row, failed)

    async def _load_ended(self, row: SessionRow) -> Session | None:
        found = await self._read(row)
        return Session(self, found.row, self._log(found.row), found.image) if found is not None else None

    def _sweep_archive(self) -> None:
        self._own(engine_task(self._archive.sweep(self.clock), "sweep of old logs"))
        self._sweep = self.clock.call_at(self.clock.now() + SWEEP_S, self._sweep_archive)

    def _own(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed: %s", task.get_name(), error)


def _plan(machine: LifecycleMachine) -> KindPlan:
    if machine.plan is None:
        raise StewardError(f"the machine {machine.name!r} was not compiled from a lifecycle file")
    return machine.plan


def _targets(plan: KindPlan) -> frozenset[str]:
    """Events that the machine's own rows take somewhere."""
    return frozenset(name for name, rows in plan.machine_rows.items() if any(row.to for row in rows))
