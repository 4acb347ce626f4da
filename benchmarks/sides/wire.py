"""P3: commands over WebSockets, 50 connections with 4 in flight each, from this process to a server in another."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections import deque
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

from benchmarks.scenario import PEERS
from benchmarks.sides.links import Link, dial
from benchmarks.sides.serving import Server, other, raise_limits, steward
from benchmarks.worker import serve_async

CONNECTIONS: Final = 50
IN_FLIGHT: Final = 4
FULL_S: Final = 1.2
HALF_S: Final = 1.2
TICK_S: Final = 0.002
DRAIN_S: Final = 10.0
RES: Final = b'{"t":"res"'
ECHO: Final = (sys.executable, "-m", "benchmarks.sides.echo")


@dataclass
class Peer:
    """One connection's books: its last number, when what is in flight was sent."""

    link: Link
    ready: asyncio.Future[None]
    c: int = 0
    sent: deque[float] = field(default_factory=deque)

    def command(self) -> None:
        self.c += 1
        self.sent.append(perf_counter())
        self.link.send(b'{"t":"cmd","c":%d,"name":"flip"}' % self.c)


class Load:
    """All connections. is_closed_loop: an answer is followed by the next command at once."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.peers: list[Peer] = []
        self.taken: list[float] = []
        self.is_closed_loop = False
        self.failed = 0

    async def connect(self, *, with_hello: bool) -> None:
        for _ in range(CONNECTIONS):
            hello = self._hello() if with_hello else None
            link = await dial(self.server.port, "/v1/ws", self._heard, hello)
            link.note = Peer(link, asyncio.get_running_loop().create_future())
            self.peers.append(link.note)
        if with_hello:
            async with asyncio.timeout(DRAIN_S):
                await asyncio.gather(*(peer.ready for peer in self.peers))

    def _hello(self) -> dict[str, Any]:
        fresh = {"token": secrets.token_urlsafe(32), "cid": secrets.token_urlsafe(9), "n": 1}
        return {"t": "hello", **fresh, "create": {"team": "bench"}, "auth": self.server.key}

    def _heard(self, link: Link, text: bytes) -> None:
        if text.startswith(RES):
            peer: Peer = link.note
            self.taken.append(perf_counter() - peer.sent.popleft())
            self.failed += b'"ok":true' not in text
            if self.is_closed_loop:
                peer.command()
        elif b'"to":"active"' in text and not link.note.ready.done():
            link.note.ready.set_result(None)

    async def full(self) -> dict[str, float]:
        """As fast as it goes."""
        self.taken, cpu, began = [], self.server.cpu_s, perf_counter()
        self.is_closed_loop = True
        for peer in self.peers:
            for _ in range(IN_FLIGHT):
                peer.command()
        await asyncio.sleep(FULL_S)
        count, seconds, spent = len(self.taken), perf_counter() - began, self.server.cpu_s - cpu
        latencies = sorted(self.taken)
        await self._drain()
        rate = {"commands_s": count / seconds, "server_s": spent / count}
        return {**rate, "p50_s": latencies[count // 2], "p99_s": latencies[int(count * 0.99)]}

    async def half(self, rate: float) -> float:
        """The 99th percentile at a steady pace, half of the fullest."""
        self.taken, began, sent = [], perf_counter(), 0
        while (spent := perf_counter() - began) < HALF_S:
            while sent < spent * rate / 2:
                self.peers[sent % CONNECTIONS].command()
                sent += 1
            await asyncio.sleep(TICK_S)
        await self._drain()
        return sorted(self.taken)[int(len(self.taken) * 0.99)]

    async def _drain(self) -> None:
        self.is_closed_loop = False
        async with asyncio.timeout(DRAIN_S):
            while any(peer.sent for peer in self.peers):  # noqa: ASYNC110 - it is the server that answers
                await asyncio.sleep(TICK_S)


async def start(name: str) -> Server:
    if name.startswith("steward"):
        return await steward(uvloop=name.endswith("uvloop"))
    if name == "ws":
        return await other("node", str(PEERS / "node/echo.mjs"))
    return await other(*ECHO, *(["uvloop"] if name.endswith("uvloop") else []))


async def main(name: str) -> None:
    raise_limits()
    server = await start(name)
    try:
        load = Load(server)
        await load.connect(with_hello=name.startswith("steward"))
        await load.full()  # so that everything is warm

        async def play() -> dict[str, float]:
            load.failed = 0
            found = await load.full()
            found["half_p99_s"] = await load.half(found["commands_s"])
            if load.failed:
                raise RuntimeError(f"{load.failed} commands were not done")
            return found

        await serve_async(play, "session-steward", "aiohttp", "orjson", "apsw", "uvloop")
    finally:
        await server.kill()


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    asyncio.run(main(sys.argv[1]))
