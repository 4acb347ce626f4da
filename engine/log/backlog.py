"""Commits of one session on their way to the store: handed over in order, and kept while the store is away.

A commit whose write failed may have been written all the same (a disk that fails at the sync). Asking for the very
same again is safe, so what is not known to be durable is asked for again, from the first on, until it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol

from ..errors import Busy, Corrupt, Fenced, JournalError, UnknownFormat, Violation
from ..journal.base import Append, Journal
from ..live.admission import Admission
from ..tasks import engine_context

BACKLOG_MAX: Final = 1024  # commits of one session that wait here, while the store is away or its queue is full
BACKLOG_BYTES_MAX: Final = 16 * 1024 * 1024  # … and what they may cost in memory
BUSY_RETRY_S: Final = 0.01  # until a full queue of the store is looked at again
RETRY_S: Final = 0.1  # until a store that failed is tried again; doubled each time, up to …
RETRY_MAX_S: Final = 5.0
STALL_MAX_S: Final = 300.0  # so much of a session's work may be lost at most: then it is rebuilt from its log
LASTING: Final = (Fenced, Violation, Corrupt, UnknownFormat)  # asking again does not help

log = logging.getLogger("steward.log")
# An append may come from a handler's call; what follows from it later does not work for that handler. One for all:
# the loop runs one callback at a time.
_CONTEXT: Final = engine_context()


class Commit:
    """One append on its way to the store. seq: of its last update (the last before it, if it has none).

    Who waits is called, in the loop's same turn; a future is made only for who asks for one. (Three futures a
    command, each with its turn of the loop, were a tenth of its time.)
    """

    __slots__ = ("_durable", "_error", "_is_over", "_waiting", "append", "seq")

    def __init__(self, append: Append, seq: int) -> None:
        self.append = append
        self.seq = seq
        self._waiting: list[Callable[[bool], None]] = []
        self._durable: asyncio.Future[None] | None = None
        self._is_over = False
        self._error: Exception | None = None

    @property
    def size(self) -> int:
        return len(self.append.record) + sum(map(len, self.append.updates))

    @property
    def numbered(self) -> Iterator[tuple[int, bytes]]:
        updates = self.append.updates
        return enumerate(updates, start=self.seq - len(updates) + 1)

    def when_over(self, settle: Callable[[bool], None]) -> None:
        """Call settle(whether it is durable) once that is known; it may not raise."""
        if self._is_over:
            settle(self._error is None)
        else:
            self._waiting.append(settle)

    @property
    def durable(self) -> asyncio.Future[None]:
        """Resolves when it is durable; raises what the store refused it for. To cancel it gives up nothing."""
        if self._durable is None:
            self._durable = asyncio.get_running_loop().create_future()
            self.when_over(self._resolve)
        return self._durable

    def _resolve(self, is_durable: bool) -> None:
        future = self._durable
        if future is None or future.done():
            return
        if self._error is None:
            future.set_result(None)
        else:
            future.set_exception(self._error)
            future.exception()  # told to the owner; not every step waits for its own

    def land(self) -> None:
        self._end(None)

    def give_up(self, error: Exception) -> None:
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if not self._is_over:
            self._is_over, self._error = True, error
            for settle in self._waiting:
                try:
                    settle(error is None)
                except Exception:
                    # One waiter's fault; those behind it, and the commits behind this one, are told all the same.
                    log.exception("who waited for a commit of %s failed", self.append.sid)
            self._waiting.clear()


class Owner(Protocol):
    """Whose commits they are. None of these may raise."""

    def commit_landed(self, commit: Commit) -> None:
        """commit is durable, and all before it."""

    def store_moved(self) -> None:
        """The store went away, or came back."""

    def store_failed(self, error: Exception) -> None:
        """Nothing is written any more; what was not known to be durable is given up."""


class Backlog:
    """All commits that are not known to be durable, in order; those in front are with the store already."""

    __slots__ = (
        "_admission",
        "_attempt",
        "_bytes",
        "_commits",
        "_drained",
        "_flying",
        "_is_failing",
        "_journal",
        "_owner",
        "_sid",
        "_stalled_at",
        "_timer",
        "error",
    )

    def __init__(self, sid: str, journal: Journal, owner: Owner, admission: Admission) -> None:
        self.error: Exception | None = None
        self._sid = sid
        self._journal = journal
        self._owner = owner
        self._admission = admission
        self._commits: list[Commit] = []  # short: an empty deque would take 760 bytes a session
        self._flying = 0  # verdicts that are due, each for one of the first commits
        self._bytes = 0  # of the others
        self._is_failing = False  # the first failed; the verdicts of those behind it mean nothing
        self._timer: asyncio.TimerHandle | None = None
        self._stalled_at: float | None = None
        self._attempt = 0
        self._drained: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._commits)

    @property
    def is_stalled(self) -> bool:
        """Whether the store failed, and commits are kept until it is well."""
        return self._stalled_at is not None

    @property
    def is_held_up(self) -> bool:
        """Whether commits wait here: nothing new should be taken from outside."""
        return self._timer is not None or self._stalled_at is not None

    def require_room(self) -> None:
        """Raises JournalError if no commit can be taken any more, or none now."""
        if self.error is not None:
            raise JournalError(f"the log of {self._sid} failed before: {self.error}")
        waiting = len(self._commits) - self._flying
        if waiting >= BACKLOG_MAX or self._bytes > BACKLOG_BYTES_MAX:
            raise JournalError(f"{waiting} commits of {self._sid} ({self._bytes} bytes) wait for the store already")

    def put(self, commit: Commit) -> None:
        """Queue one commit behind the others; require_room() was asked."""
        self._commits.append(commit)
        if self.is_held_up:
            self._bytes += commit.size
        elif not self._hand(commit):
            self._bytes = commit.size

    def _hand(self, commit: Commit) -> bool:
        """Give the next commit to the store; False if its queue is full, or it takes nothing at all."""
        try:
            written = self._journal.append(commit.append)
        except Busy:
            self._push_in(BUSY_RETRY_S)
            return False
        except Exception as error:
            self.abandon(JournalError(f"the store takes nothing now: {error}"))
            return False
        self._flying += 1
        handed_at = self._admission.handed()
        written.add_done_callback(partial(self._settled, commit, handed_at), context=_CONTEXT)
        return True

    def _push_in(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._push, context=_CONTEXT)

    def _push(self) -> None:
        """Hand over what waits, until the queue is full; to a store that failed the first alone."""
        self._timer = None
        while self._flying < (1 if self.is_stalled else len(self._commits)):
            commit = self._commits[self._flying]
            if not self._hand(commit):
                return
            self._bytes -= commit.size

    def _settled(self, commit: Commit, handed_at: float, written: asyncio.Future[None]) -> None:
        self._flying -= 1
        failure = _failure(written)
        self._admission.settled(handed_at, None if isinstance(failure, LASTING) else failure)
        if self.error is None and not self._is_failing:
            self._judge(commit, failure)
        if self._is_failing and not self._flying:
            self._is_failing = False
            self._bytes = sum(one.size for one in self._commits)
            self._push_in(self._pause_s())
        self._note_drained()

    def _judge(self, commit: Commit, failure: Exception | None) -> None:
        """The verdict on the first commit."""
        if failure is None:
            self._land()
        elif self._is_lasting(commit, failure):
            self.abandon(failure)
        else:
            self._is_failing = True
            self._stall(failure)

    def _land(self) -> None:
        commit = self._commits.pop(0)
        commit.land()
        self._owner.commit_landed(commit)
        if self._stalled_at is not None:
            self._stalled_at, self._attempt = None, 0
            log.info("the store takes the commits of %s again", self._sid, extra={"sid": self._sid})
            self._admission.unstalled()
            self._owner.store_moved()
            self._push()

    def _is_lasting(self, commit: Commit, failure: Exception) -> bool:
        """Whether it is given up at once. A creation is: who asked for it is told, and asks again (C5)."""
        if not isinstance(failure, JournalError) or isinstance(failure, LASTING) or commit.append.session is not None:
            return True
        return self._stalled_at is not None and _now() - self._stalled_at > STALL_MAX_S

    def _stall(self, failure: Exception) -> None:
        if self._stalled_at is None:
            self._stalled_at = _now()
            log.warning("the commits of %s are kept for now: %s", self._sid, failure, extra={"sid": self._sid})
            self._admission.stalled()
            self._owner.store_moved()

    def _pause_s(self) -> float:
        longest = min(RETRY_MAX_S, RETRY_S * 2 ** min(self._attempt, 16))
        self._attempt += 1
        # Spread, so that thousands of sessions do not ask in the same moment.
        return self._admission.random.uniform(longest / 2, longest)

    def abandon(self, error: Exception) -> None:
        """Write nothing any more: what is not known to be durable has not happened."""
        if self.error is not None:
            return
        self.error = error
        self._is_failing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stalled_at is not None:
            self._stalled_at = None
            self._admission.unstalled()
        given_up, self._commits = self._commits, []
        for commit in given_up:
            commit.give_up(error)
        self._note_drained()
        self._owner.store_failed(error)

    def _note_drained(self) -> None:
        if self._drained is not None and self._is_drained:
            self._drained.set()
            self._drained = None

    @property
    def _is_drained(self) -> bool:
        return not self._flying and not self._commits

    async def drain(self) -> None:
        """Return when nothing of it is on its way any more."""
        while not self._is_drained:
            if self._drained is None:
                self._drained = asyncio.Event()
            await self._drained.wait()


def _failure(written: asyncio.Future[None]) -> Exception | None:
    if written.cancelled():
        return JournalError("the write was given up")
    error = written.exception()
    return error if error is None or isinstance(error, Exception) else JournalError(str(error))


def _now() -> float:
    return asyncio.get_running_loop().time()
