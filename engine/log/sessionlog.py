"""The one writer of a session's log: gives out rev and seq, pipelines commits, tells readers what is durable."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from ..errors import Overtaken
from ..journal.base import Append, Journal, SessionRow, TokenRow, Trim
from ..live.admission import Admission
from ..records import Record, Update
from .backlog import Backlog, Commit
from .kept import Kept
from .streams import CHUNK, Streams

TAIL_UPDATES: Final = 256  # updates kept in memory for readers that are nearly there; the rest is read from the journal
TAIL_BYTES_MAX: Final = 256 * 1024  # … and their bytes: a frame of the largest kind
FRESH_RECORDS_MAX: Final = 4096  # that come while a snapshot is made; with more there is none this time
DEGRADED: Final = "degraded"  # a note, because nothing can be numbered while the store is away
RESTORED: Final = "restored"
WHY_STORE: Final = {"why": "store"}

log = logging.getLogger("steward.log")


class SessionLog:
    """Appends in order without waiting; `head` follows what is durable, and only that is ever read (L2)."""

    __slots__ = (
        *("sid", "epoch", "fence", "rev", "seq", "head", "first_rev", "trimmed", "kept", "is_closed", "last"),
        *("streams", "_journal", "_admission", "_backlog", "_on_failure", "_on_grown", "_fresh", "_tail"),
        *("_tail_bytes", "_watchers", "_note_watchers", "_cursors", "_number", "_has_told_degraded"),
    )

    def __init__(
        self,
        journal: Journal,
        row: SessionRow,
        on_failure: Callable[[SessionLog, Exception], None],
        admission: Admission | None = None,
    ) -> None:
        self.sid = row.sid
        self.epoch = row.epoch
        self.fence = row.fence
        self.rev = row.rev
        self.seq = row.seq
        self.head = row.seq
        self.first_rev = row.first_rev
        self.trimmed = row.trimmed  # the last update that is gone
        self.kept = Kept()
        self._on_grown: Callable[[float], None] | None = None
        self.is_closed = row.ended_at is not None  # the record of the end is in its order
        self.streams = Streams()
        self._journal = journal
        self._on_failure = on_failure
        self._tail: list[tuple[int, bytes]] = []  # an empty deque would take 760 bytes a session
        self._tail_bytes = 0
        self._watchers: dict[int, Callable[[], None]] = {}
        self._note_watchers: dict[int, Callable[[str, Mapping[str, Any]], None]] = {}
        self._cursors: dict[int, Callable[[], int]] = {}
        self._fresh: deque[bytes] | None = None
        self._number = 0
        self._admission = admission or Admission()
        self._backlog = Backlog(row.sid, journal, self, self._admission)
        self._has_told_degraded = False
        self.last: Commit | None = None  # that is not known to be durable

    def append(
        self,
        record: Record,
        updates: Sequence[Update] = (),
        *,
        session: SessionRow | None = None,
        tokens: tuple[TokenRow, ...] = (),
        revoked: tuple[str, ...] = (),
        ended_at: float | None = None,
        trim: Trim | None = None,
    ) -> Commit:
        """Queue one commit. Raises TypeError, with nothing queued, if record or updates are not JSON, and
        JournalError if the log failed before or cannot queue."""
        self._backlog.require_room()
        encoded = tuple([update.encode(n, record.at) for n, update in enumerate(updates, start=self.seq + 1)])
        told = sum(map(len, encoded))
        append = Append(
            self.sid, self.fence, self.rev + 1, record.encode(told), encoded, session, tokens, revoked, ended_at, trim
        )
        for update in updates:
            self.streams.finish(update)
        self.rev += 1
        self.seq += len(encoded)
        commit = self.last = Commit(append, self.seq)
        self._backlog.put(commit)
        self._count(record, append, told)
        return commit

    def count_on(self, kept: Kept, on_grown: Callable[[float], None]) -> None:
        """Go on from what was counted when the log was read back, and call after each commit; it may not raise."""
        self.kept, self._on_grown = kept, on_grown

    def _count(self, record: Record, append: Append, told: int) -> None:
        self.is_closed = self.is_closed or append.ended_at is not None
        self.kept.add(record, len(append.record), told)
        if self._fresh is not None and len(self._fresh) < FRESH_RECORDS_MAX:
            self._fresh.append(append.record)
        if self._on_grown is not None:
            self._on_grown(record.at)

    @contextmanager
    def collecting(self) -> Iterator[deque[bytes]]:
        """The records that are appended while this is open, encoded; above FRESH_RECORDS_MAX at once some are missed.
        One at a time may collect them."""
        self._fresh = fresh = deque[bytes]()
        try:
            yield fresh
        finally:
            self._fresh = None

    # How it goes in the store

    @property
    def error(self) -> Exception | None:
        """Why nothing is written any more, once it is so."""
        return self._backlog.error

    @property
    def is_backed_up(self) -> bool:
        """Whether commits wait for a place in the store's queue: nothing new should be taken from outside."""
        return self._backlog.is_held_up

    @property
    def is_degraded(self) -> bool:
        """Whether the store is away, for this session or for all: nothing new is taken from outside."""
        return self._backlog.is_stalled or self._admission.is_degraded

    @property
    def is_settled(self) -> bool:
        """Whether all that was appended is durable."""
        return not self._backlog

    def commit_landed(self, commit: Commit) -> None:
        if self.last is commit:
            self.last = None
        if (trim := commit.append.trim) is not None:
            self.first_rev, self.trimmed = max(self.first_rev, trim.records), max(self.trimmed, trim.updates)
            self._cut_tail()
        if commit.append.updates:
            if self.is_closed:  # of an ended session, which stays in memory for a while, the last step is enough
                self._tail, self._tail_bytes = [], 0
            elif self._cursors:
                self._cut_tail(self.lowest_cursor())
            self._tail += commit.numbered
            self._tail_bytes += sum(map(len, commit.append.updates))
            self._cut_tail()
            self.head = commit.seq
            self._tell(self._watchers)

    def _cut_tail(self, read: int = 0) -> None:
        """Keep what somebody connected may still read, and not too much of it. read: the last that all of them have;
        who comes later with a cursor of before reads the journal."""
        tail, gone = self._tail, max(read, self.trimmed)
        while tail and (len(tail) > TAIL_UPDATES or self._tail_bytes > TAIL_BYTES_MAX or tail[0][0] <= gone):
            self._tail_bytes -= len(tail.pop(0)[1])

    def store_moved(self) -> None:
        self.tell_degraded()

    def store_failed(self, error: Exception) -> None:
        log.error("the store refused a commit of %s: %s", self.sid, error, extra={"sid": self.sid})
        self._on_failure(self, error)

    def tell_degraded(self) -> None:
        """Tell whoever is connected if the store went away, or is back."""
        if self.is_degraded != self._has_told_degraded:
            self._has_told_degraded = self.is_degraded
            self._tell(self._note_watchers, DEGRADED if self.is_degraded else RESTORED, WHY_STORE)

    def abandon(self, error: Exception) -> None:
        """Write nothing any more; what is not durable yet has not happened."""
        self._backlog.abandon(error)

    async def landed(self) -> None:
        """Return when everything that was appended so far is durable. Raises JournalError if the store refused it."""
        if self.last is not None:
            await asyncio.shield(self.last.durable)

    async def drain(self) -> None:
        """Return when nothing of this log is queued any more."""
        await self._backlog.drain()

    def is_near(self, after: int) -> bool:
        """Whether what follows is in memory, so that read() waits for nobody."""
        return bool(self._tail) and after >= self._tail[0][0] - 1

    async def read(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Durable updates with seq > after, ascending, at most limit; each a JSON object {seq, ts, kind, data, re?}.

        Raises Overtaken if the first of them is not kept any more: a hole is never silent (L4).
        """
        if after < self.trimmed:
            raise Overtaken(self.trimmed + 1)
        if self.is_near(after):
            first = after + 1 - self._tail[0][0]
            return self._tail[first : first + limit]
        found = await self._journal.updates(self.sid, after, limit)
        first = found[0][0] if found else self.head + 1
        if first > after + 1 and limit > 0:
            raise Overtaken(first)  # it was trimmed while we read
        return [entry for entry in found if entry[0] <= self.head]

    def watch(self, callback: Callable[[], None], cursor: Callable[[], int] | None = None) -> Callable[[], None]:
        """Call back after each rise of head; returns how to stop it. cursor: tells the last update that was read,
        and holds back the trimming of later ones for a while."""
        unwatch = self._register(self._watchers, callback)
        if cursor is None:
            return unwatch
        forget = self._register(self._cursors, cursor)
        return lambda: (unwatch(), forget())[0]

    def lowest_cursor(self) -> int:
        """Up to where every reader that said so has read."""
        return min([cursor() for cursor in self._cursors.values()], default=self.head)

    def watch_notes(self, callback: Callable[[str, Mapping[str, Any]], None]) -> Callable[[], None]:
        """Call back with each note; returns how to stop it. Who comes while the store is away is told so at once."""
        if self.is_degraded:
            self._has_told_degraded = True
            callback(DEGRADED, WHY_STORE)
        return self._register(self._note_watchers, callback)

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell whoever is connected now. Streamed text is kept for those who come while it is unfinished."""
        if kind != CHUNK or self.streams.note(data):
            self._tell(self._note_watchers, kind, data)

    def _tell(self, watchers: Mapping[int, Callable[..., None]], *args: Any) -> None:
        for number in list(watchers):
            watcher = watchers.get(number)  # an earlier one may have ended it
            if watcher is None:
                continue
            try:
                watcher(*args)
            except Exception:
                # One reader's fault; the others and the session go on.
                log.exception("a reader of %s failed", self.sid, extra={"sid": self.sid})

    def _register(self, watchers: dict[int, Any], callback: Any) -> Callable[[], None]:
        self._number += 1
        number = self._number
        watchers[number] = callback

        def stop() -> None:
            watchers.pop(number, None)

        return stop
