"""A loop whose time jumps to the next deadline when nothing is ready: hours of a life in milliseconds, no sleeps."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

THREADS_REAL_S: Final = 1.0  # while a thread of the loop works, time stands still, but not longer than that
TICK_S: Final = 1e-7  # of virtual time; a float still tells it apart after ten years
IDLE_REAL_S: Final = 10.0  # with no deadline, only a thread or a socket could wake us: wait that long, then say so
SETTLE_TURNS_MAX: Final = 100_000

P = ParamSpec("P")
T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Never blocks while a deadline is known: moves the loop's clock there instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(IDLE_REAL_S)
            if not ready:
                raise RuntimeError("virtual time stands still: every task waits and no timer is armed")
            return ready
        if self.loop.threads and (ready := super().select(THREADS_REAL_S)):
            return ready
        self.loop.advance(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """time() starts at `at`, 0 if nothing is said, and moves only when everything waits."""

    def __init__(self, at: float = 0.0) -> None:
        self._virtual = at
        self.threads = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = TICK_S

    def time(self) -> float:
        return self._virtual

    def advance(self, seconds: float) -> None:
        self._virtual += max(0.0, seconds)

    def run_in_executor(  # type: ignore[override]
        self, executor: concurrent.futures.Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self.threads -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Without a time-out: its timer would be the only one and fire before a thread could end."""
        await super().shutdown_default_executor()

    async def settle(self) -> None:
        """Return when every task waits for time or for something outside."""
        for _ in range(SETTLE_TURNS_MAX):
            await asyncio.sleep(0)
            if not self._ready:  # type: ignore[attr-defined]
                return
        raise RuntimeError(f"something still runs after {SETTLE_TURNS_MAX} turns of the loop without time passing")


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run on a VirtualLoop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test a plain one that runs on a VirtualLoop of its own; goes below @given and fixtures."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run
