"""Time as a port: the deadlines of the whole process, on the loop's monotonic clock.

What is due soon is in a heap. What is later lies in buckets and costs the same however many there are: most deadlines
of sessions are hours away, and nearly all are cancelled long before.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Callable
from itertools import chain
from typing import Any, Final

from .tasks import engine_context

TICK_S: Final = 1e-6  # of UTC as a float: its step in this century is a quarter of that
HEAP_SLACK: Final = 64  # cancelled entries that may lie in the heap before it is rebuilt without them
SOON_S: Final = 64.0  # what is due within it goes into the heap at once; also how wide a bucket is


def _nothing() -> None:
    """What a cancelled timer would call."""


class Timer:
    """One armed deadline. cancel() costs nothing until the heap is next rebuilt. number: of two with one deadline the
    lower fires first."""

    __slots__ = ("_args", "_callback", "_clock", "deadline", "number")

    def __init__(
        self, clock: Clock, deadline: float, number: int, callback: Callable[..., None], args: tuple[Any, ...]
    ) -> None:
        self._clock: Clock | None = clock
        self.deadline = deadline
        self.number = number
        self._callback = callback
        self._args = args

    @property
    def is_armed(self) -> bool:
        return self._clock is not None

    def cancel(self) -> None:
        if self._clock is not None:
            clock, self._clock = self._clock, None
            # The heap may keep a cancelled timer for a while; it must not keep what its callback holds.
            self._callback, self._args = _nothing, ()
            clock._forget(self)

    def disarm(self) -> None:
        self._clock = None

    def fire(self) -> None:
        self._clock = None
        self._callback(*self._args)


class Clock:
    """now() in UTC seconds and call_at() for deadlines in the same unit.

    UTC is read once, when the clock is made, and then advanced by the loop's monotonic time: a step of the
    system's clock moves no deadline.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, utc: float | None = None) -> None:
        self._loop = loop
        self._offset = (time.time() if utc is None else utc) - loop.time()
        self._heap: list[tuple[float, int, Timer]] = []
        self._cancelled = 0  # of those in the heap
        self._later: dict[int, set[Timer]] = {}  # by number of the bucket: those of SOON_S from SOON_S times it on
        self._next_bucket = math.inf  # the first, or one before it
        self._number = 0
        self._wake: asyncio.TimerHandle | None = None
        # A handler's call may arm a timer; what fires later does not work for that handler.
        self._context = engine_context()

    def now(self) -> float:
        return self._offset + self._loop.time()

    def __len__(self) -> int:
        """How many timers are armed."""
        return len(self._heap) - self._cancelled + sum(map(len, self._later.values()))

    def call_at(self, deadline: float, callback: Callable[..., None], *args: Any) -> Timer:
        """Call back once at or after deadline (UTC seconds); at the loop's next turn if it is past.

        Raises TypeError, ValueError or OverflowError for what is no time: in the heap it would be everybody's (C7).
        """
        if not math.isfinite(deadline):
            raise ValueError(f"{deadline} is no time")
        self._number += 1
        timer = Timer(self, deadline, self._number, callback, args)
        if deadline - self.now() < SOON_S:
            self._push(timer)
            if self._heap[0][2] is timer:
                self._arm()
        else:
            self._put_by(timer)
        return timer

    def _push(self, timer: Timer) -> None:
        heapq.heappush(self._heap, (timer.deadline, timer.number, timer))

    def _put_by(self, timer: Timer) -> None:
        number = int(timer.deadline // SOON_S)
        bucket = self._later.get(number)
        if bucket is None:
            bucket = self._later[number] = set()
            if number < self._next_bucket:
                self._next_bucket = number
                self._arm()
        bucket.add(timer)

    def _draw_near(self, now: float) -> None:
        """Put what is in buckets that have begun into the heap."""
        if self._next_bucket * SOON_S > now:
            return
        for number in [one for one in self._later if one * SOON_S <= now]:
            for timer in self._later.pop(number):
                self._push(timer)
        self._next_bucket = min(self._later, default=math.inf)

    def close(self) -> None:
        """Disarm everything."""
        for timer in [*(entry[2] for entry in self._heap), *chain.from_iterable(self._later.values())]:
            timer.disarm()
        self._heap.clear()
        self._later.clear()
        self._cancelled, self._next_bucket = 0, math.inf
        self._arm()

    def _forget(self, timer: Timer) -> None:
        number = int(timer.deadline // SOON_S)
        bucket = self._later.get(number)
        if bucket is not None and timer in bucket:
            bucket.discard(timer)
            if not bucket:
                del self._later[number]
                self._next_bucket = self._next_bucket if self._later else math.inf
            return
        self._cancelled += 1
        if self._cancelled > HEAP_SLACK and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].is_armed]
            heapq.heapify(self._heap)
            self._cancelled = 0
            self._arm()

    def _arm(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        when = min(self._heap[0][0] if self._heap else math.inf, self._next_bucket * SOON_S)
        if self._heap or self._later:
            self._wake = self._loop.call_at(when - self._offset, self._fire, context=self._context)

    def _fire(self) -> None:
        self._wake = None
        # The loop may wake a clock tick early (its resolution); what is due within it counts as due. What is armed
        # meanwhile waits for the next turn, so that a timer that arms itself in the past does not hold the loop.
        due, last = self.now() + TICK_S, self._number
        self._draw_near(due)
        try:
            while self._heap and self._heap[0][0] <= due and self._heap[0][1] <= last:
                timer = heapq.heappop(self._heap)[2]
                if timer.is_armed:
                    timer.fire()
                else:
                    self._cancelled -= 1
        finally:
            # A callback that raises is the loop's to report; the other timers go on.
            self._arm()
