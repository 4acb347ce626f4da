"""Reading a trimmed log: the image of a session at a record, and what its clients are to see, a page at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from .errors import JournalError, Overtaken, UnknownFormat
from .journal.base import Journal
from .records import Record
from .state import SessionImage, apply
from .view import View

if TYPE_CHECKING:
    from .sessionlog import SessionLog

RECORDS_PAGE: Final = 64  # a few milliseconds of the loop
UPDATES_PAGE: Final = 64
OVERTAKEN_MAX: Final = 3  # times that a log may be trimmed while one snapshot is made of it
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


async def image_at(journal: Journal, log: SessionLog, rev: int) -> tuple[SessionImage, View]:
    """The session after record rev, which is durable, and the view at the last update that is gone."""
    image, view = SessionImage(), View()
    at = log.first_rev - 1
    while at < rev:
        page = await journal.records(log.sid, at, min(RECORDS_PAGE, rev - at))
        if not page:
            raise JournalError(f"record {at + 1} of {log.sid} is gone")
        for text in page:
            record = decoded(text)
            apply(image, record)
            if record.op == "snapshot":
                view = view_in(record)
        at += len(page)
    return image, view


class Views:
    """What clients are told whose place in a log is gone. Made when it is asked for; the last few are kept."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._views: OrderedDict[tuple[str, str], View] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()  # a second asker finds what the first has made, and only adds to it

    async def shown(self, log: SessionLog, bytes_max: int) -> tuple[int, dict[str, Any]]:
        """(seq, what a client sees that has applied all updates up to it), as JSON of at most bytes_max.

        Raises JournalError if the log cannot be read.
        """
        async with self._one_at_a_time:
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
            for _, text in await log.read(view.seq, UPDATES_PAGE):
                view.apply(text)
            await asyncio.sleep(0)  # a read from memory gives nobody else a turn
