"""Many WebSocket clients in one process, as light as they can be: the load must not be what is measured."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any, Final

LIMIT_S: Final = 30.0
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# A key of zeros masks nothing, so that nothing has to be computed; servers cannot tell.
MASK: Final = b"\0\0\0\0"
REQUEST: Final = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
Heard = Callable[["Link", bytes], None]


class Link(asyncio.Protocol):
    """One connection; heard(link, text) is called for every text frame. Pings are answered."""

    __slots__ = ("_buffer", "_head", "_heard", "is_open", "note", "over", "transport")

    def __init__(self, head: bytes, heard: Heard) -> None:
        self._head = head
        self._heard = heard
        self._buffer = b""
        self.is_open = False
        self.note: Any = None  # what its owner wants to remember of it
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(self._head)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self.is_open:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = buffer
                return
            self.is_open = True
            buffer = buffer[end + 4 :]
        self._buffer = self._frames(buffer)

    def _frames(self, buffer: bytes) -> bytes:
        at, size = 0, len(buffer)
        while size - at >= 2:
            length, begin = buffer[at + 1], at + 2
            if length == 126:
                length, begin = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, begin = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if size < begin + length:
                break
            kind = buffer[at] & 0x0F
            if kind == TEXT:
                self._heard(self, buffer[begin : begin + length])
            elif kind == PING:
                self._write(PONG, buffer[begin : begin + length])
            elif kind == CLOSE:
                self.transport.close()
            at = begin + length
        return buffer[at:]

    def send(self, text: bytes) -> None:
        self._write(TEXT, text)

    def _write(self, kind: int, payload: bytes) -> None:
        length = len(payload)
        size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
        self.transport.write(bytes((0x80 | kind,)) + size + MASK + payload)


def _frame(text: bytes) -> bytes:
    length = len(text)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return b"\x81" + size + MASK + text


async def dial(port: int, path: str, heard: Heard, first: dict[str, Any] | None = None) -> Link:
    """Open one; its first frame goes out with the request, as soon as it may be read. Raises OSError."""
    head = REQUEST.format(path=path, port=port).encode()
    text = b"" if first is None else _frame(json.dumps(first).encode())
    link = Link(head + text, heard)
    address = socket.socket()
    address.setblocking(False)
    await asyncio.get_running_loop().sock_connect(address, ("127.0.0.1", port))
    address.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().create_connection(lambda: link, sock=address)
    return link
