"""How a client stays on a session: dials again by the rules, resumes, sends again what was not answered."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any, Final, Literal

import aiohttp

from engine.errors import StewardError
from engine.log.state import OUTCOMES_PER_CID

from .frames import SERVER_FRAME_BYTES_MAX

CUT: Final = 1006  # how a close without a close frame is told
DIAL_S: Final = 3.0  # for TCP and the upgrade
WELCOME_S: Final = 10.0
FIRST_DIALS_MAX: int = 3  # with no welcome ever, the address is more likely wrong than the server away
SILENCE_S: Final = 30.0  # a server that pings every 10 s and says nothing for that long is gone
BACKOFF_S_MAX: float = 5.0
COMMANDS_UNANSWERED_MAX: Final = OUTCOMES_PER_CID  # what is further behind might be forgotten
DOUBLINGS_MAX: Final = 16  # after an hour of tries a power of two is no number any more


class Stopped(StewardError):
    """The server's last word: a close that says not to dial again."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def http_session() -> aiohttp.ClientSession:
    """One that follows no redirect: a hello has the key in it, which is for the server that was named."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse)
    return aiohttp.ClientSession(trace_configs=[trace])


async def _refuse(session: aiohttp.ClientSession, context: Any, answer: aiohttp.TraceRequestRedirectParams) -> None:
    raise Stopped(CUT, f"{answer.url} sends you to another address; name that one with --url if you trust it")


class Dialler:
    """One client of one session. frames() gives every frame that is new; command() may be called meanwhile.

    create: what a new session is to be; None with the token of one that is there. cursor: {epoch, seq} of the last
    event that was applied before, by an earlier process.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        create: dict[str, Any] | None,
        auth: str | None,
        *,
        token: str | None = None,
        role: Literal["control", "observe"] = "control",
        cursor: dict[str, Any] | None = None,
    ) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self._http = http
        self._address = url.rstrip("/")
        self._url = self._address + "/v1/ws"
        hello = {"cid": secrets.token_urlsafe(9), "create": create, "auth": auth, "cur": cursor}
        self._hello: dict[str, Any] = {"t": "hello", "token": self.token, "role": role, "n": 0}
        self._hello |= {name: value for name, value in hello.items() if value is not None}
        self._is_known = False  # whether anything that speaks our protocol has ever answered
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._unanswered: dict[int, dict[str, Any]] = {}
        self._last_c = 0
        self._is_open = False  # whether a new command may be sent: none that was there before has to go first
        self._asking: asyncio.Task[None] | None = None  # sends the unanswered again, when the server said
        self._epoch = ""
        self._seq = 0 if cursor is None else int(cursor["seq"])
        self._last: dict[str, Any] = {}  # goaway or error: when to come again

    async def command(self, name: str, args: dict[str, Any] | None = None, to: str = "/") -> int:
        """Send a command, now or after the next welcome; its number, which its `res` will carry."""
        number = self.prepare(name, args, to)
        await self.transmit(number)
        return number

    def prepare(self, name: str, args: dict[str, Any] | None = None, to: str = "/") -> int:
        """Number a command; from now on every welcome sends it until it is answered."""
        self._last_c += 1
        self._unanswered[self._last_c] = {"t": "cmd", "c": self._last_c, "name": name, "args": args or {}, "to": to}
        return self._last_c

    async def transmit(self, number: int) -> None:
        """Send a prepared command, if there is a connection."""
        if self._is_open:  # else it is sent soon, behind those that were there before
            with suppress(ConnectionError):
                await self._send(self._unanswered[number])

    @property
    def is_full(self) -> bool:
        """Whether one more command would be further from the lowest unanswered than the server remembers."""
        return bool(self._unanswered) and self._last_c + 1 - min(self._unanswered) >= COMMANDS_UNANSWERED_MAX

    async def frames(self) -> AsyncGenerator[dict[str, Any], None]:
        """Every frame, each event once and in order, over as many connections as it takes. Raises Stopped."""
        attempt = 0
        while True:
            wait_s = random.uniform(0, min(BACKOFF_S_MAX, 2.0 ** min(attempt, DOUBLINGS_MAX)))
            try:
                async with asyncio.timeout(DIAL_S):
                    self._socket = await self._http.ws_connect(self._url, max_msg_size=SERVER_FRAME_BYTES_MAX)
                async for frame in self._connected(self._socket):
                    self._is_known = True
                    if frame["t"] == "welcome":
                        attempt = 0
                    yield frame
                wait_s = self._wait_after_close(self._socket, wait_s)
                why = self._last.get("msg", "the server closed the connection")
                yield {"t": "lost", "code": self._socket.close_code or CUT, "why": why}
            except (TimeoutError, aiohttp.ClientError, ConnectionError, ValueError) as error:
                if self._is_known:
                    yield {"t": "lost", "code": CUT, "why": str(error) or type(error).__name__}
                elif attempt + 1 >= FIRST_DIALS_MAX:
                    text = f"nobody answers at {self._address}; does `steward serve` run there?"
                    raise Stopped(CUT, text) from error
            finally:
                await self._drop()
            attempt += 1
            await asyncio.sleep(wait_s)

    async def _connected(self, socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[dict[str, Any]]:
        self._last = {}
        self._hello["n"] += 1
        await socket.send_str(json.dumps(self._hello))
        wait_s = WELCOME_S
        while True:
            message = await socket.receive(timeout=wait_s)
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            wait_s = SILENCE_S
            frame: dict[str, Any] = json.loads(message.data)
            if self._is_new(frame):
                yield frame
            if frame["t"] == "welcome":
                await self._send_unanswered()

    async def _send_unanswered(self) -> None:
        """All of them in their order, those included that are added meanwhile."""
        sent = 0
        while waiting := [number for number in self._unanswered if number > sent]:
            for sent in waiting:
                if sent in self._unanswered:
                    await self._send(self._unanswered[sent])
        self._is_open = True

    def _is_new(self, frame: dict[str, Any]) -> bool:
        match frame["t"]:
            case "welcome":
                self._epoch = frame["epoch"]
            case "snap":
                self._seen(frame["seq"])
            case "ev":
                if frame["seq"] <= self._seq:
                    return False
                if frame["seq"] > self._seq + 1:
                    # Whatever lost it, the log still has it: dial again and read on from the last one.
                    raise ConnectionError(f"event {self._seq + 1} is missing before {frame['seq']}")
                self._seen(frame["seq"])
            case "res" if "retry_ms" in frame.get("err", {}) and frame["c"] in self._unanswered:
                self._ask_again(frame["err"]["retry_ms"] / 1000)
                return False
            case "res":
                return self._unanswered.pop(frame["c"], None) is not None
            case "goaway" | "error":
                self._last |= frame
        return True

    def _ask_again(self, wait_s: float) -> None:
        """Nothing was decided about a command, nor will it be about those behind it before it has come again: when the
        server says, all are sent again in their order, as after a welcome."""
        self._is_open = False
        self._stop_asking()
        self._asking = asyncio.create_task(self._send_later(wait_s), name="undecided commands")

    async def _send_later(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        with suppress(ConnectionError):
            await self._send_unanswered()

    def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _seen(self, seq: int) -> None:
        """Both together: a number of one log with the epoch of another would skip what is between, and nobody told."""
        self._seq = seq
        self._hello["cur"] = {"epoch": self._epoch, "seq": seq}

    async def go_back(self, cursor: dict[str, Any]) -> None:
        """Read again what comes after cursor, on a new connection."""
        self._seq, self._hello["cur"] = int(cursor["seq"]), cursor
        if self._socket is not None:
            await self._socket.close()

    @property
    def cursor(self) -> dict[str, Any] | None:
        """{epoch, seq} of the last event that frames() gave."""
        return self._hello.get("cur")

    def _wait_after_close(self, socket: aiohttp.ClientWebSocketResponse, wait_s: float) -> float:
        code = socket.close_code or CUT
        if code // 100 in (43, 44, 45):
            raise Stopped(code, self._last.get("msg", "the server closed the connection"))
        asked_ms = self._last.get("retry_ms", self._last.get("slot_ms"))
        return wait_s if asked_ms is None else float(asked_ms) / 1000

    async def _send(self, frame: dict[str, Any]) -> None:
        if self._socket is not None and not self._socket.closed:
            await self._socket.send_str(json.dumps(frame))

    async def _drop(self) -> None:
        self._is_open = False
        self._stop_asking()
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
