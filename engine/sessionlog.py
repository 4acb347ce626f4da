"""The one writer of a session's log: gives out rev and seq, pipelines commits, tells readers what is durable."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from .errors import Busy, JournalError
from .journal.base import Append, Journal, SessionRow, TokenRow
from .records import Record, Update
from .streams import CHUNK, Streams
from .tasks import engine_context

TAIL_UPDATES: Final = 256  # updates kept in memory for readers that are nearly there; the rest is read from the journal
BACKLOG_MAX: Final = 1024  # commits of one session that wait while the store's queue is full
BACKLOG_RETRY_S: Final = 0.01

log = logging.getLogger("steward.log")


@dataclass(frozen=True, slots=True)
class Committed:
    """One append in the log's order. seq: of its last update (the last before it, if it has none)."""

    rev: int
    seq: int
    durable: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Commit:
    """One append on its way: its updates by number, and the future that says it is durable."""

    append: Append
    numbered: list[tuple[int, bytes]]
    durable: asyncio.Future[None]


class SessionLog:
    """Appends in order without waiting; `head` follows what is durable, and only that is ever read (L2)."""

    def __init__(self, journal: Journal, row: SessionRow, on_failure: Callable[[Exception], None]) -> None:
        self.sid = row.sid
        self.epoch = row.epoch
        self.fence = row.fence
        self.rev = row.rev
        self.seq = row.seq
        self.head = row.seq
        self.error: Exception | None = None
        self.streams = Streams()
        self._journal = journal
        self._on_failure = on_failure
        self._tail: deque[tuple[int, bytes]] = deque(maxlen=TAIL_UPDATES)
        self._watchers: dict[int, Callable[[], None]] = {}
        self._note_watchers: dict[int, Callable[[str, Mapping[str, Any]], None]] = {}
        self._number = 0
        self._backlog: deque[_Commit] = deque()
        self._retry: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self.last: asyncio.Future[None] | None = None
        self._drained: asyncio.Event | None = None
        # An append may come from a handler's call; what follows from it later does not work for that handler.
        self._context = engine_context()

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
        if self.error is not None:
            raise JournalError(f"the log of {self.sid} failed before: {self.error}")
        if len(self._backlog) >= BACKLOG_MAX:
            raise JournalError(f"{BACKLOG_MAX} commits of {self.sid} wait for the store already")
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
        self._in_flight += 1
        # A future of our own: cancelling a wait for it must not pass for a write that was given up.
        durable = self.last = asyncio.get_running_loop().create_future()
        self._backlog.append(_Commit(append, [(first + n, text) for n, text in enumerate(encoded)], durable))
        self._push()
        return Committed(self.rev, self.seq, durable)

    @property
    def is_backed_up(self) -> bool:
        """Whether the store's queue is full and commits wait here: nothing new should be taken from outside."""
        return self._retry is not None

    def _push(self) -> None:
        """Hand what waits to the store, in order, until its queue is full."""
        self._retry = None
        while self._backlog:
            commit = self._backlog[0]
            try:
                written = self._journal.append(commit.append)
            except Busy:
                self._retry = asyncio.get_running_loop().call_later(BACKLOG_RETRY_S, self._push, context=self._context)
                return
            except Exception as error:
                self._fail(JournalError(f"the store takes nothing now: {error}"))
                return
            self._backlog.popleft()
            written.add_done_callback(partial(self._settled, commit), context=self._context)

    def _settled(self, commit: _Commit, written: asyncio.Future[None]) -> None:
        error: BaseException | None = JournalError("the write was given up") if written.cancelled() else None
        error = error or written.exception()
        if error is not None:
            failure = error if isinstance(error, Exception) else JournalError(str(error))
            self._give_up(commit, failure)
            self._fail(failure)
            return
        if commit.numbered:
            self._tail.extend(commit.numbered)
            self.head = commit.numbered[-1][0]
        if not commit.durable.done():
            commit.durable.set_result(None)
        self._landed()
        if commit.numbered:
            self._tell(self._watchers)

    def _give_up(self, commit: _Commit, failure: Exception) -> None:
        if not commit.durable.done():
            commit.durable.set_exception(failure)
            commit.durable.exception()  # told to on_failure; not every step waits for its own
        self._landed()

    def _landed(self) -> None:
        self._in_flight -= 1
        if self._drained is not None and not self._in_flight:
            self._drained.set()

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
            log.error("the store refused a commit of %s: %s", self.sid, error, extra={"sid": self.sid})
            while self._backlog:
                self._give_up(self._backlog.popleft(), error)
            self._on_failure(error)

    async def landed(self) -> None:
        """Return when everything that was appended so far is durable. Raises JournalError if the store refused it."""
        if self.last is not None:
            await asyncio.shield(self.last)

    async def drain(self) -> None:
        """Return when nothing of this log is queued any more."""
        while self._in_flight:
            if self._drained is None or self._drained.is_set():
                self._drained = asyncio.Event()
            await self._drained.wait()

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
