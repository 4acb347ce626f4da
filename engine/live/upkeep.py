"""Upkeep: carries out what reconcile() says, at the start and ever after, so that memory and store agree.

One timer for all: the next round over the store, the next look at who has nothing to do, and the earliest deadline of
a session that left memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Final, TypeVar

from ..clock import Timer
from ..errors import Corrupt, Fenced, JournalError
from ..journal.base import Journal, SessionRow
from ..log.archive import Archive
from ..log.reconcile import FORGOTTEN, GIVEN_AWAY, Action, LiveView, StoredView, Terms, reconcile
from ..log.recovery import Found, Recovery, refusal
from ..session import Leak, Session
from ..tasks import EngineTasks
from .house import House
from .rest import Rest
from .revival import bring_up, rouse
from .roster import Roster

RECONCILE_S: Final = 300.0
LOOK_S: Final = 30.0  # who has nothing to do leaves memory so much later than allowed, at most
DOUBT_S: Final = 1.0  # whether a creation that failed was written all the same is asked so soon
QUIET_LOOK_S: Final = 1.0  # who was woken for a deadline alone goes on, or again, so soon
READ_AT_ONCE: Final = 64  # logs that are read together: all of them are in memory then
DONE_AT_ONCE: Final = 512  # deeds that are begun together: the claims of so many sessions share a sync of the disk

T = TypeVar("T")
log = logging.getLogger("steward.upkeep")


class Upkeep:
    """start() once, stop() before the sessions are let go. A session that failed has a task of its own."""

    def __init__(
        self,
        house: House,
        roster: Roster,
        journal: Journal,
        recovery: Recovery,
        archive: Archive,
        rest: Rest,
        tasks: EngineTasks,
        idle_memory_s: float | None,
    ) -> None:
        self.unsure: set[str] = set()  # stored sessions that the store has not given us yet
        self._house = house
        self._roster = roster
        self._journal = journal
        self._recovery = recovery
        self._archive = archive
        self._rest = rest
        self._tasks = tasks
        self._idle_memory_s = idle_memory_s
        self._timer: Timer | None = None
        self._round_at = 0.0
        self._look_at = 0.0
        self._unsure_rounds = 0
        self._is_turning = False

    async def start(self) -> None:
        """Bring every stored session back. Raises JournalError if the store does not even list them, StewardError if
        stored actors are in states that the lifecycle file no longer has."""
        await self._round(is_start=True)
        self._look_at = self._now() + LOOK_S
        self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def look_soon(self) -> None:
        """A session was woken for a deadline alone: see what became of it."""
        self._look_at = min(self._look_at, self._now() + QUIET_LOOK_S)
        self._arm()

    def doubt(self, sid: str) -> None:
        """The store said that it did not write a session, and may have: ask it what it has."""
        self.unsure.add(sid)
        self._round_at = min(self._round_at, self._now() + DOUBT_S)
        self._arm()

    async def require_unknown(self, sid: str) -> None:
        """Raises JournalError if the store has a session that nobody here knows: another process has written it since
        we started, and whoever asks for it must not be told for ever that there is none."""
        if await self._journal.session(sid) is not None:
            self.doubt(sid)
            raise JournalError("the session was begun elsewhere and is being brought here; try again")

    def _now(self) -> float:
        return self._house.clock.now()

    def _terms(self) -> Terms:
        return Terms(self._archive.retention_s, self._idle_memory_s, not self._house.admission.is_degraded)

    def _arm(self) -> None:
        self.stop()
        if self._house.is_leaving or self._is_turning:
            return  # at the end of the turn it is armed anew
        when = self._round_at
        if self._idle_memory_s is not None:
            when = min(when, self._look_at)
            if (earliest := self._rest.earliest()) is not None:
                # Not at once if it is past: the store may not have given that session.
                when = min(when, max(earliest, self._now() + QUIET_LOOK_S))
        self._timer = self._house.clock.call_at(when, self._begin)

    def _begin(self) -> None:
        self._tasks.start(self._turn(), "upkeep")

    async def _turn(self) -> None:
        self._is_turning = True
        try:
            if self._now() >= self._round_at:
                self._round_at = self._now() + self._recovery.pause_s(0)  # should this one fail
                await self._round()
            else:
                self._look_at = self._now() + LOOK_S
                await self._carry_out(reconcile(None, self._rest.views(), self._now(), self._terms()), {})
        finally:
            self._is_turning = False
            self._arm()

    async def _round(self, *, is_start: bool = False) -> None:
        """Compare everything that is stored with everything that is in memory, and find the logs that are too old."""
        self._house.trimmer.sweep(self._roster.up.values())
        live = self._rest.views()
        try:
            rows = {row.sid: row for row in await self._journal.sessions() if self._concerns_us(row, live)}
        except JournalError as error:
            if is_start:
                raise
            log.warning("the store does not list its sessions: %s", error)
            self._round_at = self._now() + self._recovery.pause_s(0)
            return
        self.unsure = {sid for sid, row in rows.items() if row.ended_at is None and sid not in live}
        found = {
            one.row.sid: one for one in await _all((self._look(rows[sid]) for sid in self.unsure), READ_AT_ONCE) if one
        }
        stored = {
            sid: found[sid].view if sid in found else StoredView(row.fence, row.ended_at) for sid, row in rows.items()
        }
        actions = reconcile(stored, live, self._now(), self._terms())
        if is_start and any(action.deed == "refuse" for action in actions):
            raise refusal(found.values())
        await self._carry_out(actions, found)
        self._unsure_rounds = self._unsure_rounds + 1 if self.unsure else 0
        pause_s = self._recovery.pause_s(self._unsure_rounds - 1) if self.unsure else RECONCILE_S
        self._round_at = self._now() + pause_s

    def _concerns_us(self, row: SessionRow, live: Mapping[str, LiveView]) -> bool:
        """Not so the many that ended, and whose log is kept for a while."""
        is_kept = row.ended_at is not None and row.ended_at + self._archive.retention_s >= self._now()
        return not is_kept or row.sid in live

    async def _look(self, row: SessionRow) -> Found | None:
        try:
            return await self._recovery.look(row)
        except JournalError as error:
            log.warning("session %s is not read yet: %s", row.sid, error, extra={"sid": row.sid})
            return None

    async def _carry_out(self, actions: Iterable[Action], found: dict[str, Found]) -> None:
        await _all((self._do(action, found.get(action.sid)) for action in actions), DONE_AT_ONCE)

    async def _do(self, action: Action, found: Found | None) -> None:
        """Look once more whether it still is so: clients wake and end sessions while others are seen to."""
        sid = action.sid
        try:
            match action.deed:
                case "bring back":
                    assert found is not None
                    await self._bring_back(found)
                case "name unreadable" | "refuse":
                    self.unsure.discard(sid)
                    self._recovery.name_unreadable(sid, action.why)
                case "drop log":
                    await self._archive.drop(sid)
                    self._recovery.unreadable.pop(sid, None)
                case "let go":
                    await self._let_go(sid, action.why)
                case "leave memory":
                    self._rest.leave(sid)
                case "wake" if sid in self._roster.asleep:
                    await self._rest.wake(sid, is_quiet=True)
                    self._look_at = min(self._look_at, self._now() + QUIET_LOOK_S)
                case "rouse" if sid in self._roster.up:
                    rouse(self._roster.up[sid])
        except JournalError as error:
            log.warning("%s: session %s: %s", action.deed, sid, error, extra={"sid": sid})

    async def _bring_back(self, found: Found) -> None:
        sid = found.row.sid
        if sid in self._roster:
            self.unsure.discard(sid)  # it came into being after memory was looked at
            return
        self._roster.coming.add(sid)
        try:
            claimed = await self._recovery.claim(found)
        finally:
            self._roster.coming.discard(sid)
        self.unsure.discard(sid)
        if claimed is not None and not self._house.is_leaving:
            self._roster.created += 1
            if why := await self._take_in(claimed, found):
                self._give_up(sid, claimed.user, why)

    async def _take_in(self, row: SessionRow, found: Found, leaks: Iterable[Leak] = ()) -> str:
        """See bring_up."""
        session = self._house.build(row, found.image)
        self._roster.up[row.sid] = session
        self._roster.places.take(row.user)
        return await bring_up(session, leaks)

    def _give_up(self, sid: str, user: str, why: str) -> None:
        self._roster.strike(sid, user)
        self._recovery.name_unreadable(sid, why)

    async def _let_go(self, sid: str, why: str) -> None:
        """Look once more: what memory and store say was not read in the same moment."""
        row = await self._journal.session(sid)
        session = self._roster.up.get(sid)
        if session is not None and (row is None or row.fence > session.log.fence):
            session.fail(Fenced(why))
        elif sid in self._roster.asleep:
            await self._rest.wake(sid)  # which finds the same, and strikes it

    # A session that failed

    def rebuild(self, session: Session, error: Exception) -> None:
        self._tasks.start(self._rebuild(session, error), f"{session.sid} rebuild")

    async def _rebuild(self, session: Session, error: Exception) -> None:
        """Stop what is left of it in memory, then bring it back from its log, however long the store needs."""
        leaks = await session.dissolve()
        if not isinstance(error, Fenced):
            await self._recovery.pause_before_rebuild(session.sid, self._now())
        attempt = 0
        while True:
            try:
                if why := await self._return(session, leaks):
                    self._give_up(session.sid, session.user, why)
                return
            except JournalError as failure:
                log.warning("session %s does not come back yet: %s", session.sid, failure, extra={"sid": session.sid})
            await asyncio.sleep(self._recovery.pause_s(attempt))
            attempt += 1

    async def _return(self, session: Session, leaks: Iterable[Leak]) -> str:
        """Why it does not come back; "" if it does, or has ended. Raises JournalError if the store does not answer."""
        try:
            row = await self._journal.session(session.sid)
        except Corrupt as error:
            return str(error)
        if row is None or row.fence > session.log.fence:
            return GIVEN_AWAY if row else FORGOTTEN
        found = await self._recovery.look(row)
        if found.reading != "whole":
            return found.why
        if row.ended_at is not None:
            session.images = found.image.actors  # its last commit was written after all
            session.has_ended()
            self._roster.end(session)
            return ""
        claimed = await self._recovery.claim(found)
        if claimed is None:
            raise JournalError("it was written to while it was read")
        del self._roster.up[session.sid]
        self._roster.places.give_back(session.user)
        return await self._take_in(claimed, found, leaks)


async def _all(jobs: Iterable[Coroutine[Any, Any, T]], at_once: int) -> list[T]:
    """Their results, at_once of them under way at a time."""
    results: list[T] = []
    some: list[Coroutine[Any, Any, T]] = []
    for job in jobs:
        some.append(job)
        if len(some) == at_once:
            results += await asyncio.gather(*some)
            some = []
    return results + await asyncio.gather(*some)
