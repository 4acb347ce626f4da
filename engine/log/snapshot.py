"""Reading a trimmed log: the image of a session at a record, and what its clients are to see, a page at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from ..errors import JournalError, Overtaken, UnknownFormat
from ..journal.base import Journal
from ..records import Record
from .state import SessionImage, apply
from .view import View

if TYPE_CHECKING:
    from .sessionlog import SessionLog

PAGE: Final = 512  # read together: each read waits for the commits before it, so that many small ones take long
SLICE: Final = 64  # folded in one turn of the loop: a millisecond or two
OVERTAKEN_MAX: Final = 3  # times that a log may be trimmed while one snapshot is made of it
MADE_AT_ONCE: Final = 8  # of as many sessions, each with a page of its log in memory; long logs delay few others
VIEWS_KEPT_MAX: Final = 16  # a crowd that comes back to a session is given one view; each up to half a megabyte


def body_of(image: SessionImage, view: View, update_bytes: int, oldest_at: float | None) -> dict[str, Any]:
    """The body of a `snapshot` record. view: at the last update that is not kept; the rest: as in Kept."""
    return {"image": image.to_json(), "view": view.to_json(), "kept": [update_bytes, oldest_at]}


def view_in(record: Record) -> View:
    """The view at the last update that is gone; nothing is gone of a log that does not begin with a snapshot."""
    return View.from_json(record.body["view"]) if record.op == "snapshot" else View()


def decoded(text: bytes) -> Record:
    """Raises UnknownFormat for what is no record, never anything else."""
    try:
        return Record.decode(text)
    except UnknownFormat:
        raise
    except Exception as error:
        raise UnknownFormat(f"its log holds what is no record: {type(error).__name__}: {error}") from error


class Reading:
    """A session as its stored records tell it, as far as they were read. view: at the last update that is gone."""

    def __init__(self, journal: Journal, log: SessionLog) -> None:
        self.image = SessionImage()
        self.view = View()
        self.rev = log.first_rev - 1
        self._journal = journal
        self._sid = log.sid

    async def advance(self, rev: int) -> None:
        """Read on up to record rev, which is durable. Raises JournalError."""
        while self.rev < rev:
            page = await self._journal.records(self._sid, self.rev, min(PAGE, rev - self.rev))
            if not page:
                raise JournalError(f"record {self.rev + 1} of {self._sid} is gone")
            await self.take(deque(page))

    async def take(self, texts: deque[bytes], down_to: int = 0) -> None:
        """Apply the next records, a slice at a time, until so many are left; more may be added meanwhile."""
        while len(texts) > down_to:
            for _ in range(min(SLICE, len(texts) - down_to)):
                self.apply(texts.popleft())
            await asyncio.sleep(0)

    def apply(self, text: bytes) -> None:
        record = decoded(text)
        apply(self.image, record)
        self.rev += 1
        if record.op == "snapshot":
            self.view = view_in(record)


class Views:
    """What clients are told whose place in a log is gone. Made when it is asked for; the last few are kept."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._views: OrderedDict[tuple[str, str], View] = OrderedDict()
        # A second asker of one session finds what the first has made, and only adds to it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._room = asyncio.Semaphore(MADE_AT_ONCE)

    async def shown(self, log: SessionLog, bytes_max: int) -> tuple[int, dict[str, Any]]:
        """(seq, what a client sees that has applied all updates up to it), as JSON of at most bytes_max.

        Raises JournalError if the log cannot be read.
        """
        async with self._locks.setdefault(log.sid, asyncio.Lock()), self._room:
            for _ in range(OVERTAKEN_MAX):
                view = self._views.pop((log.sid, log.epoch), None) or await self._stored(log)
                try:
                    await self._advance(view, log)
                except Overtaken:
                    continue  # the snapshot that overtook it has a newer view
                self._views[log.sid, log.epoch] = view
                if len(self._views) > VIEWS_KEPT_MAX:
                    self._views.popitem(last=False)
                return view.seq, view.shown(bytes_max)
        raise JournalError(f"the log of {log.sid} is trimmed faster than it can be read")

    async def at_first(self, log: SessionLog, bytes_max: int) -> tuple[int, dict[str, Any]]:
        """As shown(), at the last update that is gone, where a reader of what is kept begins."""
        view = await self._stored(log)
        return view.seq, view.shown(bytes_max)

    async def _stored(self, log: SessionLog) -> View:
        first = await self._journal.records(log.sid, 0, 1)
        if not first:
            raise JournalError(f"the log of {log.sid} is not kept any more")
        return view_in(decoded(first[0]))

    async def _advance(self, view: View, log: SessionLog) -> None:
        head = log.head
        while view.seq < head:
            for number, (_, text) in enumerate(await log.read(view.seq, PAGE), start=1):
                view.apply(text)
                if number % SLICE == 0:
                    await asyncio.sleep(0)
