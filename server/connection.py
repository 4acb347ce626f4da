"""One WebSocket: reads frames, asks protocol.py what they mean, and does it.

Two tasks: the request's own reads, outbox.py writes. A command under way is a future, not a task.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from aiohttp import WSMsgType, web

from engine.live.admission import STORE_RETRY_MS
from engine.records import Caller
from engine.session import Session

from . import frames
from .bell import Bell
from .codes import Fault, fault_of
from .commands import Commands
from .desk import Desk, Right
from .outbox import CLOSE_S, Outbox, Socket
from .pool import Place, Pool
from .protocol import Abort, Answer, Beat, Close, ConnectionCore, Deliver, Greet, Meaning, Timing
from .welcome import opening

GONE: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
Waited = TypeVar("Waited")
log = logging.getLogger("steward.connection")


class Connection:
    """The shell around one ConnectionCore. serve() is the request's handler; the pool calls tick, leave, stop and
    surrender. socket: another way to the peer than aiohttp's. jitter: uniform in [0, 1)."""

    def __init__(
        self,
        pool: Pool,
        desk: Desk,
        timing: Timing,
        now: Callable[[], float],
        socket: Socket | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.key: tuple[str, str] | None = None  # (sid, cid) once attached; observers have none
        self.n = 0
        self.token_id = ""
        self._pool = pool
        self._desk = desk
        self._timing = timing
        self._now = now
        self._core = ConnectionCore(now(), timing, jitter)
        self._socket = socket or Socket()
        self._session: Session | None = None
        self._place: Place | None = None
        self._commands: Commands | None = None
        self._slot_at: float | None = None  # when it should dial our successor
        self._stopped_at: float | None = None
        self._stopped = Bell()

    async def serve(self, request: web.Request, unwelcomed: Place) -> web.StreamResponse:
        """Returns when the connection is over and everything it held is given back."""
        await self._socket.prepare(request)
        transport = request.transport
        if transport is None:  # the peer left during the handshake
            return self._socket
        self._transport = self._socket.transport = transport
        self._unwelcomed = unwelcomed
        self._outbox = Outbox(self._socket, transport, lambda: self._core.ended(self._now()))
        with self._pool.enrolled(self):
            writer = asyncio.create_task(self._write(), name="connection writer")
            try:
                await self._read_to_end()
            finally:
                await self._leave(writer)
        return self._socket

    async def _leave(self, writer: asyncio.Task[None]) -> None:
        self._core.closed()
        self._outbox.unfollow()
        self._pool.forget(self)
        place = self.surrender()
        if place is not None:
            place.give_back()
        if self._commands is not None:
            self._commands.drop()
        if self.is_stopped():
            await asyncio.wait({writer}, timeout=CLOSE_S)  # it may still be saying why
        writer.cancel()
        await asyncio.wait({writer})

    async def _read_to_end(self) -> None:
        try:
            await self._read()
        except ConnectionError:
            self._transport.abort()
        except Exception as error:
            self.stop(fault_of(error, log, self._sid))

    async def _write(self) -> None:
        try:
            await self._outbox.run()
        except ConnectionError:
            self._transport.abort()
        except Exception as error:
            fault = fault_of(error, log, self._sid)
            self.stop(fault)
            await self._outbox.say_close(fault)

    def is_stopped(self) -> bool:
        return self._stopped_at is not None

    @property
    def _sid(self) -> str | None:
        return None if self._session is None else self._session.sid

    # What the pool asks.

    def tick(self, now: float) -> None:
        """Do what time has brought. Never waits."""
        if self._stopped_at is not None:
            if now - self._stopped_at >= CLOSE_S:
                self._transport.abort()
            return
        if self._transport.is_closing():  # noticed here even while nothing is read
            self.stop(Fault("heartbeat_lost"))
            return
        if self._session is not None and self._session.is_failed:
            # It is being built again from its log, as another object: whoever dials again gets that one.
            self.stop(
                Fault("store_unavailable", "the session is being brought back; dial again", retry_ms=STORE_RETRY_MS)
            )
            return
        due = self._core.due(now, written=self._outbox.written, unsent=self._outbox.unsent)
        match due:
            case Beat():
                self._outbox.beat()
            case Close(fault):
                self.stop(fault)
            case Abort(why):
                log.info("connection cut: %s", why, extra={"sid": self._sid})
                self._transport.abort()

    def leave(self) -> None:
        """Tell this peer when to dial our successor."""
        if self._pool.next_slot_ms is not None and self._slot_at is None:
            slot_ms = self._pool.next_slot_ms()
            self._slot_at = self._now() + slot_ms / 1000
            self._outbox.goaway(slot_ms)

    def stop(self, fault: Fault) -> None:
        """Nothing more is read from this peer; it is told why and closed, or cut if it does not take that."""
        self._core.closed()
        if self._stopped_at is None:
            self._stopped_at = self._now()
            fault = self._told_on_leaving(fault)
            self._stopped.set()
            self._outbox.stop(fault)
            if self._commands is not None:
                self._commands.drop()

    def _told_on_leaving(self, fault: Fault) -> Fault:
        """On a server that leaves, a session that is not served here any more is served by the next."""
        if self._pool.next_slot_ms is None or fault.name not in ("leaving", "store_unavailable"):
            return fault
        self.leave()
        assert self._slot_at is not None
        return Fault("leaving", retry_ms=max(0, round((self._slot_at - self._now()) * 1000)))

    def surrender(self) -> Place | None:
        """Give the place among the session's connections to whoever asks."""
        place, self._place = self._place, None
        return place

    # Reading.

    async def _read(self) -> None:
        """Until the peer is gone. After stop() only its half of the close handshake counts."""
        while True:
            if self._outbox.is_full:  # it sends, and does not take what it is answered
                await self._held(self._outbox.wait_room())
            message = await self._socket.receive()
            if message.type in GONE:
                return
            if self.is_stopped():
                continue
            match message.type:
                case WSMsgType.TEXT:
                    await self._act(self._core.on_text(message.data, self._now()))
                case WSMsgType.BINARY:
                    await self._act(self._core.on_binary(self._now()))
                case WSMsgType.PING | WSMsgType.PONG:
                    await self._pause(self._core.on_life(self._now()))
                    if message.type is WSMsgType.PING:
                        await self._socket.pong(message.data)

    async def _act(self, meaning: Meaning) -> None:
        match meaning:
            case Greet(hello):
                await self._greet(hello)
            case Deliver():
                await self._deliver(meaning)
            case Answer(payload, wait_s):
                await self._pause(wait_s)
                self._outbox.result(0, payload)
            case Close(fault):
                self.stop(fault)

    async def _greet(self, hello: frames.Hello) -> None:
        try:
            with self._desk.manager.arrivals.one():
                await self._attach(hello)
        except Exception as error:
            self.stop(fault_of(error, log, self._sid))

    async def _attach(self, hello: frames.Hello) -> None:
        """Find the session and take a place in it. Raises what fault_of() tells."""
        right = await self._right(hello)
        if self._desk.is_leaving:
            raise Fault("leaving")
        if hello.role == "control" and right.role != "control":
            raise Fault("forbidden", "this token lets observe, not control")
        caller = await self._desk.caller_of(right, hello.auth)
        if self.is_stopped():
            return
        self._desk.check(right)
        self.n, self.token_id = hello.n, right.token_id
        if hello.role == "control" and hello.cid is not None:
            self.key = (right.session.sid, hello.cid)
        self._place = self._pool.attach(self, right.session, hello.role)
        self._welcome(hello, right.session, caller)

    def _welcome(self, hello: frames.Hello, session: Session, caller: Caller) -> None:
        self._session = session
        if self.key is not None:
            self._commands = Commands(session, self.key[1], caller, self._outbox, self.stop, self._now)
        self._unwelcomed.give_back()
        after, welcome = opening(session, hello, self._timing)
        self._core.welcomed(self._now())
        self._outbox.follow(session, after, welcome)

    async def _right(self, hello: frames.Hello) -> Right:
        try:
            async with asyncio.timeout(self._timing.hello_s):
                return await self._desk.resume_or_create(hello.token, hello.create, hello.auth)
        except TimeoutError:
            # A session that is made all the same is found by the token when the client dials again.
            raise Fault("store_unavailable") from None

    async def _deliver(self, order: Deliver) -> None:
        commands = self._commands
        assert commands is not None, "the core answers observers, and refuses commands before the welcome"
        if order.wait_s > 0:
            await self._pause(order.wait_s)
        if commands.is_full:
            await self._held(commands.wait_room())
        if self.is_stopped():
            return
        commands.begin(order)

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._held(self._stopped.wait())

    async def _held(self, wait: Awaitable[Waited]) -> Waited:
        """Wait without reading; meanwhile the peer's silence is ours."""
        self._core.held(self._now())
        try:
            return await wait
        finally:
            self._core.held(self._now())
