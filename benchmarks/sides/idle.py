"""P4: what a server keeps in memory for one more idle connection, with a session behind it and without."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from benchmarks.sides.crowd import Member, gather
from benchmarks.sides.links import dial
from benchmarks.sides.serving import Server, other, raise_limits, steward
from benchmarks.sides.wire import ECHO
from benchmarks.worker import serve_async

FIRST: Final = 200  # so that caches, pools and tables that grow by doubling are there
MORE: Final = 1000
SETTLE_S: Final = 0.5


async def of_bare(server: Server) -> float:
    links = [await dial(server.port, "/v1/ws", lambda link, text: None) for _ in range(FIRST)]
    await asyncio.sleep(SETTLE_S)
    before = server.rss
    links += [await dial(server.port, "/v1/ws", lambda link, text: None) for _ in range(MORE)]
    await asyncio.sleep(SETTLE_S)
    return (server.rss - before) / MORE


async def of_sessions(server: Server) -> float:
    members = [Member(server) for _ in range(FIRST + MORE)]
    await gather(members[:FIRST])
    await asyncio.sleep(SETTLE_S)
    before = server.rss
    await gather(members[FIRST:])
    await asyncio.sleep(SETTLE_S)
    return (server.rss - before) / MORE


async def main(name: str) -> None:
    raise_limits()

    async def play() -> dict[str, float]:
        server = await (steward() if name == "steward" else other(*ECHO))  # memory that was once taken stays taken
        try:
            return {"bytes": await (of_sessions(server) if name == "steward" else of_bare(server))}
        finally:
            await server.kill()

    await serve_async(play, "session-steward", "aiohttp")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
