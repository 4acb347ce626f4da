"""A connection without sockets: both ends of it, and how it freezes and breaks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from aiohttp import WSMessage, WSMsgType

from ..outbox import UNSENT_BYTES_MAX, Socket


class Line(asyncio.WriteTransport):
    """One connection as both ends see it. A frozen peer takes nothing, so what is sent piles up here."""

    def __init__(self) -> None:
        super().__init__()
        self.to_server: asyncio.Queue[WSMessage] = asyncio.Queue()
        self.to_client: deque[tuple[WSMsgType, bytes]] = deque()
        self.is_frozen = False
        self._unsent = 0
        self._is_down = False
        self._moved = asyncio.Event()

    def is_closing(self) -> bool:
        return self._is_down

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == UNSENT_BYTES_MAX, "the limit below is the one that the outbox asks for"

    def abort(self) -> None:
        if not self._is_down:
            self._is_down = True
            self.to_server.put_nowait(WSMessage(WSMsgType.CLOSED, None, None))
            self._moved.set()

    close = abort

    async def put(self, kind: WSMsgType, payload: bytes) -> None:
        if self._is_down:
            raise ConnectionResetError("the line is down")
        self.to_client.append((kind, payload))
        if self.is_frozen:
            self._unsent += len(payload)
        while self._unsent > UNSENT_BYTES_MAX and not self._is_down:
            self._moved.clear()
            await self._moved.wait()

    def thaw(self) -> None:
        self.is_frozen, self._unsent = False, 0
        self._moved.set()


class LineSocket(Socket):
    """aiohttp's half of a connection over a Line."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    async def prepare(self, request: Any) -> Any:
        return None

    async def receive(self, timeout: float | None = None) -> WSMessage:
        return await self._line.to_server.get()

    async def send_frame(self, message: bytes, opcode: WSMsgType, compress: int | None = None) -> None:
        await self._line.put(opcode, message)

    async def send_texts(self, payloads: Sequence[bytes]) -> None:
        for payload in payloads:
            await self._line.put(WSMsgType.TEXT, payload)

    async def ping(self, message: bytes = b"") -> None:
        await self._line.put(WSMsgType.PING, message)

    async def pong(self, message: bytes = b"") -> None:
        await self._line.put(WSMsgType.PONG, message)
