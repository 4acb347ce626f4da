"""The client for Python programs: events once and in order, commands that are answered, over as many connections and
server restarts as it takes.

    async with Client("http://127.0.0.1:8080", create={"team": "chess"}, auth=key) as client:
        async for event in client:
            ...
            reply = await client.send("say", {"text": "e2e4"})
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from .dialling import CUT, Dialler, Stopped, http_session

EVENTS_WAITING_MAX: Final = 1024  # above it they are left to the server's log for a while


class Cursors(Protocol):
    """Where a program keeps how far it has come. Kept with the effects of the events, each has its effect once."""

    def load(self) -> dict[str, Any] | None: ...
    def save(self, cursor: dict[str, Any]) -> None: ...


class FileCursors:
    """One cursor in one file, replaced whole: after a crash it is the old one or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Any] | None:
        """None if there is none yet. Raises ValueError for a file that holds something else."""
        try:
            cursor: Any = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        if (
            not isinstance(cursor, dict)
            or not isinstance(cursor.get("epoch"), str)
            or type(cursor.get("seq")) is not int
        ):
            raise ValueError(f"{self._path} holds no cursor")
        return {"epoch": cursor["epoch"], "seq": cursor["seq"]}

    def save(self, cursor: dict[str, Any]) -> None:
        draft = self._path.with_name(self._path.name + ".draft")
        with draft.open("w") as file:
            json.dump(cursor, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a command. seq: the last event of its step; is_duplicate: it was applied before."""

    ok: bool
    value: Any = None
    code: str = ""
    message: str = ""
    seq: int | None = None
    is_duplicate: bool = False


class Client:
    """One client of one session; `async with` connects it. Iterating gives each event, and each snapshot that takes the
    place of all before it ({"t": "snap"}), as the server sent it.

    token: of a session that is there; without one, create makes a session. cursors: to go on where an earlier process
    stopped; saved when the next event is asked for. on_note: called with kind and data of what is volatile.
    """

    def __init__(
        self,
        url: str,
        *,
        create: dict[str, Any] | None = None,
        auth: str | None = None,
        token: str | None = None,
        role: Literal["control", "observe"] = "control",
        cursors: Cursors | None = None,
        on_note: Callable[[str, Any], None] | None = None,
    ) -> None:
        self._http = http_session()
        cursor = cursors.load() if cursors is not None else None
        self._dialler = Dialler(self._http, url, create, auth, token=token, role=role, cursor=cursor)
        self._cursors = cursors
        self._on_note = on_note
        self._events: deque[tuple[dict[str, Any], dict[str, Any]]] = deque()  # (event, cursor behind it)
        self._replies: dict[int, asyncio.Future[Reply]] = {}
        self._welcomed: asyncio.Future[dict[str, Any]] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._is_behind = False  # what comes is not kept any more
        self._last: dict[str, Any] | None = None  # cursor of the last event that was kept

    @property
    def token(self) -> str:
        """The right to the session: keep it secret."""
        return self._dialler.token

    async def __aenter__(self) -> Client:
        """Connected, and welcomed for the first time. Raises Stopped if the server does not want this client."""
        self._welcomed = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(), name="steward client")
        try:
            waited: set[asyncio.Future[Any]] = {self._reading, self._welcomed}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._reading.done():
                await self._reading
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave. The session goes on; whoever waits for a reply gets Stopped."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
            if not self._reading.cancelled():
                self._reading.exception()  # told to whoever read or waited
        await self._http.close()

    @property
    def welcome(self) -> dict[str, Any]:
        """The first welcome: sid, limits and the rest."""
        assert self._welcomed is not None, "async with connects a client"
        return self._welcomed.result()

    async def send(self, name: str, args: dict[str, Any] | None = None, to: str = "/") -> Reply:
        """What becomes of a command, however often the connection is lost meanwhile; it takes effect once.

        Raises Stopped if the server has said its last word. Giving up the wait does not take the command back.
        """
        if self._reading is None or self._reading.done():
            raise Stopped(CUT, "the client is not connected")
        while self._dialler.is_full:
            await self._change()
            if self._reading.done():
                raise Stopped(CUT, "the client was closed")
        number = self._dialler.prepare(name, args, to)
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        self._changed.set()
        try:
            await self._dialler.transmit(number)
            return await reply
        finally:
            self._replies.pop(number, None)

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """Ends after session.ended. Raises Stopped with the server's last word."""
        while True:
            event, cursor = await self._next()
            yield event
            if self._cursors is not None:
                self._cursors.save(cursor)
            if event.get("kind") == "session.ended":
                return

    async def _next(self) -> tuple[dict[str, Any], dict[str, Any]]:
        assert self._reading is not None, "async with connects a client"
        while not self._events:
            if self._reading.done():
                await self._reading  # raises why
                raise Stopped(CUT, "the client was closed")
            await self._change()
        found = self._events.popleft()
        await self._catch_up()
        return found

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _read(self) -> None:
        try:
            async with aclosing(self._dialler.frames()) as frames:
                async for frame in frames:
                    self._take(frame)
        except Stopped as last_word:
            self._forsake(last_word)
            raise
        finally:
            self._forsake(Stopped(CUT, "the client was closed"))
            self._changed.set()

    def _take(self, frame: dict[str, Any]) -> None:
        match frame["t"]:
            case "welcome" if self._welcomed is not None and not self._welcomed.done():
                self._welcomed.set_result(frame)
            case "ev" | "snap":
                self._keep(frame)
            case "note" if self._on_note is not None:
                self._on_note(frame["kind"], frame["data"])
            case "res":
                reply = self._replies.get(frame["c"])
                if reply is not None and not reply.done():
                    reply.set_result(_reply(frame))
                self._changed.set()  # nobody may wait for it any more, but others do for the place that it took

    def _keep(self, event: dict[str, Any]) -> None:
        """For whoever reads. Above the bound it is left to the server's log, but the socket is read on: a peer that
        answers no ping is cut, and its session's window begins. Who waits for a reply may be the one who reads the
        events before it, so then there is no bound but the log's."""
        self._is_behind = self._is_behind or (len(self._events) >= EVENTS_WAITING_MAX and not self._replies)
        if not self._is_behind:
            self._last = self._dialler.cursor
            assert self._last is not None, "the dialler has counted it"
            self._events.append((event, self._last))
            self._changed.set()

    async def _catch_up(self) -> None:
        """Have what was left to the log sent again, once there is room for it."""
        if self._is_behind and len(self._events) <= EVENTS_WAITING_MAX // 2:
            self._is_behind = False
            assert self._last is not None, "something was kept before anything was left"
            await self._dialler.go_back(self._last)

    def _forsake(self, why: Stopped) -> None:
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(why)


def _reply(frame: dict[str, Any]) -> Reply:
    err = frame.get("err", {})
    return Reply(
        ok=frame["ok"],
        value=frame.get("val"),
        code=err.get("code", ""),
        message=err.get("msg", ""),
        seq=frame.get("seq"),
        is_duplicate=bool(frame.get("dup")),
    )
