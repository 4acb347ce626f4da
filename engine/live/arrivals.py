"""Clients on their way in: a reconnection window that closes meanwhile waits until they are through (L8)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Arrivals:
    """What was read before a deadline wins over it, although finding out whose it is takes the store some time.

    Whoever arrives has a bound of its own, so a window waits no longer than that.
    """

    def __init__(self) -> None:
        self._open: dict[int, None] = {}  # by number, in the order they came
        self._last = 0
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def one(self) -> Iterator[None]:
        """A client is arriving as long as this is open."""
        self._last += 1
        number = self._last
        self._open[number] = None
        try:
            yield
        finally:
            del self._open[number]
            self._go_on()

    def afterwards(self, callback: Callable[[], None]) -> None:
        """Call back once all that are arriving now are through; at once if nobody is."""
        if self._open:
            self._waiting.append((self._last, callback))
        else:
            callback()

    def _go_on(self) -> None:
        first = next(iter(self._open), self._last + 1)
        while self._waiting and self._waiting[0][0] < first:
            self._waiting.popleft()[1]()
