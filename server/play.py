"""`steward play`: a game in the terminal, over the same WebSocket every other client uses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from .dialling import CUT, Dialler, Stopped, http_session
from .keeping import Kept
from .telling import COMMANDS, HELP, START, board, describe, ending, farewell

LINES_WAITING_MAX: Final = 64
LINE_BYTES_MAX: Final = 4096
FRAMES_WAITING_MAX: Final = 4096  # read, and not shown yet because of the pace; what is more stays in the log
ENDED: Final = 4500
NO_TOKEN: Final = 4300
Print = Callable[[str], None]


@dataclass(frozen=True)
class Table:
    """A game to be. auth: the key; token: of a session that is there already; rejoin: the command that comes back to
    one, without its sid; pace_s: between moves that are shown."""

    url: str
    auth: str | None
    create: dict[str, Any]
    token: str | None
    kept: Kept
    rejoin: str
    is_plain: bool = False
    show_states: bool = False
    has_person: bool = True
    pace_s: float = 0.0


class Game:
    """One game: what to show, and what a line that was typed means."""

    def __init__(self, client: Dialler, show: Print, table: Table) -> None:
        self._client = client
        self._show = show
        self._table = table
        self._welcome: dict[str, Any] | None = None
        self._is_kept = False
        self._silent_until = 0  # events up to here were shown to whoever began the game
        self._is_ending = False
        self._interrupts: set[int] = set()
        self._fen = START if table.create.get("team") == "chess" else ""
        self._prompt = ""
        self._told_lost: str | None = None
        self._move_at = 0.0

    async def follow(self) -> dict[str, Any]:
        """Until the session has ended; how it did. Raises Stopped if the server closes for good before that.

        Frames are read ahead: a client that reads only as fast as it shows answers no pings in time.
        """
        waiting: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue(FRAMES_WAITING_MAX)
        reading = asyncio.create_task(self._read(waiting), name="frames")
        try:
            while True:
                frame = await waiting.get()
                if isinstance(frame, Exception):
                    raise frame
                await self._tell(frame)
                if (ended := _ended(frame)) is not None:
                    return ended
        finally:
            reading.cancel()

    async def _read(self, waiting: asyncio.Queue[dict[str, Any] | Exception]) -> None:
        try:
            async with aclosing(self._client.frames()) as frames:
                async for frame in frames:
                    await waiting.put(frame)
        except Exception as error:
            await waiting.put(error)  # follow() raises it

    async def _tell(self, frame: dict[str, Any]) -> None:
        match frame:
            case {"t": "welcome"}:
                self._welcomed(frame)
            case {"t": "lost"}:
                self._lost(frame)
            case {"t": "ev", "seq": seq} if seq <= self._silent_until:
                self._note(frame)
                if seq == self._silent_until:
                    self._show_where_it_stands()
            case {"t": "ev"}:
                await self._event(frame)
            case {"t": "snap", "data": data}:
                await self._snapped(data)
            case {"t": "res", "c": c, "ok": True} if c in self._interrupts:
                self._show(f"interrupted; {self._prompt or 'type anything to let them go on'}")
            case _:
                self._say(describe(frame))
        if _is_over(frame):
            await self.end()

    def _welcomed(self, welcome: dict[str, Any]) -> None:
        first, self._welcome = self._welcome is None, welcome
        self._told_lost = None
        if not first:
            self._show("connected again")
            return
        self._is_kept = self._table.kept.keep(welcome["sid"], self._client.token)
        self._show(f"session {welcome['sid']}")
        if self._table.has_person:
            self._show(HELP)
        if self._table.token is not None and welcome["head"]:
            self._silent_until = welcome["head"]
        elif self._fen:
            self._show_board()

    async def _snapped(self, data: dict[str, Any]) -> None:
        """The log is not kept back to where this client stood: show how the game stands instead."""
        self._silent_until = 0
        told = {event["seq"]: event for event in [*data["requests"], *data["messages"]]}
        for _, event in sorted(told.items()):
            self._note(event)
        self._show_where_it_stands()
        if "ended" in data:
            self._show(ending(data["ended"]))
        elif any(map(_is_over, told.values())):
            await self.end()

    def _lost(self, frame: dict[str, Any]) -> None:
        """Once for each way to be without a connection, not once for each try; what the server said last stands."""
        text = describe(frame)
        is_news = text != self._told_lost and (self._told_lost is None or frame["code"] != CUT)
        if is_news:
            self._say(text)
            self._told_lost = text

    def _note(self, frame: dict[str, Any]) -> None:
        """Keep what the game has come to."""
        data = frame.get("data") or {}
        if isinstance(data.get("fen"), str):
            self._fen = data["fen"]
        match frame["kind"]:
            case "input.request":
                self._prompt = str(data.get("prompt", ""))
            case "input.response":
                # An interrupt withdraws the question, but a move is still what it waits for.
                self._prompt = self._prompt if data.get("how") == "interrupted" else ""

    def _show_where_it_stands(self) -> None:
        if self._fen:
            self._show_board()
        self._say(self._prompt or None)

    def _show_board(self) -> None:
        self._show("\n" + board(self._fen, is_plain=self._table.is_plain) + "\n")

    async def _event(self, frame: dict[str, Any]) -> None:
        is_move = "fen" in (frame.get("data") or {})
        if is_move and not self._is_ending:
            await self._wait_turn()
        self._note(frame)
        if _is_over(frame):
            self._show(f"\nThe game is over: {frame['data'].get('text') or frame['data']['result']}\n")
        else:
            self._say(describe(frame, show_states=self._table.show_states))
        if is_move:
            self._show_board()
        if frame["kind"] == "session.ended":
            self._show(ending(frame["data"]))

    async def _wait_turn(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._move_at:
            await asyncio.sleep(self._move_at - now)
        self._move_at = max(now, self._move_at) + self._table.pace_s

    def _say(self, text: str | None) -> None:
        if text is not None:
            self._show(text)

    async def typed(self, line: str) -> None:
        match line.strip():
            case "":
                return
            case "/end" | "/quit":
                await self.end()
            case "/interrupt":
                self._interrupts.add(await self._client.command("interrupt"))
            case "/help":
                self._show(HELP)
            case text if text.startswith("/"):
                self._show(f"there is no {text.split()[0]}; there are: {', '.join(COMMANDS)}")
            case text:
                await self._client.command("say", {"text": text})

    async def end(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            await self._client.command("terminate")

    def leave(self) -> None:
        """Ctrl-C: say what becomes of what is left behind."""
        if self._welcome is not None:
            rejoin = f"{self._table.rejoin} {self._welcome['sid']}" if self._is_kept else None
            self._show(farewell(self._welcome.get("window_ms"), rejoin))

    def forget(self) -> None:
        """There is nothing left to come back to."""
        if self._welcome is not None:
            self._table.kept.drop(self._welcome["sid"])


def _is_over(frame: dict[str, Any]) -> bool:
    return frame.get("kind") == "agent.message" and bool(frame["data"].get("result"))


def _ended(frame: dict[str, Any]) -> dict[str, Any] | None:
    """How the session has ended, if this frame says so."""
    ended = frame["data"].get("ended") if frame["t"] == "snap" else None
    return dict(frame["data"]) if frame.get("kind") == "session.ended" else ended


async def play(table: Table, show: Print) -> int:
    """Play one game; an exit code."""
    lines: asyncio.Queue[str] = asyncio.Queue(LINES_WAITING_MAX)
    _read_lines(asyncio.get_running_loop(), lines)
    async with http_session() as http:
        create = table.create if table.token is None else None
        game = Game(Dialler(http, table.url, create, table.auth, token=table.token), show, table)
        typing = asyncio.create_task(_type(game, lines), name="typing")
        try:
            ended = await game.follow()
            game.forget()
            return 0 if ended.get("code") in ("closed", "admin") else 1
        except Stopped as stopped:
            show(f"stopped: {_why(stopped, table)}")
            return 0 if stopped.code == ENDED else 1
        except asyncio.CancelledError:
            game.leave()
            raise
        finally:
            typing.cancel()


def _why(stopped: Stopped, table: Table) -> str:
    if stopped.code != NO_TOKEN:
        return str(stopped)
    if table.token is not None:
        return "this session is not there any more"
    return "the server does not take this key; --data names its data directory, which has the right one"


async def _type(game: Game, lines: asyncio.Queue[str]) -> None:
    while True:
        await game.typed(await lines.get())


def _read_lines(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str]) -> None:
    """Lines of standard input, from a thread of their own: a terminal's read cannot be awaited or cancelled.

    Read past Python's buffer, whose lock the blocked thread would still hold when the interpreter ends.
    """

    def read() -> None:
        rest = b""
        while piece := os.read(0, LINE_BYTES_MAX):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                if loop.is_closed():
                    return
                asyncio.run_coroutine_threadsafe(lines.put(line.decode(errors="replace")), loop).result()
            rest = rest[-LINE_BYTES_MAX:]

    threading.Thread(target=read, name="standard input", daemon=True).start()
