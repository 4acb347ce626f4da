"""What survives the death of a process, and one process's way to it, which may err, stall and be torn off."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from ..errors import JournalError
from ..journal.base import Append
from ..journal.changes import Head
from ..journal.memory import MemoryStore
from ..journal.queued import Job, QueuedJournal, run_changes, run_reads
from .faults import Strikes

STALL_S_MAX: Final = 40.0


class Disk(MemoryStore):
    """A store that also remembers what was trimmed: evidence of everything that ever was durable, by sid."""

    def __init__(self, on_written: Callable[[Append], None] | None = None) -> None:
        super().__init__()
        self.written: dict[str, list[Append]] = {}
        self._on_written = on_written

    def extend(self, append: Append, before: Head, after: Head) -> None:
        super().extend(append, before, after)
        self.written.setdefault(append.sid, []).append(append)
        if self._on_written is not None:
            self._on_written(append)

    def durable(self, sid: str) -> tuple[int, int]:
        """The last revision and the last update of a session."""
        head = self.head(sid)
        return (head.rev, head.seq) if head is not None else (0, 0)


class SimulatedJournal(QueuedJournal):
    """A Journal over a disk that other processes had before, and will have. latency_s: of one round of the disk."""

    def __init__(self, disk: Disk, strikes: Strikes, latency_s: float) -> None:
        super().__init__(disk)
        self._disk = disk
        self._strikes = strikes
        self._latency_s = latency_s
        self._jobs: deque[Job] = deque()
        self._is_woken = False

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        if self._loop is not None:
            self._work()
            self._loop = None

    def die(self, is_torn: bool) -> int:
        """Nothing is taken any more. is_torn: the first half of what waits is still written, and nobody hears of it;
        gives how much that was."""
        self._loop = None
        changes = [job.change for job in self._jobs if job.change is not None] if is_torn else []
        torn = changes[: (len(changes) + 1) // 2]
        self._disk.write(torn)
        self._jobs.clear()
        return len(torn)

    def _put(self, job: Job) -> None:
        self._jobs.append(job)
        if not self._is_woken:
            self._wake(self._latency_s)

    def _wake(self, seconds: float) -> None:
        assert self._loop is not None
        self._is_woken = True
        if seconds:
            self._loop.call_later(seconds, self._round)
        else:
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        if self._loop is None:
            return
        fault = self._strikes.next("store")
        if fault is not None and fault.kind == "store stalls":
            seconds = fault.amount * STALL_S_MAX
            self._strikes.reach(fault.kind, f"{seconds:.1f} s")
            self._wake(seconds)
            return
        self._is_woken = False
        if fault is None:
            self._work()
        else:
            self._strikes.reach(fault.kind)
            self._fail(is_written=fault.kind == "store errs after it wrote")

    def _work(self) -> None:
        jobs = list(self._jobs)
        self._jobs.clear()
        self._settle(run_changes(self._disk, jobs))
        self._settle(run_reads(jobs))

    def _fail(self, *, is_written: bool) -> None:
        jobs = list(self._jobs)
        self._jobs.clear()
        if is_written:
            run_changes(self._disk, jobs)
        error = JournalError("the disk fails, as its fault is due")
        self._settle([(job, error) for job in jobs])
