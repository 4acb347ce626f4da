"""P8: what an event, a timer and the monitor's look at one session cost among so many live ones."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import process_time
from typing import Final

from benchmarks.lives import machines
from benchmarks.nothing import NoJournal
from benchmarks.sides.serving import PAGE
from benchmarks.worker import serve_async
from engine.sessions import SessionManager
from server.cli import YOUNG_OBJECTS_MAX

EVENTS: Final = 2000
TIMERS: Final = 20_000
LOOKS: Final = 5000  # at least so many actors are looked at in a round


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def seconds_of(work: Callable[[], Awaitable[int]]) -> float:
    """Processor time of one, of as many as work says it did."""
    began = process_time()
    count = await work()
    return (process_time() - began) / count


class Crowd:
    """A manager with count live sessions."""

    def __init__(self, count: int) -> None:
        self.manager = SessionManager(machines("grow"), NoJournal())
        self._count = count
        self._random = random.Random(count)

    async def fill(self) -> dict[str, float]:
        """What each takes: bytes, and processor time to create it."""
        await self.manager.start()
        before, began = resident(), process_time()
        self.sids = [(await self.manager.create()).sid for _ in range(self._count)]
        spent = process_time() - began
        return {"session_bytes": (resident() - before) / self._count, "create_s": spent / self._count}

    async def events(self) -> int:
        for sid in self._random.choices(self.sids, k=EVENTS):
            assert (await self.manager.send(sid, name="go")).ok
        return EVENTS

    async def timers(self) -> int:
        clock = self.manager.clock
        for _ in range(TIMERS):
            clock.call_at(clock.now() + self._random.uniform(60, 90_000), _nothing).cancel()
        return TIMERS

    async def monitor(self) -> int:
        monitor, passes = self.manager._monitor, -(-LOOKS // self._count)
        for _ in range(passes):
            monitor._due.clear()
            await monitor._pass()
        return passes * self._count


def _nothing() -> None:
    """What a timer would do."""


async def main(count: int) -> None:
    gc.set_threshold(YOUNG_OBJECTS_MAX)  # as a server does
    crowd = Crowd(count)
    filled = await crowd.fill()
    tasks = len(asyncio.all_tasks())

    async def play() -> dict[str, float]:
        works = {"event_s": crowd.events, "timer_s": crowd.timers, "look_s": crowd.monitor}
        found = {name: await seconds_of(work) for name, work in works.items()}
        return {**found, **filled, "tasks": tasks}

    await serve_async(play, "session-steward")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
