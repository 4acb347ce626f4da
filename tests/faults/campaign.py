"""The campaigns, short in the suite and long by `make faults`: people on a bad network, and a server that is killed."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from server import dialling
from tests.faults.people import Group, group
from tests.faults.proxy import Network
from tests.faults.server import KEY, POINTS

ROOT = Path(__file__).parents[2]
START_S = 60.0
STILL_S = 60.0  # in which nothing comes to anybody: on a machine that has much to do it says more than the whole time


@dataclass
class Server:
    """The server of server.py in a process of its own, on one port whatever happens to it."""

    data: Path
    port: int = 0
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, point: str = "", nth: int = 0) -> bool:
        """Whether it came up; it may be told to die before that."""
        words = ("-m", "tests.faults.server", str(self.data), str(self.port), *((point, str(nth)) if point else ()))
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=asyncio.subprocess.PIPE, cwd=ROOT
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            line = (await self.process.stdout.readline()).decode().strip()
        if line:
            self.port = int(line.rsplit(":", 1)[1])
        return bool(line)

    async def kill(self) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def died(self, within_s: float) -> bool:
        """Whether it has come to its point within that time."""
        assert self.process is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.process.wait()
        return self.process.returncode is not None


@asynccontextmanager
async def hurried() -> AsyncIterator[aiohttp.ClientSession]:
    """Clients that dial again at once, so that a campaign shows more in less time. Their rule 12 is shown elsewhere."""
    patient, dialling.BACKOFF_S_MAX = dialling.BACKOFF_S_MAX, 0.1
    tries, dialling.FIRST_DIALS_MAX = dialling.FIRST_DIALS_MAX, 10_000
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            yield http
    finally:
        dialling.BACKOFF_S_MAX, dialling.FIRST_DIALS_MAX = patient, tries


async def all_have_lived(living: asyncio.Future[Any], groups: list[Group]) -> None:
    """Wait for living, for as long as anything comes to anybody."""
    before = -1
    while not living.done():
        seen = sum(one.seen for one in groups)
        assert seen > before, f"nothing came to anybody for {STILL_S:g} s"
        before = seen
        await asyncio.wait({living}, timeout=STILL_S)
    await living


async def check_all(groups: list[Group], http: aiohttp.ClientSession, url: str) -> None:
    for one in groups:
        await one.check(http, url)
    async with http.get(f"{url}/v1/sessions", headers={"Authorization": f"Bearer {KEY}"}) as answer:
        sids = {session["sid"] for session in (await answer.json())["sessions"]}
    assert sids == {one.people[0].sid for one in groups}, "L12: as many sessions as groups of clients"


async def through_a_bad_network(
    data: Path, seed: int, *, sessions: int, people: int, commands: int, frames_between: float = 40.0
) -> Counter[str]:
    """How often each fault was done. Raises AssertionError for whatever was lost, doubled or changed."""
    source = random.Random(seed)
    server = Server(data)
    assert await server.start()
    network = Network(server.port, source, frames_between)
    await network.start()
    try:
        async with hurried() as http:
            address = f"http://127.0.0.1:{network.port}"
            groups = [group(http, address, KEY, number, people, commands) for number in range(sessions)]
            await all_have_lived(asyncio.gather(*(one.live() for one in groups)), groups)
            await check_all(groups, http, server.url)
    finally:
        await network.stop()
        await server.kill()
    return network.done


async def under_kills(data: Path, seed: int, *, kills: int, sessions: int = 4, commands: int = 25) -> Counter[str]:
    """How often the server died at each point. Raises AssertionError as above."""
    source = random.Random(seed)
    died: Counter[str] = Counter()
    points = [*POINTS, "at random"]
    while sum(died.values()) < kills:
        server = Server(data / str(sum(died.values())))
        server.data.mkdir(mode=0o700, parents=True)
        assert await server.start(), "for a port that stays"
        await server.kill()
        async with hurried() as http:
            groups = [group(http, server.url, KEY, number, 2, commands) for number in range(sessions)]
            living = asyncio.gather(*(one.live() for one in groups))
            for _ in range(source.randint(2, 4)):
                point = points[sum(died.values()) % len(points)]
                died[point] += await _one_death(server, point, source)
            assert await server.start()
            await all_have_lived(living, groups)
            await check_all(groups, http, server.url)
        await server.kill()
    return died


async def _one_death(server: Server, point: str, source: random.Random) -> bool:
    """Let it come up, and die at the point; if it has no reason to come there, by itself a moment later."""
    if point == "at random":
        assert await server.start()
        await asyncio.sleep(source.uniform(0.0, 0.3))
        await server.kill()
        return True
    is_up = await server.start(point, 1 if point.startswith("while") else source.randint(1, 12))
    has_died = not is_up or await server.died(source.uniform(0.5, 1.0))
    await server.kill()
    return has_died
