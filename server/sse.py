"""A session's log as server-sent events: an observer that only listens, for EventSource and for streaming reads.

Each event is `id: epoch:seq` and, in `data`, exactly the bytes of an `ev` frame's event. The log is read only as the
peer takes it, as in outbox.py.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Final

from aiohttp import web

from engine.codec import encode
from engine.errors import Overtaken
from engine.session import Session

from . import frames
from .codes import Fault, fault_of
from .desk import Right
from .frames import Cursor
from .outbox import CLOSE_S, PAGE_EVENTS, SNAP_BYTES_MAX, limit_buffers
from .pool import Place, Pool
from .protocol import Progress, Timing
from .welcome import resume_point

TYPE: Final = "text/event-stream"
COMMENT: Final = b":\n\n"
_LAST_ID: Final = re.compile(r"([^:]{1,64}):(\d{1,15})")
log = logging.getLogger("steward.sse")


def is_asked_for(request: web.Request) -> bool:
    """A HEAD has no body that could go on."""
    return request.method == "GET" and TYPE in request.headers.get("Accept", "").lower()


def cursor_of(request: web.Request, epoch: str, after: int) -> Cursor | None:
    """Where the client stands: `Last-Event-ID`, which a browser sends by itself, or `after` of this log.

    An id that is none of ours is a cursor that cannot go on.
    """
    last_id = request.headers.get("Last-Event-ID")
    if last_id is None:
        return Cursor(epoch=epoch, seq=after) if after else None
    found = _LAST_ID.fullmatch(last_id)
    return Cursor(epoch=found[1], seq=int(found[2])) if found else Cursor(epoch="", seq=0)


def event(data: bytes, *, id: str = "", name: str = "", retry_ms: int | None = None) -> bytes:
    """One event; JSON text has no line break in it."""
    fields = [
        f"id: {id}\n".encode() if id else b"",
        f"event: {name}\n".encode() if name else b"",
        b"" if retry_ms is None else f"retry: {retry_ms}\n".encode(),
    ]
    return b"".join(fields) + b"data: " + data + b"\n\n"


class EventStream:
    """One reader of one session's log. run() is the request's handler; the pool calls the rest."""

    key: tuple[str, str] | None = None
    n = 0

    def __init__(self, pool: Pool, right: Right, cur: Cursor | None, timing: Timing, now: Callable[[], float]) -> None:
        self.token_id = right.token_id
        self._pool = pool
        self._session: Session = right.session
        after = resume_point(right.session, cur)
        self._after = after or 0
        self._is_lost = after is None  # what comes after is gone: a snap has to come first
        self._timing = timing
        self._now = now
        self._response = web.StreamResponse()
        self._transport: asyncio.WriteTransport | None = None
        self._written = 0
        self._progress = Progress(now(), timing.stuck_s)
        self._beat_at = now() + timing.heartbeat_s
        self._has_beat = False
        self._left = ExitStack()
        self._wake = asyncio.Event()
        self._slot_ms: int | None = None
        self._fault: Fault | None = None
        self._stopped_at = 0.0

    @property
    def is_read(self) -> bool:
        """Whether there is nothing to tell and never will be: the client has read the end."""
        return not self._is_lost and self._session.is_ended and self._after >= self._session.log.seq

    def attach(self) -> None:
        """Take a place among the session's observers; run() gives it back. Raises LimitExceeded."""
        place = self._pool.attach(self, self._session, "observe")
        self._left.callback(place.give_back)
        self._left.enter_context(self._pool.enrolled(self))

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Returns when the log has ended, the peer is gone or the server leaves."""
        try:
            with suppress(ConnectionError):
                self._response.content_type = TYPE
                await self._response.prepare(request)
                self._transport = request.transport
                if self._transport is not None:
                    limit_buffers(self._transport)
                await self._follow()
                await self._response.write_eof()
        finally:
            self._left.close()
        return self._response

    async def _follow(self) -> None:
        session = self._session
        unwatch = session.log.watch(self._wake.set, lambda: session.log.head if self._is_lost else self._after)
        session.ended.add_done_callback(self._wake_up)
        self._wake.set()
        try:
            await self._send_log()
        except ConnectionError:
            raise
        except Exception as error:
            self.stop(fault_of(error, log, session.sid))
        finally:
            unwatch()
            session.ended.remove_done_callback(self._wake_up)
        await self._send_farewell()

    async def _send_log(self) -> None:
        """Until stop(), or until the end was sent."""
        while not self._is_over():
            await self._wake.wait()
            self._wake.clear()
            while not self._is_over() and (self._is_lost or self._after < self._session.log.head):
                await (self._send_snap() if self._is_lost else self._send_page())
            if self._has_beat:
                self._has_beat = False
                await self._send(COMMENT)

    def _is_over(self) -> bool:
        return self._fault is not None or (self._session.is_ended and self._after >= self._session.log.seq)

    async def _send_page(self) -> None:
        session = self._session
        try:
            page = await session.log.read(self._after, PAGE_EVENTS)
        except Overtaken:
            self._is_lost = True  # the log was trimmed while the peer took its time (L4)
            return
        for seq, update in page:
            if self._is_over():
                return
            await self._send(event(frames.shown(session.sid, seq, update), id=f"{session.epoch}:{seq}"))
            self._after = seq

    async def _send_snap(self) -> None:
        session = self._session
        self._after, data = await session.snap(SNAP_BYTES_MAX)
        self._is_lost = False
        await self._send(event(encode(data), id=f"{session.epoch}:{self._after}", name="snap"))

    async def _send_farewell(self) -> None:
        """Why the stream ends before the session does. `retry` is what EventSource itself goes by."""
        fault = self._fault
        if fault is None:
            return
        if self._slot_ms is not None:
            data: dict[str, Any] = {"why": "leaving", "slot_ms": self._slot_ms}
            await self._send(event(encode(data), name="goaway", retry_ms=self._slot_ms))
        else:
            data = {"code": fault.close, "msg": fault.message, "retry_ms": fault.retry_ms}
            await self._send(event(encode(data), name="error", retry_ms=fault.retry_ms))

    async def _send(self, payload: bytes) -> None:
        self._written += len(payload)
        await self._response.write(payload)

    def _wake_up(self, ended: object) -> None:
        self._wake.set()

    # What the pool asks.

    def tick(self, now: float) -> None:
        if self._transport is None:
            return
        if self._fault is not None:
            if now - self._stopped_at >= CLOSE_S:
                self._transport.abort()
        elif self._transport.is_closing():
            self.stop(Fault("heartbeat_lost"))
        elif self._session.is_failed:
            self.stop(Fault("store_unavailable", "the session is being brought back; ask again"))
        elif self._progress.is_stuck(now, written=self._written, unsent=self._transport.get_write_buffer_size()):
            self._transport.abort()
        elif now >= self._beat_at:
            self._beat_at = now + self._timing.heartbeat_s
            self._has_beat = True
            self._wake.set()

    def leave(self) -> None:
        """It is told when it is stopped: an event stream that has ended is dialled again at once."""
        if self._pool.next_slot_ms is not None and self._slot_ms is None:
            self._slot_ms = self._pool.next_slot_ms()

    def stop(self, fault: Fault) -> None:
        if self._fault is None:
            self._fault = fault
            self._stopped_at = self._now()
            self.leave()
            self._wake.set()

    def surrender(self) -> Place | None:
        """No other connection takes over from an observer."""
        return None
