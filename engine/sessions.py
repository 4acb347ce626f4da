"""SessionManager: the one directory of sessions; creation, limits, the way back from the log, leaving."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from .clock import Clock
from .errors import JournalError, Refused
from .health import SessionHealthMonitor
from .journal.base import Journal, SessionRow, TokenRow
from .live.admission import Admission
from .live.arrivals import Arrivals
from .live.audit import WRITTEN_OFF_MAX, WrittenOff
from .live.rest import Rest
from .live.revival import rouse
from .live.roster import Roster, Sleeper
from .live.upkeep import Upkeep
from .log.archive import RETENTION_S, Archive
from .log.backlog import LASTING
from .log.recovery import Recovery
from .log.sessionlog import SessionLog
from .log.state import SessionImage
from .log.transfer import Transfer
from .log.trimming import LogLimits, Trimmer
from .machine import LifecycleMachine, only_root, plan_of
from .names import new_epoch, new_sid
from .observer import Observer
from .plan import KindPlan
from .records import ROOT, Caller, Command, Event, Origin, Outcome
from .resources import Resource
from .session import Session
from .steps.conditions import hold
from .steps.family import add_actor
from .steps.intake import NOT_SERVED
from .tasks import EngineTasks, install_task_factory, remove_task_factory, result_of
from .watchdog import Watchdog

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
        utc: Callable[[], float] = time.time,
        retention_s: float = RETENTION_S,
        idle_memory_s: float | None = None,
        log_limits: LogLimits | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.machines = machines
        self.plans: Mapping[str, KindPlan] = {kind: plan_of(machine) for kind, machine in machines.items()}
        self.services: Mapping[str, Any] = dict(services or {})
        self.random = random_source or random.Random()
        self.written_off_list: deque[WrittenOff] = deque(maxlen=WRITTEN_OFF_MAX)
        self.arrivals = Arrivals()
        self.observer = observer or Observer()
        self.is_leaving = False
        self.clock: Clock
        self.root_kind = root_kind or only_root(self.plans)
        self._journal = journal
        self._token_bytes = token_bytes
        self._utc = utc
        self._roster = Roster(self.plans[self.root_kind].limits)
        self._tasks = EngineTasks()
        self.trimmer = Trimmer(journal, self._tasks, log_limits)
        self._recovery = Recovery(journal, self.plans, self.random)
        self._archive = Archive(journal, self._load_ended, retention_s=retention_s)
        self._rest = Rest(self, self._roster, journal, self._recovery, self._tasks)
        self._upkeep = Upkeep(
            self, self._roster, journal, self._recovery, self._archive, self._rest, self._tasks, idle_memory_s
        )
        self.transfer = Transfer(
            self, self._roster, journal, self._archive, self._tasks, token_bytes, self._upkeep.doubt
        )
        self._monitor = SessionHealthMonitor(self)
        self._watchdog = Watchdog()
        self.admission = Admission(lambda: self._watchdog.lag_s, self._store_moved, self.random, self.observer)

    # Life of the manager

    async def start(self) -> None:
        """Open the journal and bring every stored session back. Raises JournalError if it does not open, StewardError
        if stored actors are in states that the file no longer has."""
        loop = asyncio.get_running_loop()
        self.clock = Clock(loop, utc=self._utc())
        install_task_factory(loop)
        await self._journal.open()
        await self._upkeep.start()
        self._monitor.start()
        self._watchdog.start(loop)

    async def shutdown(self, grace_s: float) -> None:
        """Leave: refuse what is new, give sessions that are ending half the grace, stop the rest without a record.

        What has not ended goes on in the next process. Cancelling ends the grace: the journal is closed at once.
        """
        self.is_leaving = True
        self._monitor.stop()
        self._upkeep.stop()
        try:
            # Creations and rebuilds under way: each leaves a whole session in the log, or none.
            await self._tasks.end(grace_s / 4)
            ending = [one.ended for one in self.sessions() if _is_cleaning(one)]
            if ending:
                await asyncio.wait(ending, timeout=grace_s / 4)
            async with asyncio.timeout(grace_s / 2):
                await asyncio.gather(self._rest.all_gone(), *(one.dissolve() for one in self.sessions()))
        except TimeoutError:
            if cut := self.sessions():
                log.error("the grace of %g s is over; %d sessions were cut short", grace_s, len(cut))
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        await self._tasks.end(0)
        self._watchdog.stop()
        self.admission.stop()
        self.clock.close()
        left = self.sessions()
        self._roster.up.clear()
        for session in (one for one in left if not one.log.is_settled):
            session.log.abandon(JournalError("this server has left"))
        remove_task_factory(asyncio.get_running_loop())
        await self._journal.close()

    # Sessions

    @property
    def live(self) -> int:
        """Sessions that are up or being created; exactly what the limit `live` counts."""
        return self._roster.places.taken

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Stored sessions that are left as they are, by sid, and why (R4)."""
        return self._recovery.unreadable

    @property
    def created(self) -> int:
        return self._roster.created

    @property
    def finished(self) -> int:
        return self._roster.finished

    def sessions(self) -> list[Session]:
        """Those that are in memory."""
        return list(self._roster.up.values())

    def asleep(self) -> list[Sleeper]:
        """Those that left memory and come back for whatever is next; they are live like the others."""
        return list(self._roster.asleep.values())

    def counts(self) -> dict[str, Any]:
        return {
            "created": self.created,
            "final": self.finished,
            "live": self.live,
            "asleep": len(self._roster.asleep),
            "by_state": self._roster.states(),
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
        self._roster.places.reserve(user)
        try:
            sid = new_sid(self._token_bytes)
            row = SessionRow(sid, user, new_epoch(self._token_bytes), self.clock.now())
            right = token(sid) if callable(token) else token
            content = {**(data or {}), "roles": sorted(roles)}
            making = self._tasks.start(self._make(row, content, right), f"{sid} create")
        except BaseException:
            self._roster.places.give_back(user)
            raise
        return await result_of(making, _leaving)

    async def _make(self, row: SessionRow, data: dict[str, Any], token: TokenRow | None) -> Session:
        session = self.build(row, SessionImage())
        self._roster.coming.add(row.sid)
        try:
            tokens = (token,) if token is not None else ()
            root = add_actor(session, self.root_kind, None, ROOT, data, row=row, tokens=tokens)
            await session.log.drain()
            if session.log.error is not None:
                raise JournalError(f"the session was not stored: {session.log.error}")
        except BaseException:
            session.is_failed = True
            self._roster.places.give_back(row.user)
            if session.log.error is not None and not isinstance(session.log.error, LASTING):
                self._upkeep.doubt(row.sid)
            raise
        finally:
            self._roster.coming.discard(row.sid)
        if self.is_leaving:
            # It is in the log, whole: the next process ends it, as one that was still beginning.
            self._roster.places.give_back(row.user)
            raise _leaving()
        self._roster.created += 1
        self._roster.up[row.sid] = session
        self.observer.created(session)
        hold(root, "last_connection_lost")
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
        session = self._roster.up.get(sid)
        if session is None and sid in self._roster.asleep:
            session = await self._rest.wake(sid)
        if session is not None:
            session.touched_at = self.clock.now()
            rouse(session)
            return session
        if sid in self._roster.coming or sid in self._upkeep.unsure:
            raise JournalError("the session is being brought back; try again")
        session = await self._archive.find(sid)
        if session is None and not self.is_leaving and sid not in self.unreadable:
            await self._upkeep.require_unknown(sid)
        return session

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
        self._roster.end(session)
        self._archive.keep(session)

    def session_failed(self, session: Session, error: Exception) -> None:
        log.error("session %s is rebuilt from its log: %s", session.sid, error, extra={"sid": session.sid})
        if session.sid in self._roster.up and not self.is_leaving:
            self._upkeep.rebuild(session, error)

    def written_off(self, session: Session, resource: Resource, reason: str, caller: Caller) -> None:
        entry = WrittenOff(session.sid, resource.kind, resource.name, reason, caller.user, self.clock.now())
        self.written_off_list.append(entry)
        log.warning("written off: %s %s of %s by %r: %s", entry.kind, entry.name, entry.sid, entry.user, reason)

    def build(self, row: SessionRow, image: SessionImage) -> Session:
        """The object of a session, with nobody in it yet."""
        return Session(self, row, self._log(row), image)

    def _log(self, row: SessionRow) -> SessionLog:
        return SessionLog(self._journal, row, self._log_failed, self.admission)

    def _log_failed(self, log: SessionLog, error: Exception) -> None:
        session = self._roster.up.get(log.sid)
        if session is not None and session.log is log:  # not that of one that came back meanwhile
            session.fail(error)
        self._archive.forget(log.sid)

    def _store_moved(self) -> None:
        """It went away, or came back: whoever is connected is told."""
        for session in self.sessions():
            session.log.tell_degraded()

    async def _load_ended(self, row: SessionRow) -> Session | None:
        found = await self._recovery.look(row)
        if found.reading == "unreadable":
            self._recovery.name_unreadable(row.sid, found.why)
            return None
        return self.build(row, found.image)


def _leaving() -> Refused:
    return Refused("leaving", "this server is leaving; dial again", retry_ms=1000)


def _is_cleaning(session: Session) -> bool:
    return session.root is not None and not session.is_failed and session.root.state_plan.is_cleaning
