"""P5: every session is cut at once, misses twenty messages, and comes back by the rules for dialling again."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any, Final

from benchmarks.lives.handlers import MISSED
from benchmarks.sides.crowd import Member, gather, states, until
from benchmarks.sides.links import Link, dial
from benchmarks.sides.serving import Server, other, raise_limits, steward
from benchmarks.sides.wire import ECHO
from benchmarks.worker import serve_async

SESSIONS: Final = 5000
SPARE: Final = 200  # descriptors for everything else
DIAL_S: Final = 1.0  # rule 12: the first dial is spread over a second
POINTS: Final = 60  # of the curve
LIVE_S: Final = 120.0


class Storm:
    """From the first dial on: when each came to live."""

    def __init__(self, count: int) -> None:
        self._began = perf_counter()
        self._count = count
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.at: list[float] = []

    def live(self) -> None:
        self.at.append(perf_counter() - self._began)
        if len(self.at) == self._count:
            self._over.set_result(None)

    async def over(self) -> None:
        async with asyncio.timeout(LIVE_S):
            await self._over

    def told(self) -> dict[str, Any]:
        at = sorted(self.at)
        steps = [round(position * (len(at) - 1) / POINTS) for position in range(POINTS + 1)]
        curve = [[round(at[step], 3), step + 1] for step in steps]
        return {"all_s": at[-1], "half_s": at[len(at) // 2], "curve": curve, "sessions": len(at)}


def offsets(count: int) -> Iterator[float]:
    return (random.uniform(0, DIAL_S) for _ in range(count))


async def of_steward(server: Server, members: list[Member]) -> dict[str, Any]:
    for member in members:
        assert member.link is not None
        member.numbers.clear()
        member.faults = 0
        member.link.transport.abort()
    await until(lambda: all(state == "reconnecting" for state in states(server)), every_s=1.0)
    cpu, storm, pairs = server.cpu_s, Storm(len(members)), zip(members, offsets(len(members)), strict=True)
    dials = await asyncio.gather(*(member.come_back(offset, storm.live) for member, offset in pairs))
    lost = sum(len({*range(MISSED)} - {*member.numbers}) for member in members)
    # Who is cut off once more misses twenty more, under numbers of their own: twice is what has the same number.
    faults = sum(member.faults for member in members)
    return {**storm.told(), "lost": lost, "doubled": faults, "dials": sum(dials), "cpu_s": server.cpu_s - cpu}


async def of_bare(server: Server, count: int) -> dict[str, Any]:
    """The floor: each connection is answered with as many frames, which nobody has stored."""
    storm = Storm(count)
    links: list[Link] = []

    def heard(link: Link, text: bytes) -> None:
        link.note = (link.note or 0) + 1
        if link.note == MISSED:
            storm.live()

    async def back(offset: float) -> None:
        await asyncio.sleep(offset)
        links.append(await dial(server.port, "/v1/ws", heard, {"t": "hello", "events": MISSED}))

    cpu = server.cpu_s
    await asyncio.gather(*(back(offset) for offset in offsets(count)))
    await storm.over()
    for link in links:
        link.transport.abort()
    return {**storm.told(), "dials": count, "cpu_s": server.cpu_s - cpu}


async def main(name: str) -> None:
    count = min(SESSIONS, raise_limits() - SPARE)
    server = await (steward() if name == "steward" else other(*ECHO))
    try:
        members = [Member(server) for _ in range(count if name == "steward" else 0)]
        await gather(members)

        async def play() -> dict[str, Any]:
            return await (of_steward(server, members) if members else of_bare(server, count))

        await serve_async(play, "session-steward", "aiohttp", "apsw")
    finally:
        await server.kill()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
