"""A network between clients and server that does what networks do, between WebSocket frames and within them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["cut", "tear", "drop", "delay", "slow", "black hole", "half-open", "copied tab"]
KINDS: Final[tuple[Kind, ...]] = ("cut", "tear", "drop", "delay", "slow", "black hole", "half-open", "copied tab")
BLOCK: Final = 64 * 1024
HEADER_END: Final = b"\r\n\r\n"
REPLACED: Final = 4501


@dataclass(frozen=True)
class Plan:
    """What one connection suffers: kind, at the nth frame of the server's (or the client's) side."""

    kind: Kind
    at: int
    is_servers: bool
    seconds: float


@dataclass
class Network:
    """Listens on a port of its own. done: how often each kind was really done. calm ends all faults."""

    upstream: int
    source: random.Random
    frames_between: float = 40.0  # the mean number of frames until something happens
    done: Counter[str] = field(default_factory=Counter)
    is_calm: bool = False
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def plan(self) -> Plan:
        at = 1 + int(self.source.expovariate(1 / self.frames_between))
        return Plan(self.source.choice(KINDS), at, self.source.random() < 0.7, self.source.uniform(0.05, 0.3))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.IncompleteReadError):
            await Line(self, self.plan(), reader, writer).run()
        writer.transport.abort()


class Line:
    """One connection through the network."""

    def __init__(
        self, network: Network, plan: Plan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._network = network
        self._plan = plan
        self._client = (reader, writer)
        self._request = b""
        self._hello = b""

    async def run(self) -> None:
        """Until either side ends, or the fault does."""
        upstream = await asyncio.open_connection("127.0.0.1", self._network.upstream, limit=2**20)
        self._server = upstream
        try:
            self._request = await self._client[0].readuntil(HEADER_END)
            upstream[1].write(self._request)
            self._client[1].write(await upstream[0].readuntil(HEADER_END))
            pumps = [
                asyncio.create_task(self._pump(upstream[0], self._client[1], is_servers=True)),
                asyncio.create_task(self._pump(self._client[0], upstream[1], is_servers=False)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in pumps:
                    one.cancel()
                ended = await asyncio.gather(*pumps, return_exceptions=True)
            for one in ended:
                if isinstance(one, AssertionError):
                    raise one
        finally:
            upstream[1].transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_servers: bool) -> None:
        plan, number = self._plan, 0
        async for frame in frames(reader):
            number += 1
            if not is_servers and not self._hello:
                self._hello = frame
            is_due = is_servers == plan.is_servers and number == plan.at and not self._network.is_calm
            if not is_due:
                writer.write(frame)
                await writer.drain()
                continue
            self._network.done[plan.kind] += 1
            if not await self._suffer(frame, writer):
                return

    async def _suffer(self, frame: bytes, writer: asyncio.StreamWriter) -> bool:
        """Do the fault; whether the line goes on."""
        match self._plan.kind:
            case "cut":
                return False
            case "tear":
                writer.write(frame[: len(frame) // 2])
                await writer.drain()
                return False
            case "drop" if not self._plan.is_servers:
                # A client's commands have no order but the connection's, and no network takes one from the middle.
                await asyncio.sleep(self._plan.seconds)
                return False
            case "drop":
                # What comes after it is delivered for a moment: whoever does not look at numbers would be deceived.
                asyncio.get_running_loop().call_later(self._plan.seconds, self._client[1].transport.abort)
                return True
            case "delay":
                await asyncio.sleep(self._plan.seconds)
            case "slow":
                for start in range(0, len(frame), 7):
                    writer.write(frame[start : start + 7])
                    await asyncio.sleep(0)
                return True
            case "black hole":
                await asyncio.sleep(self._plan.seconds)
                return False
            case "half-open":
                self._client[1].transport.abort()
                await asyncio.sleep(self._plan.seconds)
                return False
            case "copied tab":
                assert await self._copied_tab() == REPLACED
        writer.write(frame)
        return True

    async def _copied_tab(self) -> int:
        """Say the same hello on another connection; the code it is closed with."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._network.upstream)
        try:
            writer.write(self._request)
            await reader.readuntil(HEADER_END)
            writer.write(self._hello)
            async for frame in frames(reader):
                if frame[0] & 0x0F == 8:
                    return int.from_bytes(frame[2:4], "big")
            return 0
        finally:
            writer.transport.abort()


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Whole WebSocket frames (RFC 6455, 5.2), as they are on the wire."""
    while True:
        try:
            head = await reader.readexactly(2)
        except asyncio.IncompleteReadError:
            return
        size, extra = head[1] & 0x7F, b""
        if size >= 126:
            extra = await reader.readexactly(2 if size == 126 else 8)
            size = int.from_bytes(extra, "big")
        size += 4 if head[1] & 0x80 else 0
        yield head + extra + await reader.readexactly(size)
