"""WebSocket frames by hand, for peers that no library would let be so bad."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

TEXT, CONTINUATION, PING = 1, 0, 9


def frame(payload: bytes, opcode: int = TEXT, *, is_last: bool = True, is_compressed: bool = False) -> bytes:
    """One client frame, masked with zeros, which masks nothing."""
    first = (0x80 if is_last else 0) | (0x40 if is_compressed else 0) | opcode
    if len(payload) < 126:
        head = struct.pack("!BB", first, 0x80 | len(payload))
    elif len(payload) < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, len(payload))
    return head + b"\0\0\0\0" + payload


def fragments(payload: bytes) -> bytes:
    """The same message, a frame for each of its bytes."""
    last = len(payload) - 1
    pieces = (payload[n : n + 1] for n in range(len(payload)))
    return b"".join(frame(one, CONTINUATION if n else TEXT, is_last=n == last) for n, one in enumerate(pieces))


def text(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


class Raw:
    """A WebSocket whose bytes one writes oneself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, url: str, extensions: str = "") -> Raw:
        """Raises ConnectionRefusedError with the answer if it is no upgrade."""
        where = urlsplit(url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /v1/ws HTTP/1.1\r\nHost: {where.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{extensions}\r\n".encode()
        )
        peer = cls(reader, writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except BaseException as error:
            await peer.abort()
            if isinstance(error, EOFError):
                raise ConnectionResetError("there was no answer") from error
            raise
        if b" 101 " not in head.split(b"\r\n")[0]:
            await peer.abort()
            raise ConnectionRefusedError(head.decode())
        return peer

    async def next(self) -> tuple[int, bytes]:
        """(opcode, payload) of the next frame of the server."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def until(self, t: str) -> dict[str, Any]:
        while True:
            opcode, payload = await self.next()
            if opcode == TEXT and (got := json.loads(payload))["t"] == t:
                return dict(got)

    async def close_code(self) -> int:
        """Of the close frame; 1006 if the connection ends without one."""
        try:
            while True:
                opcode, payload = await self.next()
                if opcode == 8:
                    return int.from_bytes(payload[:2])
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006

    def write(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def abort(self) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def dialled(url: str, extensions: str = "") -> AsyncIterator[Raw]:
    """A connection that ends with its block, however it stands."""
    peer = await Raw.dial(url, extensions)
    try:
        yield peer
    finally:
        await peer.abort()
