"""SessionManager: the one directory of sessions; creation, limits, the way back from the log, leaving."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from .admission import Admission
from .archive import RETENTION_S, SWEEP_S, Archive
from .arrivals import Arrivals
from .audit import WRITTEN_OFF_MAX, WrittenOff
from .clock import Clock, Timer
from .errors import Fenced, JournalError, Refused
from .family import add_actor
from .health import SessionHealthMonitor
from .intake import NOT_SERVED
from .journal.base import Journal, SessionRow, TokenRow
from .machine import LifecycleMachine, only_root, plan_of
from .places import Places
from .plan import KindPlan
from .records import ROOT, Caller, Command, Event, Origin, Outcome
from .recovery import Recovery, Stored, refuse_vanished
from .resources import Resource
from .session import Leak, Session
from .sessionlog import SessionLog
from .state import SessionImage
from .tasks import EngineTasks, install_task_factory, remove_task_factory
from .watchdog import Watchdog

SID_BYTES: Final = 16

log = logging.getLogger("steward.sessions")


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
        self.plans: Mapping[str, KindPlan] = {kind: plan_of(machine) for kind, machine in machines.items()}
        self.services: Mapping[str, Any] = dict(services or {})
        self.random = random_source or random.Random()
        self.written_off_list: deque[WrittenOff] = deque(maxlen=WRITTEN_OFF_MAX)
        self.arrivals = Arrivals()
        self.is_leaving = False
        self.created = 0
        self.finished = 0
        self.clock: Clock
        self.root_kind = root_kind or only_root(self.plans)
        self._journal = journal
        self._recovery = Recovery(journal, self.random)
        self._found: list[Stored] = []
        self._returning: set[str] = set()
        self._token_bytes = token_bytes
        self._sessions: dict[str, Session] = {}
        self._archive = Archive(journal, self._load_ended, retention_s=retention_s)
        self._places = Places(self.plans[self.root_kind].limits)
        self._tasks = EngineTasks()
        self._sweep: Timer | None = None
        self._monitor = SessionHealthMonitor(self)
        self._watchdog = Watchdog()
        self.admission = Admission(lambda: self._watchdog.lag_s, self._store_moved, self.random)

    # Life of the manager

    async def start(self) -> None:
        """Open the journal and bring every stored session back. Raises JournalError if it does not open, StewardError
        if stored actors are in states that the file no longer has."""
        loop = asyncio.get_running_loop()
        self.clock = Clock(loop)
        install_task_factory(loop)
        await self._journal.open()
        for row in await self._journal.sessions():
            if row.ended_at is None:
                await self._come_back(row)
        refuse_vanished(self._found, self.plans)
        for stored in self._found:
            self._bring_back(stored)
            self.created += 1
        self._found.clear()
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
            # Creations and rebuilds under way: each leaves a whole session in the log, or none.
            await self._tasks.end(grace_s / 4)
            ending = [one.ended for one in self._sessions.values() if _is_cleaning(one)]
            if ending:
                await asyncio.wait(ending, timeout=grace_s / 4)
            async with asyncio.timeout(grace_s / 2):
                await asyncio.gather(*(session.dissolve() for session in list(self._sessions.values())))
        except TimeoutError:
            log.error("the grace of %g s is over; %d sessions were cut short", grace_s, len(self._sessions))
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        await self._tasks.end(0)
        self._watchdog.stop()
        self.admission.stop()
        self.clock.close()
        left = list(self._sessions.values())
        self._sessions.clear()
        for session in (one for one in left if not one.log.is_settled):
            session.log.abandon(JournalError("this server has left"))
        remove_task_factory(asyncio.get_running_loop())
        await self._journal.close()

    # Sessions

    @property
    def live(self) -> int:
        """Sessions that are up or being created; exactly what the limit `live` counts."""
        return self._places.taken

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Stored sessions that are left as they are, by sid, and why (R4)."""
        return self._recovery.unreadable

    def sessions(self) -> list[Session]:
        return list(self._sessions.values())

    def counts(self) -> dict[str, Any]:
        states = Counter(session.state for session in self._sessions.values())
        return {
            "created": self.created,
            "final": self.finished,
            "live": self._places.taken,
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
        LimitExceeded, Refused (leaving, store_unavailable, overloaded) or JournalError; then nothing of it is left
        (C5). Cancelling the caller leaves a whole session or none.
        """
        if self.is_leaving:
            raise _leaving()
        if (refused := self.admission.refusal_of_session()) is not None:
            raise refused
        self._places.reserve(user)
        try:
            sid = "s." + base64.b32encode(self._token_bytes(SID_BYTES)).decode().lower().rstrip("=")
            row = SessionRow(sid, user, self._token_bytes(6).hex(), self.clock.now())
            right = token(sid) if callable(token) else token
            content = {**(data or {}), "roles": sorted(roles)}
            making = self._tasks.start(self._make(row, content, right), f"{sid} create")
        except BaseException:
            self._places.give_back(user)
            raise
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            if making.cancelled() and self.is_leaving:
                raise _leaving() from None
            raise

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
            self._places.give_back(row.user)
            raise
        if self.is_leaving:
            # It is in the log, whole: the next process ends it, as one that was still beginning.
            self._places.give_back(row.user)
            raise _leaving()
        self.created += 1
        self._sessions[row.sid] = session
        root.conditions.hold("last_connection_lost")
        root.start(Event("created"))
        return session

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
        try:
            session = await self.find(sid)
        except JournalError:
            return NOT_SERVED
        if session is None:
            return Outcome("refused", "unknown_session", "there is no such session")
        waiter = session.intake.submit(
            to, name, payload or {}, origin=origin, caller=caller or Caller(), command=command
        )
        return await asyncio.shield(waiter)

    async def find(self, sid: str) -> Session | None:
        """A session that is up, or an ended one while its log is kept; None otherwise.

        Raises JournalError if the store does not answer, or has not for this session since the start.
        """
        if sid in self._sessions:
            return self._sessions[sid]
        if sid in self._returning:
            raise JournalError("the session is being brought back; try again")
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
            self._places.give_back(session.user)
            self._recovery.forget(session.sid)
        self._archive.keep(session)

    def session_failed(self, session: Session, error: Exception) -> None:
        log.error("session %s is rebuilt from its log: %s", session.sid, error, extra={"sid": session.sid})
        if session.sid in self._sessions and not self.is_leaving:
            self._tasks.start(self._rebuild(session, error), f"{session.sid} rebuild")

    def written_off(self, session: Session, resource: Resource, reason: str, caller: Caller) -> None:
        entry = WrittenOff(session.sid, resource.kind, resource.name, reason, caller.user, self.clock.now())
        self.written_off_list.append(entry)
        log.warning("written off: %s %s of %s by %r: %s", entry.kind, entry.name, entry.sid, entry.user, reason)

    async def _rebuild(self, session: Session, error: Exception) -> None:
        """Stop what is left of it in memory, then bring it back from its log, however long the store needs."""
        leaks = await session.dissolve()
        stored = None
        if isinstance(error, Fenced):
            self._recovery.name_unreadable(session.sid, error)  # another writer has it: not ours any more (L6)
        else:
            await self._recovery.pause_before_rebuild(session.sid, self.clock.now())
            stored = await self._recovery.read_patiently(session.sid)
        self._sessions.pop(session.sid, None)
        self._places.give_back(session.user)
        if stored is not None:
            self._bring_back(stored, leaks)

    async def _come_back(self, row: SessionRow) -> None:
        """Read one stored session at the start; one that the store cannot give now comes back when it can."""
        try:
            stored = await self._recovery.read(row)
        except JournalError:
            self._returning.add(row.sid)
            self._tasks.start(self._return(row.sid), f"{row.sid} return")
            return
        if stored is not None:
            self._found.append(stored)

    async def _return(self, sid: str) -> None:
        stored = await self._recovery.read_patiently(sid)
        self._returning.discard(sid)
        if stored is not None:
            self.created += 1
            self._bring_back(stored)

    def _bring_back(self, stored: Stored, leaks: Iterable[Leak] = ()) -> None:
        row = stored.row
        session = Session(self, row, self._log(row), stored.image)
        self._sessions[row.sid] = session
        self._places.take(row.user)
        session.restore(leaks)

    def _log(self, row: SessionRow) -> SessionLog:
        def failed(error: Exception) -> None:
            session = self._sessions.get(row.sid)
            if session is not None:
                session.fail(error)

        return SessionLog(self._journal, row, failed, self.admission)

    def _store_moved(self) -> None:
        """It went away, or came back: whoever is connected is told."""
        for session in self._sessions.values():
            session.log.tell_degraded()

    async def _load_ended(self, row: SessionRow) -> Session | None:
        found = await self._recovery.read(row)
        return Session(self, found.row, self._log(found.row), found.image) if found is not None else None

    def _sweep_archive(self) -> None:
        self._tasks.start(self._archive.sweep(self.clock), "sweep of old logs")
        self._sweep = self.clock.call_at(self.clock.now() + SWEEP_S, self._sweep_archive)


def _leaving() -> Refused:
    return Refused("leaving", "this server is leaving; dial again", retry_ms=1000)


def _is_cleaning(session: Session) -> bool:
    return session.root is not None and not session.is_failed and session.root.state_plan.is_cleaning
