"""What all journals share: one queue in the order of the calls, its bounds, and the waiters' futures.

The other half of a journal is its Store, which is synchronous, knows no loop and is used by one thread at a time.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from ..errors import Busy, JournalError
from .base import APPEND_BYTES_QUEUED_MAX, APPENDS_QUEUED_MAX, Append, SessionRow, TokenRow
from .changes import Change, Claim, Drop

ASKED_QUEUED_MAX: Final = 65_536  # everything but appends; each has a coroutine waiting for it


class Store(Protocol):
    """The synchronous half of a journal. The reads are the Journal's, without the waiting."""

    def open(self) -> None: ...

    def close(self) -> None: ...

    def write(self, changes: Sequence[Change]) -> list[Any]:
        """Make the changes durable together, in order; for each, in order, its result or the error it gets.
        One that is refused spoils none of the others. Raises nothing."""

    def session(self, sid: str) -> SessionRow | None: ...

    def sessions(self) -> list[SessionRow]: ...

    def records(self, sid: str, after: int, limit: int | None) -> list[bytes]: ...

    def updates(self, sid: str, after: int, limit: int) -> list[tuple[int, bytes]]: ...

    def token(self, digest: bytes) -> TokenRow | None: ...

    def tokens(self, sid: str) -> list[TokenRow]: ...


class Job(NamedTuple):
    """One thing asked of the store: a change, or else a read. size: bytes it keeps in memory while it waits."""

    future: asyncio.Future[Any]
    change: Change | None
    read: Callable[[], Any] | None
    size: int = 0


Verdict = tuple[Job, Any]  # the job and its result, or the error it gets


def run_changes(store: Store, jobs: Sequence[Job]) -> list[Verdict]:
    """Write all changes among the jobs, together."""
    changing = [job for job in jobs if job.change is not None]
    changes = [job.change for job in changing if job.change is not None]
    return list(zip(changing, store.write(changes), strict=True)) if changing else []


def run_reads(jobs: Sequence[Job]) -> list[Verdict]:
    """Run the reads among the jobs; one that nobody waits for any more is not run."""
    return [(job, _read(job.read)) for job in jobs if job.read is not None and not job.future.done()]


def _read(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except JournalError as error:
        return error
    except Exception as error:  # a bug of ours: the asker gets it, and the thread goes on for everyone else
        return JournalError(f"the journal could not be read: {error!r}")


class QueuedJournal(ABC):
    """A Journal over a Store. Subclasses say where and when the queue is worked off."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None  # None while nothing is accepted
        self._appends_queued = 0
        self._bytes_queued = 0
        self._asked_queued = 0

    @abstractmethod
    def _put(self, job: Job) -> None:
        """Queue a job behind all others. The journal is open."""

    def append(self, append: Append) -> asyncio.Future[None]:
        """See Journal.append."""
        if self._loop is None:
            return _refused_append()
        size = len(append.record) + sum(map(len, append.updates))
        if self._appends_queued >= APPENDS_QUEUED_MAX or self._is_heavy(size):
            raise Busy(f"the journal has {self._appends_queued} appends waiting for the disk")
        self._appends_queued += 1
        self._bytes_queued += size
        future: asyncio.Future[None] = self._loop.create_future()
        self._put(Job(future, append, None, size))
        return future

    def _is_heavy(self, size: int) -> bool:
        # One append alone is always taken, or a large one could never be written.
        return self._appends_queued > 0 and self._bytes_queued + size > APPEND_BYTES_QUEUED_MAX

    async def claim(self, sid: str) -> SessionRow:
        row: SessionRow = await self._ask(change=Claim(sid))
        return row

    async def drop(self, sid: str) -> None:
        await self._ask(change=Drop(sid))

    async def session(self, sid: str) -> SessionRow | None:
        row: SessionRow | None = await self._ask(lambda: self._store.session(sid))
        return row

    async def sessions(self) -> list[SessionRow]:
        rows: list[SessionRow] = await self._ask(self._store.sessions)
        return rows

    async def records(self, sid: str, after: int = 0, limit: int | None = None) -> list[bytes]:
        found: list[bytes] = await self._ask(lambda: self._store.records(sid, after, limit))
        return found

    async def updates(self, sid: str, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = await self._ask(lambda: self._store.updates(sid, after, limit))
        return found

    async def token(self, digest: bytes) -> TokenRow | None:
        row: TokenRow | None = await self._ask(lambda: self._store.token(digest))
        return row

    async def tokens(self, sid: str) -> list[TokenRow]:
        rows: list[TokenRow] = await self._ask(lambda: self._store.tokens(sid))
        return rows

    async def _ask(self, read: Callable[[], Any] | None = None, change: Change | None = None) -> Any:
        if self._loop is None:
            raise JournalError("the journal is not open")
        if self._asked_queued >= ASKED_QUEUED_MAX:
            raise Busy(f"the journal has {self._asked_queued} questions waiting")
        self._asked_queued += 1
        future: asyncio.Future[Any] = self._loop.create_future()
        self._put(Job(future, change, read))
        return await future

    def _settle(self, verdicts: Sequence[Verdict]) -> None:
        """Tell the waiters, in the loop. One that was cancelled is not told; its change is written all the same."""
        for job, verdict in verdicts:
            self._forget(job)
            if job.future.done():
                continue
            if isinstance(verdict, Exception):
                job.future.set_exception(verdict)
            else:
                job.future.set_result(verdict)

    def _forget(self, job: Job) -> None:
        if isinstance(job.change, Append):
            self._appends_queued -= 1
            self._bytes_queued -= job.size
        else:
            self._asked_queued -= 1


def _refused_append() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(JournalError("the journal is not open"))
    return future
