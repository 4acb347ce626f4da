"""`steward play`: a game in the terminal, over the same WebSocket every other client uses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from .client import Client, Stopped

LINES_WAITING_MAX: Final = 64
LINE_BYTES_MAX: Final = 4096
PIECES: Final = dict(zip("KQRBNPkqrbnp", "♔♕♖♗♘♙♚♛♜♝♞♟", strict=True))
HELP: Final = "a move like e2e4, /interrupt, /end, /help; Ctrl-C leaves"
START: Final = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
Print = Callable[[str], None]


def board(fen: str, *, is_plain: bool = False) -> str:
    """The position as eight lines of text. is_plain: letters instead of chess signs."""
    rows = []
    for number, row in zip(range(8, 0, -1), fen.split(" ", 1)[0].split("/"), strict=True):
        squares = "".join("." * int(sign) if sign.isdigit() else sign for sign in row)
        rows.append(f" {number} " + " ".join(squares if is_plain else (PIECES.get(sign, "·") for sign in squares)))
    return "\n".join([*rows, "   a b c d e f g h"])


def describe(frame: dict[str, Any]) -> str | None:
    """What one frame tells a player; None for what is no news to one."""
    match frame:
        case {"t": "welcome"}:
            return f"session {frame['sid']} is {frame['state']}"
        case {"t": "ev", "kind": "session.state" | "orchestrator.state" | "agent.state" as kind, "data": data}:
            return f"{frame['seq']:5} {kind}: {data.get('actor', '/')} {data.get('from')} -> {data.get('to')}"
        case {"t": "ev", "kind": "agent.message", "data": {"ply": ply, "uci": uci} as data}:
            return f"{frame['seq']:5} {data.get('agent', '?')}: {ply}. {data.get('san', uci)} ({uci})"
        case {"t": "ev", "kind": kind, "data": data}:
            text = data.get("text") or data.get("prompt") or data.get("result") or data.get("why") or ""
            return f"{frame['seq']:5} {kind}: {data.get('agent', '')} {text}".rstrip()
        case {"t": "res", "ok": False, "err": err}:
            return f"      refused: {err['code']} {err['msg']}"
        case {"t": "error"}:
            return f"      {frame['msg']}"
        case {"t": "lost"}:
            return f"      connection lost ({frame['why']}); dialling again"
    return None


class Game:
    """One game: what to show, and what a line that was typed means."""

    def __init__(self, client: Client, show: Print, *, is_plain: bool, show_states: bool) -> None:
        self._client = client
        self._show = show
        self._is_plain = is_plain
        self._show_states = show_states
        self._is_ending = False

    async def follow(self) -> None:
        """Until the session has ended. Raises Stopped if the server closes for good before that."""
        async for frame in self._client.frames():
            self._tell(frame)
            data = frame.get("data") or {}
            if frame.get("kind") == "session.ended":
                return
            if frame.get("kind") == "agent.message" and data.get("result"):
                self._show(f"\nThe game is over: {_result(data['result'])}\n")
                await self.end()

    def _tell(self, frame: dict[str, Any]) -> None:
        is_state = str(frame.get("kind", "")).endswith(".state") and frame.get("kind") != "session.state"
        text = describe(frame)
        if text is not None and (self._show_states or not is_state):
            self._show(text)
        data = frame.get("data")
        if isinstance(data, dict) and isinstance(data.get("fen"), str):
            self._show("\n" + board(data["fen"], is_plain=self._is_plain) + "\n")
        if frame.get("kind") == "session.ended" and isinstance(data, dict):
            self._show(report(data.get("report")))

    async def typed(self, line: str) -> None:
        match line.strip():
            case "":
                return
            case "/end" | "/quit":
                await self.end()
            case "/interrupt":
                await self._client.command("interrupt")
            case "/help":
                self._show(HELP)
            case text:
                await self._client.command("say", {"text": text})

    async def end(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            await self._client.command("terminate")


def _result(result: Any) -> str:
    return str(result.get("outcome", result)) if isinstance(result, dict) else str(result)


def report(found: Any) -> str:
    """The clean-up report in one line."""
    counts = found if isinstance(found, dict) else {}
    told = ", ".join(f"{counts[what]} {what}" for what in ("released", "forced", "leaked") if counts.get(what))
    told = told or "nothing was held"
    return f"the session has ended; clean-up: {told}"


async def play(
    url: str, auth: str | None, create: dict[str, Any], show: Print, *, is_plain: bool, show_states: bool
) -> int:
    """Play one game; an exit code."""
    lines: asyncio.Queue[str] = asyncio.Queue(LINES_WAITING_MAX)
    _read_lines(asyncio.get_running_loop(), lines)
    if create.get("team") == "chess":
        show("\n" + board(START, is_plain=is_plain) + "\n")
    async with aiohttp.ClientSession() as http:
        game = Game(Client(http, url, create, auth), show, is_plain=is_plain, show_states=show_states)
        typing = asyncio.create_task(_type(game, lines), name="typing")
        try:
            await game.follow()
        except Stopped as stopped:
            show(f"stopped: {stopped}")
            return 0 if stopped.code == 4500 else 1
        finally:
            typing.cancel()
    return 0


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
