"""The HTTP calls that take a session out as one file, bring one in, and make a new one of another's past."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, TypeVar

from aiohttp import web

from engine.errors import Refused
from engine.journal.base import TokenRow
from engine.log.parcel import PARCEL_BYTES_MAX, Parcel, pack

from .auth import bearer, digest_of, new_token, new_token_id
from .bodies import ForkBody, read_body, read_bytes
from .codes import Fault
from .desk import Desk
from .http import view_of
from .patience import Patience
from .problems import NDJSON, Problem, json
from .protocol import Timing

AT_ONCE_MAX: Final = 4  # exports and imports, each with a whole log in memory
IMPORT_S: Final = 120.0  # for a body of PARCEL_BYTES_MAX on a slow line
CHUNK_BYTES: Final = 64 * 1024
# Why a session cannot be taken out, brought in or made: status, and what it is called.
REFUSALS: Final = {
    "unknown_session": (404, "no such session"),
    "exists": (409, "it is here already"),
    "lost_states": (409, "this server's lifecycle file does not fit"),
    "trimmed": (410, "that part of the log is gone"),
    "ended": (409, "the session has ended there"),
    "too_large": (413, "the log is too large for one file"),
}
T = TypeVar("T")
log = logging.getLogger("steward.transfers")


class Place:
    """One of AT_ONCE_MAX: taken until its call is answered and all that it began is over, whoever still waits."""

    def __init__(self, taken: set[Place]) -> None:
        self._taken = taken
        self._uses = 0

    @contextmanager
    def used(self) -> Iterator[None]:
        self._uses += 1
        self._taken.add(self)
        try:
            yield
        finally:
            self._uses -= 1
            if not self._uses:
                self._taken.discard(self)

    async def during(self, work: Callable[[], Awaitable[T]]) -> T:
        with self.used():
            return await work()


class Transfers:
    """For administrators: a file holds all of a session and the hashes of its tokens, and a token is a right to one
    session, not to a second one."""

    def __init__(self, desk: Desk, timing: Timing) -> None:
        self._desk = desk
        self._transfer = desk.manager.transfer
        self._stuck_s = timing.stuck_s
        self._patience = Patience(timing.answer_s)
        self._taken: set[Place] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/sessions/{sid}/export", self.take_out, allow_head=False),
            web.post("/v1/sessions/import", self.take_in),
            web.post("/v1/sessions/{sid}/fork", self.fork),
        ]

    async def take_out(self, request: web.Request) -> web.StreamResponse:
        sid = request.match_info["sid"]
        async with self._one(request) as place:
            with _told():
                parcel = await self._patience.wait(place.during(lambda: self._transfer.take_out(sid)))
            return await self._send(request, parcel)

    async def _send(self, request: web.Request, parcel: Parcel) -> web.StreamResponse:
        """A peer that takes nothing for as long as a WebSocket's may is cut off; without its last line it is torn."""
        response = web.StreamResponse()
        response.content_type = NDJSON
        response.headers["Content-Disposition"] = f'attachment; filename="{parcel.row.sid}.jsonl"'
        with suppress(ConnectionError):
            await response.prepare(request)
            try:
                for chunk in _chunks(pack(parcel)):
                    async with asyncio.timeout(self._stuck_s):
                        await response.write(chunk)
                    await asyncio.sleep(0)  # a peer that takes all at once gives nobody else a turn
                await response.write_eof()
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def take_in(self, request: web.Request) -> web.Response:
        async with self._one(request) as place:
            text = await read_bytes(request, PARCEL_BYTES_MAX, IMPORT_S)
            with _told():
                session = await self._patience.wait(place.during(lambda: self._transfer.take_in(text)))
        answer = json(view_of(session), status=201)
        answer.headers["Location"] = f"/v1/sessions/{session.sid}"
        return answer

    async def fork(self, request: web.Request) -> web.Response:
        old = request.match_info["sid"]
        async with self._one(request) as place:
            body = await read_body(request, ForkBody)
            token, token_id = new_token(), new_token_id()

            def right(sid: str) -> TokenRow:
                return TokenRow(digest_of(token), sid, token_id, "control")

            with _told():
                forking = place.during(lambda: self._transfer.fork(old, body.seq, right))
                session, seq = await self._patience.wait(forking)
        log.info("forked from %s at %d", old, seq, extra={"sid": session.sid})
        answer = json({**view_of(session), "token": token, "seq": seq}, status=201)
        answer.headers["Location"] = f"/v1/sessions/{session.sid}"
        return answer

    @asynccontextmanager
    async def _one(self, request: web.Request) -> AsyncIterator[Place]:
        """One call of an administrator, of at most AT_ONCE_MAX."""
        await self._patience.wait(self._desk.require_admin(bearer(request.headers)))
        if len(self._taken) >= AT_ONCE_MAX:
            raise Fault("overloaded", f"{AT_ONCE_MAX} sessions are being copied already; come again later")
        place = Place(self._taken)
        with place.used():
            yield place


@contextmanager
def _told() -> Iterator[None]:
    """Refusals that only HTTP tells."""
    try:
        yield
    except Refused as refused:
        if refused.code not in REFUSALS:
            raise
        status, title = REFUSALS[refused.code]
        raise Problem(status, refused.code, title, refused.message) from None


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    chunk = bytearray()
    for line in lines:
        chunk += line
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)
