"""What one connection still has to send, and its one writer: the session's log from where the client stands.

The log is read only as the socket takes it, so a slow reader costs no memory and nobody waits for one. A command's
result follows the events it caused. Streamed text is not queued at all: when the socket takes it, the peer is given
what it lacks of each unfinished message.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from engine.errors import Overtaken
from engine.log.streams import CHUNK
from engine.session import Session

from . import frames
from .bell import Bell
from .codes import Fault
from .frames import FRAME_BYTES_MAX
from .welcome import COMMANDS_IN_FLIGHT_MAX

UNSENT_BYTES_MAX: Final = 64 * 1024  # what the transport may hold before the log is read on
READ_BYTES_MAX: Final = 16 * 1024  # from one peer in one turn of the loop
PAGE_EVENTS: Final = 64
RESULTS_WAITING_MAX: Final = COMMANDS_IN_FLIGHT_MAX  # above it nothing is read; a client keeps fewer unanswered
NOTES_WAITING_MAX: Final = 256  # volatile: above it the oldest is lost
CLOSE_S: Final = 2.0  # for a close handshake; then the transport is cut
LINGER_S: Final = 0.5
SNAP_BYTES_MAX: Final = frames.SERVER_FRAME_BYTES_MAX - 64  # the rest of its frame


def limit_buffers(transport: asyncio.WriteTransport) -> None:
    """Let neither this process nor, where the system can, its kernel hold more for a peer that does not read; and
    take less at once from one that sends, since a buffer full of frames of one byte holds up everybody."""
    if hasattr(transport, "max_size"):  # asyncio's own transport; 256 KiB are 0.2 s of such frames
        transport.max_size = READ_BYTES_MAX
    transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
    kernel = transport.get_extra_info("socket")
    if kernel is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with suppress(OSError):  # no TCP, or gone already
            kernel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)


def _head(size: int) -> bytes:
    """Of a whole text frame, which a server does not mask (RFC 6455, 5.2)."""
    if size < 126:
        return b"\x81%c" % size
    return struct.pack("!BBH", 0x81, 126, size) if size < 65_536 else struct.pack("!BBQ", 0x81, 127, size)


class Socket(web.WebSocketResponse[Any]):
    """aiohttp's WebSocket without three of its habits: pings without jitter; a close from another task than the
    reader's that does not wait for the peer's, so that a reset may overtake it; and 1009 for a large frame."""

    def __init__(self) -> None:
        super().__init__(
            timeout=CLOSE_S,
            autoping=False,
            compress=False,
            max_msg_size=FRAME_BYTES_MAX,
            writer_limit=UNSENT_BYTES_MAX,
            decode_text=False,
        )
        self.transport: asyncio.WriteTransport | None = None
        self._drain: Callable[[], Awaitable[None]]
        self._has_said_close = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._drain = request.writer.drain
        return await super().prepare(request)

    async def send_texts(self, payloads: Sequence[bytes]) -> None:
        """Send text frames in one write: each call of the kernel costs as much as all else that a frame needs.
        Raises ConnectionError."""
        if self.closed or self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self.transport.write(b"".join([part for payload in payloads for part in (_head(len(payload)), payload)]))
        await self._drain()

    async def say_close(self, fault: Fault) -> None:
        """Send why and our half of the close handshake; the reader waits for the other half."""
        if not self._has_said_close:
            await self.send_frame(frames.error(fault.close, fault.message, fault.retry_ms), WSMsgType.TEXT)
            await self.send_frame(struct.pack("!H", fault.close) + fault.reason, WSMsgType.CLOSE)
            self._has_said_close = True

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        """What aiohttp calls when the peer closes, when a frame is too large and when the handler returns."""
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            await self.say_close(Fault("too_large", f"a frame may have {FRAME_BYTES_MAX} bytes"))
            # What the peer is still sending is dropped meanwhile; a reset now would destroy the two frames above.
            await asyncio.sleep(LINGER_S)
        if not self._has_said_close:
            return await super().close(code=code, message=message, drain=drain)
        if self.transport is not None:
            self.transport.close()
        return True


class Outbox:
    """Everything that goes out over one socket, in its order. run() is the only writer but for pongs.

    on_ended is called when the session's last event was sent.
    """

    def __init__(self, socket: Socket, transport: asyncio.WriteTransport, on_ended: Callable[[], None]) -> None:
        self.written = 0  # bytes given to the transport
        self.fault: Fault | None = None
        self._socket = socket
        self._transport = transport
        self._on_ended = on_ended
        self._session: Session | None = None
        self._cursor = 0
        self._is_lost = False  # what comes after the cursor is gone: a snap has to come first
        self._wake = Bell()
        self._welcome: bytes | None = None
        self._results: list[tuple[int, int, bytes]] = []
        self._arrivals = itertools.count()
        self._room = Bell()
        self._notes: list[bytes] = []
        self._read: dict[str, int] = {}  # unfinished message -> how many characters of it the peer was sent
        self._has_beat = False
        self._goaway: bytes | None = None
        self._frames: list[bytes] = []  # about to be written
        self._frames_bytes = 0
        self._unwatch: list[Callable[[], object]] = []
        limit_buffers(transport)

    def is_stopped(self) -> bool:
        return self.fault is not None

    @property
    def unsent(self) -> int:
        return self._transport.get_write_buffer_size()

    def follow(self, session: Session, after: int | None, welcome: bytes) -> None:
        """Send the welcome, then the session's log from after + 1 on, for ever; None: from a snap on."""
        self._session = session
        self._cursor = after or 0
        self._is_lost = after is None
        self._welcome = welcome
        self._unwatch = [
            session.log.watch(self._wake.set, lambda: session.log.head if self._is_lost else self._cursor),
            session.log.watch_notes(self._note),
            partial(session.ended.remove_done_callback, self._wake_up),
        ]
        session.ended.add_done_callback(self._wake_up)
        self._read = dict.fromkeys(session.log.streams, 0)
        self._wake.set()

    def result(self, seq: int, payload: bytes) -> None:
        """Send a command's result once the event seq was sent (0: at once)."""
        heapq.heappush(self._results, (seq, next(self._arrivals), payload))
        self._wake.set()

    @property
    def is_full(self) -> bool:
        return len(self._results) >= RESULTS_WAITING_MAX

    async def wait_room(self) -> None:
        """Until fewer than RESULTS_WAITING_MAX results wait, or none count any more."""
        while self.is_full and not self.is_stopped():
            self._room.clear()
            await self._room.wait()

    def beat(self) -> None:
        self._has_beat = True
        self._wake.set()

    def goaway(self, slot_ms: int) -> None:
        """Say that this server leaves, before anything else that waits, also if stop() comes first."""
        self._goaway = frames.frame("goaway", why="leaving", slot_ms=slot_ms)
        self._wake.set()

    def stop(self, fault: Fault) -> None:
        """Say why and close, before anything else that waits. The first reason counts."""
        if self.fault is None:
            self.fault = fault
            self._wake.set()
            self._room.set()

    def _wake_up(self, ended: object) -> None:
        self._wake.set()

    def unfollow(self) -> None:
        for unwatch in self._unwatch:
            unwatch()
        self._unwatch = []

    async def run(self) -> None:
        """Write until stop(), then say why. Raises ConnectionError when the peer is gone."""
        while not self.is_stopped():
            await self._wake.wait()
            self._wake.clear()
            await self._send_all()
        if self.fault is not None:
            await self.say_close(self.fault)

    async def say_close(self, fault: Fault) -> None:
        """Send what was put together, a goaway first of all that was not, and why. Raises ConnectionError."""
        self._put_goaway()
        await self._flush()
        await self._socket.say_close(fault)

    async def _send_all(self) -> None:
        self._put_due()
        session = self._session
        while session is not None and not self.is_stopped() and (self._is_lost or self._cursor < session.log.head):
            if self._is_lost:
                await self._send_snap(session)
            else:
                await self._send_page(session)
        while self._notes and not self.is_stopped():
            await self._send(self._notes.pop(0))
        if session is not None:
            await self._send_streams(session)
        await self._flush()
        if session is not None and session.is_ended and self._cursor >= session.log.seq:
            self._on_ended()

    async def _send_page(self, session: Session) -> None:
        if not session.log.is_near(self._cursor):
            await self._flush()  # what is due does not wait for the store
        try:
            page = await session.log.read(self._cursor, PAGE_EVENTS)
        except Overtaken:
            # The log was trimmed while the peer took its time: no event may follow before it was told (L4).
            self._is_lost = True
            return
        for seq, update in page:
            if self.is_stopped():
                return
            self._cursor = seq
            await self._send(frames.ev(frames.shown(session.sid, seq, update)))
            self._put_due()

    async def _send_snap(self, session: Session) -> None:
        await self._flush()
        seq, data = await session.snap(SNAP_BYTES_MAX)
        self._is_lost = False
        self._cursor = seq
        await self._send(frames.frame("snap", seq=seq, data=data))
        self._put_due()

    async def _send_streams(self, session: Session) -> None:
        """What is new in the messages that are being written; of one just found, all there is so far."""
        for msg in list(self._read):
            stream = session.log.streams.get(msg)
            if stream is None:
                # Finished: the log has it. Or taken back: a note has said so.
                self._read.pop(msg, None)
            elif (at := self._read[msg]) < len(stream.text) and not self.is_stopped():
                self._read[msg] = len(stream.text)
                await self._send(frames.frame("note", kind=CHUNK, data=stream.chunk(msg, at)))

    def _put_due(self) -> None:
        """What does not wait for the log: goaway, the welcome, and results whose events are on their way."""
        self._put_goaway()
        if self.is_stopped():
            return
        if self._welcome is not None:
            self._put(self._welcome)
            self._welcome = None
        while self._results and self._results[0][0] <= self._cursor:
            self._put(heapq.heappop(self._results)[2])
            self._room.set()

    def _put_goaway(self) -> None:
        if self._goaway is not None:
            self._put(self._goaway)
            self._goaway = None

    def _put(self, payload: bytes) -> None:
        self._frames.append(payload)
        self._frames_bytes += len(payload)

    async def _send(self, payload: bytes) -> None:
        """Put a frame behind the others, and wait for the socket where they are many."""
        self._put(payload)
        if self._frames_bytes >= UNSENT_BYTES_MAX:
            await self._flush()

    async def _flush(self) -> None:
        """Write what was put together."""
        if self._has_beat and not self.is_stopped():
            self._has_beat = False
            await self._socket.ping()
            self._put(frames.frame("ping", head=self._session.log.head if self._session else 0))
        if self._frames:
            payloads, self._frames = self._frames, []
            self.written += self._frames_bytes
            self._frames_bytes = 0
            await self._socket.send_texts(payloads)

    def _note(self, kind: str, data: Any) -> None:
        if kind == CHUNK and data["text"]:
            self._read[data["msg"]] = min(self._read.get(data["msg"], 0), data["at"])
            self._wake.set()
            return
        payload = frames.frame("note", kind=kind, data=data)
        if len(payload) <= frames.SERVER_FRAME_BYTES_MAX:
            self._notes.append(payload)
            del self._notes[:-NOTES_WAITING_MAX]
            self._wake.set()
