"""Bounding the logs of live sessions: a snapshot of the whole, then what is older goes (protocol, rules 7 and 14).

One task for all sessions, and only while a log is over a limit. It reads and folds a page at a time; only the last
records, which come while it reads, and the writing of the snapshot itself are done in one go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..codec import decode
from ..errors import JournalError
from ..journal.base import Journal, Trim
from ..records import ROOT, Record
from ..tasks import EngineTasks
from .kept import AGAIN_SHARE, HELD_SHARE, LEFT_SHARE
from .kept import LogLimits as LogLimits
from .sessionlog import SessionLog
from .snapshot import PAGE, SLICE, Reading, Views, body_of
from .state import SessionImage
from .view import View

if TYPE_CHECKING:
    from ..session import Session

TRIM_S: Final = 60.0  # for one session; a store that needs longer has other troubles

log = logging.getLogger("steward.trimming")


class Trimmer:
    """limits: what is kept at most. views: for clients whose place is gone."""

    def __init__(self, journal: Journal, tasks: EngineTasks, limits: LogLimits | None = None) -> None:
        limits = limits or LogLimits()
        self.views = Views(journal)
        self._limits, self._left, self._held = limits, limits.scaled(LEFT_SHARE), limits.scaled(HELD_SHARE)
        self._journal = journal
        self._tasks = tasks
        self._waiting: dict[str, Session] = {}
        self._raised: dict[str, float] = {}  # sid -> the share of the limits at which it is tried again
        self._is_working = False

    def look(self, session: Session, now: float) -> None:
        """Called after every commit: put the session in line if its log is over a limit. Never waits."""
        if session.sid not in self._waiting and self._is_due(session, now):
            self._waiting[session.sid] = session
            if not self._is_working:
                self._is_working = True
                self._tasks.start(self._work(), "trimming")

    def sweep(self, sessions: Iterable[Session]) -> None:
        """Called now and then: find those whose oldest update is too old, though nothing new comes."""
        here = {session.sid: session for session in sessions}
        self._raised = {sid: share for sid, share in self._raised.items() if sid in here}
        for session in here.values():
            self.look(session, session.clock.now())

    def _is_due(self, session: Session, now: float) -> bool:
        if session.log.is_closed:
            return False
        raised = self._raised.get(session.sid) if self._raised else None
        return _is_over(session, self._limits if raised is None else self._limits.scaled(raised), now)

    async def _work(self) -> None:
        try:
            while self._waiting:
                sid, session = next(iter(self._waiting.items()))
                try:
                    await self._try(session)
                finally:
                    del self._waiting[sid]
        finally:
            self._is_working = False

    async def _try(self, session: Session) -> None:
        """Trim one log. If that is not possible now, or not as far as it should be, it may grow a little more."""
        why = ""
        try:
            async with asyncio.timeout(TRIM_S):
                await self._trim(session)
        except TimeoutError:
            why = f"it took more than {TRIM_S:g} s"
        except JournalError as error:
            why = str(error)
        except Exception:
            why = "an error of the engine, which is the others' no affair"
            log.exception("a snapshot of %s failed", session.sid, extra={"sid": session.sid})
        if why:
            log.warning("the log of %s is not trimmed now: %s", session.sid, why, extra={"sid": session.sid})
        raised = self._raised.pop(session.sid, 1.0)
        if why or _is_over(session, self._limits, session.clock.now()):
            self._raised[session.sid] = raised + AGAIN_SHARE

    async def _trim(self, session: Session) -> None:
        written, reading = session.log, Reading(self._journal, session.log)
        await self._follow(reading, written)
        while written.rev - reading.rev > PAGE:  # what comes meanwhile is read as well, rather than kept in memory
            await self._follow(reading, written)
        gone, oldest_at = await self._cut(session, reading.view)
        with written.collecting() as fresh:
            await self._follow(reading, written)
            await reading.take(fresh, SLICE)
            for text in fresh:
                reading.apply(text)
        # From here to the append nothing may wait: the image is that of the last record.
        if not written.is_closed and not session.is_gone:
            await asyncio.shield(self._write(session, reading.image, reading.view, gone, oldest_at))
            done = "the log of %s is trimmed up to update %d"
            log.info(done, session.sid, reading.view.seq, extra={"sid": session.sid})

    async def _follow(self, reading: Reading, written: SessionLog) -> None:
        """Read what is in the log's order now."""
        rev = written.rev
        await written.landed()
        await reading.advance(rev)

    async def _cut(self, session: Session, view: View) -> tuple[int, float | None]:
        """Take the updates that have to go into view; (their bytes, when the first that stays was written)."""
        written, left, now = session.log, self._left, session.clock.now()
        last = written.head if _is_over(session, self._held, now) else min(written.head, written.lowest_cursor())
        gone = 0
        while view.seq < last:
            for seq, text in await written.read(view.seq, min(PAGE, last - view.seq)):
                written_at: float = decode(text)["ts"]
                is_few = written.seq - seq < left.events and written.kept.update_bytes - gone <= left.bytes
                if is_few and now - written_at <= left.age_s:
                    return gone, written_at
                view.apply(text)
                gone += len(text)
                if seq % SLICE == 0:
                    await asyncio.sleep(0)
        return gone, None

    def _write(
        self, session: Session, image: SessionImage, view: View, gone: int, oldest_at: float | None
    ) -> asyncio.Future[None]:
        written: SessionLog = session.log
        if written.is_backed_up:
            raise JournalError("the store is away")  # a snapshot in its queue would take the place of what is new
        if image.rev != written.rev:
            raise JournalError(f"record {written.rev} came before the snapshot could follow; it has {image.rev}")
        now = session.clock.now()
        update_bytes = written.kept.update_bytes - gone
        oldest_at = oldest_at if oldest_at is not None or not update_bytes else now
        body = body_of(image, view, update_bytes, oldest_at)
        record = Record("snapshot", ROOT, session.kind, now, body)
        return written.append(record, trim=Trim(records=written.rev + 1, updates=view.seq)).durable


def _is_over(session: Session, limits: LogLimits, now: float) -> bool:
    written = session.log
    return written.kept.is_over(limits, written.seq - written.trimmed, now)
