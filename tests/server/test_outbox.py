"""Frames as they are put together for one write."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from aiohttp import WSMsgType
from aiohttp.http_websocket import WebSocketWriter

from engine.errors import JournalError
from server.codes import Fault
from server.outbox import Outbox, Socket


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


class FarLog:
    """A log whose next part has to be read from the store, which takes its time and then fails."""

    head = seq = 500
    streams: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    def watch(self, *_: Any) -> Any:
        return lambda: None

    watch_notes = watch

    def is_near(self, after: int) -> bool:
        return False

    async def read(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        self.asked.set()
        await self.answer.wait()
        raise JournalError("the disk is gone")


async def test_what_is_due_does_not_wait_for_the_store() -> None:
    """L8, L13: a welcome and results leave before the log is read; a goaway before the close that an error makes."""
    wire, store = Wire(), FarLog()
    transport: Any = SimpleNamespace(
        get_write_buffer_size=lambda: 0, set_write_buffer_limits=lambda high: None, get_extra_info=lambda name: None
    )
    session: Any = SimpleNamespace(
        log=store, sid="s.x", is_ended=False, ended=asyncio.get_running_loop().create_future()
    )
    socket = socket_on(wire)
    outbox = Outbox(socket, transport, lambda: None)
    outbox.follow(session, 470, b"the welcome")
    outbox.result(0, b"a result")
    writing = asyncio.create_task(outbox.run())
    await store.asked.wait()
    assert b"the welcome" in wire.writes[0]
    assert b"a result" in wire.writes[0]
    outbox.goaway(1000)
    store.answer.set()
    with pytest.raises(JournalError):
        await writing
    said: list[str] = []
    socket.say_close = async_note(said)  # type: ignore[method-assign]
    await outbox.say_close(Fault("store_unavailable"))
    assert b"goaway" in wire.writes[-1]
    assert said == ["store_unavailable"]


def async_note(said: list[str]) -> Any:
    async def say(fault: Fault) -> None:
        said.append(fault.name)

    return say
