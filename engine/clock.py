"""Time as a port: one heap of deadlines for the whole process, on the loop's monotonic clock."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from math import isfinite
from typing import Any, Final

from .tasks import engine_context

TICK_S: Final = 1e-6  # of UTC as a float: its step in this century is a quarter of that
HEAP_SLACK: Final = 64  # cancelled entries that may lie in the heap before it is rebuilt without them


def _nothing() -> None:
    """What a cancelled timer would call."""


class Timer:
    """One armed deadline. cancel() costs nothing until the heap is next rebuilt."""

    __slots__ = ("_args", "_callback", "_clock", "deadline")

    def __init__(self, clock: Clock, deadline: float, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._clock: Clock | None = clock
        self.deadline = deadline
        self._callback = callback
        self._args = args

    @property
    def is_armed(self) -> bool:
        return self._clock is not None

    def cancel(self) -> None:
        if self._clock is not None:
            clock, self._clock = self._clock, None
            # The heap may keep a cancelled timer for hours; it must not keep what its callback holds.
            self._callback, self._args = _nothing, ()
            clock._forget()

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
        self._number = 0
        self._cancelled = 0
        self._wake: asyncio.TimerHandle | None = None
        # A handler's call may arm a timer; what fires later does not work for that handler.
        self._context = engine_context()

    def now(self) -> float:
        return self._offset + self._loop.time()

    def __len__(self) -> int:
        """How many timers are armed."""
        return len(self._heap) - self._cancelled

    def call_at(self, deadline: float, callback: Callable[..., None], *args: Any) -> Timer:
        """Call back once at or after deadline (UTC seconds); at the loop's next turn if it is past.

        Raises TypeError, ValueError or OverflowError for what is no time: in the heap it would be everybody's (C7).
        """
        if not isfinite(deadline):
            raise ValueError(f"{deadline} is no time")
        timer = Timer(self, deadline, callback, args)
        self._number += 1
        heapq.heappush(self._heap, (deadline, self._number, timer))
        if self._heap[0][2] is timer:
            self._arm()
        return timer

    def close(self) -> None:
        """Disarm everything."""
        for _, _, timer in self._heap:
            timer._clock = None
        self._heap.clear()
        self._cancelled = 0
        self._arm()

    def _forget(self) -> None:
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
        if self._heap:
            when = self._heap[0][0] - self._offset
            self._wake = self._loop.call_at(when, self._fire, context=self._context)

    def _fire(self) -> None:
        self._wake = None
        # The loop may wake a clock tick early (its resolution); what is due within it counts as due. What is armed
        # meanwhile waits for the next turn, so that a timer that arms itself in the past does not hold the loop.
        due, last = self.now() + TICK_S, self._number
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
