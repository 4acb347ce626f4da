"""P10: simulated histories a second of one processor; the floor is a bare loop in virtual time, hand-written tasks."""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
import random
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable
from time import process_time
from typing import Any

from benchmarks.pace import ROUND_S
from benchmarks.worker import serve
from server.simulation.campaign import play_all
from server.simulation.house import small


class BareLoop(asyncio.AbstractEventLoop):
    """Forty lines: callbacks in order, time that jumps, and nothing else."""

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._now = 0.0

    def run(self) -> None:
        events._set_running_loop(self)
        while self._ready or self._timers:
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
            if self._timers:
                self._now, _, timer = heapq.heappop(self._timers)
                self._ready.append(timer)
        events._set_running_loop(None)

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_task(self, coro: Any, **kwargs: Any) -> Any:
        return asyncio.Task(coro, loop=self, **kwargs)

    def create_future(self) -> Any:
        return asyncio.Future(loop=self)

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is skipped when it comes."""


async def agent(inbox: asyncio.Queue[int], outbox: asyncio.Queue[int], fails_at: int) -> None:
    while (work := await inbox.get()) >= 0:
        await asyncio.sleep(0.2)
        if work == fails_at:
            raise RuntimeError("the fault of this history")
        outbox.put_nowait(work)


async def orchestrator(inbox: asyncio.Queue[int], outbox: asyncio.Queue[int], fails_at: int) -> None:
    boxes: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(2)]
    tasks = [asyncio.ensure_future(agent(box, outbox, fails_at)) for box in boxes]
    while (work := await inbox.get()) >= 0:
        boxes[work % 2].put_nowait(work)
    for box in boxes:
        box.put_nowait(-1)
    await asyncio.gather(*tasks, return_exceptions=True)


async def session(source: random.Random) -> None:
    """A person says eight things and waits a while for each answer; then everything is ended."""
    inbox: asyncio.Queue[int] = asyncio.Queue()
    outbox: asyncio.Queue[int] = asyncio.Queue()
    team = asyncio.ensure_future(orchestrator(inbox, outbox, source.randrange(16)))
    for number in range(8):
        inbox.put_nowait(number)
        try:
            async with asyncio.timeout(1.0):
                await outbox.get()
        except TimeoutError:
            continue
    inbox.put_nowait(-1)
    await team


def bare_histories(count: int) -> None:
    for seed in range(count):
        loop: Any = BareLoop()  # type: ignore[abstract]
        task = loop.create_task(session(random.Random(seed)))
        loop.run()
        assert task.done()


def our_histories() -> Callable[[int], None]:
    house = small()
    seeds = itertools.count()

    def play(count: int) -> None:
        first = next(seeds) * 1000
        assert play_all(house, range(first, first + count)).histories == count

    return play


def pace(many: Callable[[int], None]) -> float:
    """many(n) plays n of them; how many a second of processor time."""
    gc.collect()
    count, began = 16, process_time()
    many(count)
    count = max(count, int(count * 3 * ROUND_S / (process_time() - began)))
    began = process_time()
    many(count)
    return count / (process_time() - began)


if __name__ == "__main__":
    play = bare_histories if sys.argv[1] == "bare" else our_histories()
    serve(lambda: {"histories_s": pace(play)})
