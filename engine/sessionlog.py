"""The one writer of a session's log: gives out rev and seq, pipelines commits, tells readers what is durable."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .admission import Admission
from .backlog import Backlog, Commit
from .journal.base import Append, Journal, SessionRow, TokenRow
from .records import Record, Update
from .streams import CHUNK, Streams

TAIL_UPDATES: Final = 256  # updates kept in memory for readers that are nearly there; the rest is read from the journal
DEGRADED: Final = "degraded"  # a note, because nothing can be numbered while the store is away
RESTORED: Final = "restored"
WHY_STORE: Final = {"why": "store"}

log = logging.getLogger("steward.log")


@dataclass(frozen=True, slots=True)
class Committed:
    """One append in the log's order. seq: of its last update (the last before it, if it has none)."""

    rev: int
    seq: int
    durable: asyncio.Future[None]


class SessionLog:
    """Appends in order without waiting; `head` follows what is durable, and only that is ever read (L2)."""

    def __init__(
        self,
        journal: Journal,
        row: SessionRow,
        on_failure: Callable[[Exception], None],
        admission: Admission | None = None,
    ) -> None:
        self.sid = row.sid
        self.epoch = row.epoch
        self.fence = row.fence
        self.rev = row.rev
        self.seq = row.seq
        self.head = row.seq
        self.streams = Streams()
        self._journal = journal
        self._on_failure = on_failure
        self._tail: deque[tuple[int, bytes]] = deque(maxlen=TAIL_UPDATES)
        self._watchers: dict[int, Callable[[], None]] = {}
        self._note_watchers: dict[int, Callable[[str, Mapping[str, Any]], None]] = {}
        self._number = 0
        self._admission = admission or Admission()
        self._backlog = Backlog(row.sid, journal, self, self._admission)
        self._has_told_degraded = False
        self.last: asyncio.Future[None] | None = None

    def append(
        self,
        record: Record,
        updates: Sequence[Update] = (),
        *,
        session: SessionRow | None = None,
        tokens: tuple[TokenRow, ...] = (),
        revoked: tuple[str, ...] = (),
        ended_at: float | None = None,
    ) -> Committed:
        """Queue one commit. Raises TypeError, with nothing queued, if record or updates are not JSON, and
        JournalError if the log failed before or cannot queue."""
        self._backlog.require_room()
        encoded = tuple(update.encode(self.seq + n, record.at) for n, update in enumerate(updates, start=1))
        append = Append(
            sid=self.sid,
            fence=self.fence,
            rev=self.rev + 1,
            record=record.encode(),
            updates=encoded,
            session=session,
            tokens=tokens,
            revoked=revoked,
            ended_at=ended_at,
        )
        for update in updates:
            self.streams.finish(update)
        first = self.seq + 1
        self.rev += 1
        self.seq += len(encoded)
        # A future of our own: cancelling a wait for it must not pass for a write that was given up.
        durable = self.last = asyncio.get_running_loop().create_future()
        self._backlog.put(Commit(append, [(first + n, text) for n, text in enumerate(encoded)], durable))
        return Committed(self.rev, self.seq, durable)

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
        if commit.numbered:
            self._tail.extend(commit.numbered)
            self.head = commit.numbered[-1][0]
            self._tell(self._watchers)

    def store_moved(self) -> None:
        self.tell_degraded()

    def store_failed(self, error: Exception) -> None:
        log.error("the store refused a commit of %s: %s", self.sid, error, extra={"sid": self.sid})
        self._on_failure(error)

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
            await asyncio.shield(self.last)

    async def drain(self) -> None:
        """Return when nothing of this log is queued any more."""
        await self._backlog.drain()

    async def read(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Durable updates with seq > after, ascending, at most limit; each a JSON object {seq, ts, kind, data, re?}."""
        if self._tail and after >= self._tail[0][0] - 1:
            return [entry for entry in self._tail if entry[0] > after][:limit]
        found = await self._journal.updates(self.sid, after, limit)
        return [entry for entry in found if entry[0] <= self.head]

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each rise of head; returns how to stop it."""
        return self._register(self._watchers, callback)

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
