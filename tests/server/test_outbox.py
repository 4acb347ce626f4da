"""Frames as they are put together for one write."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import WSMsgType
from aiohttp.http_websocket import WebSocketWriter

from server.outbox import Socket


class Wire:
    """A transport that keeps what it is given, and how often."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_down = False

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_down


def socket_on(wire: Any) -> Socket:
    async def drain() -> None:
        """It takes everything."""

    socket = Socket()
    socket.transport, socket._drain = wire, drain
    return socket


async def test_frames_go_out_in_one_write_as_the_library_would_write_them() -> None:
    """L1: around the sizes at which a frame's head grows; what the library does frame by frame is the measure."""
    payloads = [b"x" * size for size in (0, 1, 125, 126, 65_535, 65_536)]
    one, other = Wire(), Wire()
    protocol: Any = SimpleNamespace(_paused=False)
    library = WebSocketWriter(protocol, other)  # type: ignore[arg-type]
    for payload in payloads:
        await library.send_frame(payload, WSMsgType.TEXT)
    await socket_on(one).send_texts(payloads)
    assert one.writes == [b"".join(other.writes)]


async def test_nothing_is_written_to_a_peer_that_is_gone() -> None:
    """The connection ends by it, as by the library's own error."""
    wire = Wire()
    wire.is_down = True
    with pytest.raises(ConnectionError):
        await socket_on(wire).send_texts([b"{}"])
    assert wire.writes == []


async def test_a_write_waits_until_the_socket_drains() -> None:
    """Rule 7: the log is read only as the peer takes it."""
    wire, gate = Wire(), asyncio.Event()
    socket = socket_on(wire)
    socket._drain = gate.wait  # type: ignore[assignment]
    sending = asyncio.ensure_future(socket.send_texts([b"{}"]))
    await asyncio.sleep(0)
    assert wire.writes
    assert not sending.done()
    gate.set()
    await sending
