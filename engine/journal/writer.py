"""The one thread that owns a store: takes everything queued, writes it together, then tells all waiters at once."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final

from ..errors import JournalError
from .queued import Job, QueuedJournal, Store, run_changes, run_reads

JOBS_TOGETHER_MAX: Final = 512  # one transaction; more would make the first of them wait longer than they save
CLOSE_WAIT_S: Final = 10.0
JOIN_WAIT_S: Final = 1.0  # the thread has said that it is at its end
THREAD_NAME: Final = "steward-journal"


class ThreadedJournal(QueuedJournal):
    """A Journal whose store blocks. open() starts the thread, close() ends and joins it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._queue: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._asked: list[Job] = []  # in this turn of the loop
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        if self._thread is not None and self._loop is loop:
            return
        if self._thread is not None:
            raise JournalError("the journal is open in another loop, or was not opened to the end: close it first")
        opened: asyncio.Future[None] = loop.create_future()
        self._ended = loop.create_future()
        self._queue, self._asked = SimpleQueue(), []
        # A daemon: a process that forgets close() still ends; what it was told is durable is on the disk already.
        self._thread = threading.Thread(
            target=self._work, args=(loop, self._queue, opened, self._ended), name=THREAD_NAME, daemon=True
        )
        self._thread.start()
        try:
            await asyncio.shield(opened)
        except JournalError:
            await self._join()
            raise
        self._appends_queued = self._bytes_queued = self._asked_queued = 0
        self._loop = loop

    async def close(self) -> None:
        """See Journal.close. Raises JournalError if the disk does not answer within CLOSE_WAIT_S."""
        self._loop = None
        if self._thread is not None:
            self._hand_over()
            self._queue.put(None)
            await self._join()

    async def _join(self) -> None:
        thread, ended = self._thread, self._ended
        if thread is None or ended is None:
            return
        if ended.get_loop() is asyncio.get_running_loop():
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WAIT_S):
                    await asyncio.shield(ended)
            thread.join(JOIN_WAIT_S)
        else:
            # Opened in a loop that is gone and could not tell us; nothing of it is left to be delayed by waiting here.
            thread.join(CLOSE_WAIT_S)
        if thread.is_alive():
            raise JournalError(f"the journal's disk has not answered for {CLOSE_WAIT_S:g} s; its thread is left behind")
        if self._thread is thread:
            self._thread = None

    def _put(self, job: Job) -> None:
        """What one turn of the loop asks for goes to the thread together: to wake it for each one, and to contend with
        it for the interpreter, was a tenth of the server's time for a command."""
        self._asked.append(job)
        if len(self._asked) == 1 and self._loop is not None:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        asked, self._asked = self._asked, []
        if asked:
            self._queue.put(asked)

    # From here on: in the thread.

    def _work(
        self,
        loop: asyncio.AbstractEventLoop,
        queue: SimpleQueue[list[Job] | None],
        opened: asyncio.Future[None],
        ended: asyncio.Future[None],
    ) -> None:
        try:
            if self._open(loop, opened):
                self._serve(loop, queue)
        finally:
            try:
                self._store.close()
            finally:
                _tell(loop, _resolve, ended, None)

    def _open(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[None]) -> bool:
        problem: Exception | None = None
        try:
            self._store.open()
        except JournalError as error:
            problem = error
        except Exception as error:  # a bug of ours: whoever opens gets it, and does not wait for ever
            problem = JournalError(f"the journal could not be opened: {error!r}")
        _tell(loop, _resolve, opened, problem)
        return problem is None

    def _serve(self, loop: asyncio.AbstractEventLoop, queue: SimpleQueue[list[Job] | None]) -> None:
        is_last = False
        while not is_last:
            jobs, is_last = _take(queue)
            for first in range(0, len(jobs), JOBS_TOGETHER_MAX):
                self._run(loop, jobs[first : first + JOBS_TOGETHER_MAX])

    def _run(self, loop: asyncio.AbstractEventLoop, jobs: list[Job]) -> None:
        # Changes first: a long read must not delay what was asked with it. Their verdicts go out at once.
        for verdicts in (run_changes(self._store, jobs), run_reads(jobs)):
            if verdicts:
                _tell(loop, self._settle, verdicts)


def _take(queue: SimpleQueue[list[Job] | None]) -> tuple[list[Job], bool]:
    """Wait for a job, then take what is queued with it; True if the end of the queue is among it."""
    asked = queue.get()
    jobs: list[Job] = []
    while asked is not None:
        jobs += asked
        # This thread is the only one that takes, so what is counted is there.
        if len(jobs) >= JOBS_TOGETHER_MAX or queue.empty():
            return jobs, False
        asked = queue.get_nowait()
    return jobs, True


def _tell(loop: asyncio.AbstractEventLoop, callback: Any, *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(callback, *args)
    except RuntimeError:
        # The loop is closed: whoever waited in it is gone, and what was written stays written.
        if not loop.is_closed():
            raise


def _resolve(future: asyncio.Future[None], problem: Exception | None) -> None:
    if future.done():
        return
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(problem)
        future.exception()  # told to whoever waits, if anybody still does
