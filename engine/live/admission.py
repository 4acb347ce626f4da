"""Whether new work may be taken now: a store that fails or stalls takes no commands, an overloaded server no sessions.

What is under way goes on in all cases, and what is durable is delivered. New sessions are refused before anything
else is: those who are here already come first.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from ..errors import Refused
from ..journal.base import APPENDS_QUEUED_MAX
from ..observer import Observer
from ..tasks import engine_context

SLOW_S: Final = 2.0  # without an answer a disk counts as one that hangs; in good health it needs milliseconds
HOLD_S: Final = 2.0  # a failure counts for so long when no session keeps asking
STORE_RETRY_MS: Final = 1000
LAG_MAX_S: Final = 1.0  # the loop's turns come so late: heartbeats and deadlines of those who are here suffer
QUEUE_MAX: Final = APPENDS_QUEUED_MAX // 2  # commits on their way to the disk; at the bound itself all have to wait
OVERLOAD_RETRY_MS: Final = 5000


class Admission:
    """One for all sessions of a process: their logs tell it what the store does.

    lag_s: how late the loop's turns come, lastingly. changed: called when is_degraded changes.
    """

    def __init__(
        self,
        lag_s: Callable[[], float] = lambda: 0.0,
        changed: Callable[[], None] = lambda: None,
        source: random.Random | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.random = source or random.Random()
        self.is_degraded = False
        self.lag_s = lag_s
        self._changed = changed
        self._observer = observer or Observer()
        self._flying = 0  # commits the store has to answer
        self._moved_at = 0.0  # when it answered last, or got something to answer
        self._failed_at: float | None = None  # its last answer was a failure
        self._logs_stalled = 0
        self._timer: asyncio.TimerHandle | None = None

    # What logs tell it

    def handed(self) -> float:
        """The store was given a commit; when that was, which settled() asks for."""
        now = _now()
        if not self._flying:
            self._moved_at = now
            if self._timer is None:
                self._look_in(SLOW_S)
        self._flying += 1
        return now

    def settled(self, handed_at: float, failure: Exception | None) -> None:
        """It answered. failure: of the store; a refusal for the commit's own sake is none."""
        self._flying -= 1
        self._moved_at = _now()
        self._observer.landed(self._moved_at - handed_at)
        self._failed_at = self._moved_at if failure is not None else None
        if self.is_degraded or failure is not None:
            self._review()

    def stalled(self) -> None:
        """A log keeps its commits until the store is well."""
        self._logs_stalled += 1

    def unstalled(self) -> None:
        self._logs_stalled -= 1

    # What it says

    def refusal_of_session(self) -> Refused | None:
        """Why no new session is taken now."""
        if self.is_degraded:
            return store_away()
        if self._flying >= QUEUE_MAX or self.lag_s() >= LAG_MAX_S:
            return overloaded()
        return None

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _is_slow(self) -> bool:
        return self._flying > 0 and _now() - self._moved_at >= SLOW_S

    @property
    def _is_failing(self) -> bool:
        if self._failed_at is None:
            return False
        return self._logs_stalled > 0 or _now() - self._failed_at < HOLD_S

    def _review(self) -> None:
        was, self.is_degraded = self.is_degraded, self._is_failing or self._is_slow
        if self.is_degraded and self._timer is None:
            self._look_in(HOLD_S)
        if was != self.is_degraded:
            self._changed()

    def _look_in(self, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(delay_s, self._look, context=engine_context())

    def _look(self) -> None:
        self._timer = None
        self._review()
        if self._flying and self._timer is None:
            self._look_in(max(self._moved_at + SLOW_S - _now(), SLOW_S / 4))


def store_away() -> Refused:
    return Refused("store_unavailable", "the store takes nothing now; try again", retry_ms=STORE_RETRY_MS)


def overloaded() -> Refused:
    return Refused("overloaded", "this server has more to do than it can; come again", retry_ms=OVERLOAD_RETRY_MS)


def _now() -> float:
    return asyncio.get_running_loop().time()
