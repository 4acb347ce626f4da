"""Leaving memory and coming back: a session with nothing to do goes, its log stays, and whatever is next wakes it."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final

from ..errors import JournalError
from ..journal.base import Journal
from ..log.reconcile import FORGOTTEN, GIVEN_AWAY, LiveView
from ..log.recovery import Recovery
from ..session import Session
from ..tasks import EngineTasks, engine_task, result_of
from .house import House
from .revival import bring_up, is_idle, wake_at
from .roster import Roster, Sleeper

TOUCHED_S: Final = 60.0  # who has looked a session up may still be about to use it

log = logging.getLogger("steward.rest")


class Rest:
    """Who sleeps, who may, and how they wake. idle: since when, and at which revision, for those that have nothing
    to do."""

    def __init__(self, house: House, roster: Roster, journal: Journal, recovery: Recovery, tasks: EngineTasks) -> None:
        self._house = house
        self._roster = roster
        self._journal = journal
        self._recovery = recovery
        self._tasks = tasks
        self._idle: dict[str, tuple[int, float]] = {}
        self._wakings: dict[str, asyncio.Task[Session | None]] = {}

    def views(self) -> dict[str, LiveView]:
        """Every session as this process has it now."""
        views = dict.fromkeys(self._recovery.unreadable, LiveView("unreadable"))
        for sid, sleeper in self._roster.asleep.items():
            views[sid] = LiveView("asleep", sleeper.fence, wake_at=sleeper.wake_at)
        for sid, session in self._roster.up.items():
            views[sid] = self._of_live(session)
        return views | dict.fromkeys((*self._roster.coming, *self._wakings), LiveView("coming"))

    def _of_live(self, session: Session) -> LiveView:
        if session.is_failed:
            return LiveView("coming")
        return LiveView("up", session.log.fence, self._idle_since(session), bool(session.owes_restored))

    def _idle_since(self, session: Session) -> float | None:
        now = self._house.clock.now()
        if not is_idle(session) or (now - session.touched_at < TOUCHED_S and not session.owes_restored):
            self._idle.pop(session.sid, None)
            return None
        rev, since = self._idle.get(session.sid, (-1, now))
        self._idle[session.sid] = (session.log.rev, since if rev == session.log.rev else now)
        return self._idle[session.sid][1]

    def earliest(self) -> float | None:
        """When the first of those who sleep has to be back."""
        return min((one.wake_at for one in self._roster.asleep.values() if one.wake_at is not None), default=None)

    def leave(self, sid: str) -> None:
        """Stop a session in this process without a record, if there is still nothing to do."""
        session = self._roster.up.get(sid)
        if session is not None:
            # Of those who are arriving nobody knows yet whose they are.
            self._house.arrivals.afterwards(partial(self._leave, session, session.touched_at))

    def _leave(self, session: Session, touched_at: float) -> None:
        sid = session.sid
        is_wanted = session.touched_at != touched_at or not is_idle(session)
        if is_wanted or self._roster.up.get(sid) is not session or self._house.is_leaving:
            return
        self._idle.pop(sid, None)
        del self._roster.up[sid]
        self._roster.asleep[sid] = Sleeper(
            sid,
            session.user,
            session.epoch,
            session.created_at,
            session.state,
            session.log.head,
            session.log.fence,
            wake_at(session),
            engine_task(session.dissolve(), f"{sid} leaves memory"),
        )

    async def all_gone(self) -> None:
        """Return when everything that sleepers held is let go of."""
        going = [one.going for one in self._roster.asleep.values() if not one.going.done()]
        if going:
            await asyncio.wait(going)

    async def wake(self, sid: str, *, is_quiet: bool = False) -> Session | None:
        """A session that sleeps is in memory again; None if the store has given it away, or it cannot be read.

        is_quiet: for its deadline alone. Raises JournalError if the store does not answer: then it sleeps on.
        """
        waking = self._wakings.get(sid)
        if waking is None:
            waking = self._wakings[sid] = self._tasks.start(
                self._wake(self._roster.asleep[sid], is_quiet), f"{sid} wakes"
            )
            waking.add_done_callback(lambda _: self._wakings.pop(sid))
        return await result_of(waking, _leaving)

    async def _wake(self, sleeper: Sleeper, is_quiet: bool) -> Session | None:
        leaks = await asyncio.shield(sleeper.going)
        row = await self._journal.session(sleeper.sid)
        if row is None or row.fence > sleeper.fence:
            self._lost(sleeper, GIVEN_AWAY if row else FORGOTTEN)
            return None
        found = await self._recovery.look(row)
        if found.reading != "whole":
            self._lost(sleeper, found.why)
            return None
        claimed = await self._recovery.claim(found)
        if claimed is None:
            raise JournalError("the session was written to while it was read; try again")
        if self._house.is_leaving:
            return None
        session = self._house.build(claimed, found.image)
        del self._roster.asleep[sleeper.sid]
        self._roster.up[sleeper.sid] = session
        if why := await bring_up(session, leaks, is_quiet=is_quiet):
            self._lost(sleeper, why)
            return None
        return session

    def _lost(self, sleeper: Sleeper, why: str) -> None:
        self._roster.strike(sleeper.sid, sleeper.user)
        self._recovery.name_unreadable(sleeper.sid, why)


def _leaving() -> JournalError:
    return JournalError("this server is leaving; the next one has the session")
