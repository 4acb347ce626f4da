"""The terminal client: what it shows, and that it gets through lost connections."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from server.dialling import Dialler, Stopped
from server.keeping import Kept
from server.play import Game, Table
from server.telling import board, describe, ending, farewell, report
from tests.server.conftest import ANSWER_S, KEY, Wire


class Shown:
    """Everything a player was shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._grown = asyncio.Event()

    def __call__(self, text: str) -> None:
        self.lines.append(text)
        self._grown.set()

    async def wait_for(self, text: str) -> None:
        while not any(text in line for line in self.lines):
            self._grown.clear()
            await self._grown.wait()


def table(wire: Wire, folder: Path, **changes: Any) -> Table:
    given: dict[str, Any] = {
        "url": wire.url, "auth": KEY, "create": {"team": "wire"}, "token": None, "kept": Kept(folder / "play"),
        "rejoin": "steward play --session", "is_plain": True,
    }  # fmt: skip
    return Table(**{**given, **changes})


def game_of(http: aiohttp.ClientSession, at: Table, shown: Any) -> Game:
    create = at.create if at.token is None else None
    return Game(Dialler(http, at.url, create, at.auth, token=at.token), shown, at)


START = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
MOVE = {"agent": "black", "ply": 2, "uci": "b8c6", "san": "Nc6", "text": "1… Nc6"}


def test_a_position_is_a_board() -> None:
    """Eight rows, black at the top."""
    rows = board(START, is_plain=True).splitlines()
    assert rows[0] == " 8 r n b q k b n r"
    assert rows[4] == " 4 . . . . P . . ."
    assert rows[8] == "   a b c d e f g h"
    assert board(START).splitlines()[0] == " 8 ♜ ♞ ♝ ♛ ♚ ♝ ♞ ♜"


@pytest.mark.parametrize(
    "frame, text",
    [
        ({"t": "welcome", "sid": "s.1", "state": "active"}, None),
        ({"t": "res", "c": 1, "ok": True}, None),
        ({"t": "res", "c": 1, "ok": False, "err": {"code": "guard", "msg": "not you"}}, "refused: not you (guard)"),
        ({"t": "ev", "seq": 3, "kind": "agent.message", "data": MOVE}, "black: 1… Nc6 (b8c6)"),
        ({"t": "ev", "seq": 3, "kind": "input.request", "data": {"agent": "a", "prompt": "your move"}}, "your move"),
        ({"t": "ev", "seq": 3, "kind": "session.state", "data": {"from": "a", "to": "b"}}, None),
        ({"t": "ev", "seq": 3, "kind": "input.response", "data": {"agent": "a", "how": "answered"}}, None),
        ({"t": "ping", "head": 3}, None),
        ({"t": "lost", "code": 4000, "why": "x"}, "the server is leaving; dialling again until it is back"),
        ({"t": "lost", "code": 4103, "why": "8 are here"}, "8 are here; waiting for a free place; Ctrl-C leaves"),
        ({"t": "lost", "code": 1006, "why": "x"}, "the connection is lost; dialling again"),
    ],
)
def test_frames_are_told_in_words(frame: dict[str, Any], text: str | None) -> None:
    """What is news to a player, and nothing else; a move as the arbiter writes it, a close without its number."""
    assert describe(frame) == text


def test_with_states_every_event_is_told() -> None:
    """With its number, so that it is found in the log."""
    frame = {"t": "ev", "seq": 3, "kind": "session.state", "data": {"actor": "/", "from": "a", "to": "b"}}
    assert describe(frame, show_states=True) == "    3 session.state: / a -> b"


def test_the_report_is_one_line() -> None:
    """The proof that everything is gone; why only where nobody asked for the end."""
    leaky = {"released": 3, "forced": 0, "leaked": 1, "ok": False, "items": []}
    assert report(leaky) == "clean-up: 3 released, 1 leaked"
    assert ending({"code": "closed", "why": "x"}) == "the session has ended; clean-up: nothing was held"
    assert ending({"code": "failed", "why": "x"}).startswith("the session has ended: x; ")


def test_who_leaves_is_told_for_how_long_they_are_waited_for() -> None:
    """And how to come back, if there is a way."""
    text = farewell(30_000, "steward play --session s.1")
    assert "30s" in text
    assert text.endswith("steward play --session s.1")
    assert "Come back" not in farewell(None, None)


def test_a_token_is_kept_for_this_user_only(tmp_path: Path) -> None:
    """And no sid that a server gives leads out of the folder."""
    kept = Kept(tmp_path / "play")
    token = "t" * 43
    assert kept.keep("s.abc", token)
    assert (tmp_path / "play" / "s.abc").stat().st_mode & 0o777 == 0o600
    assert kept.token("s.abc") == token
    assert not kept.keep("../s.abc", token)
    assert kept.token("../play/s.abc") is None
    kept.drop("s.abc")
    assert kept.token("s.abc") is None


async def test_a_game_is_followed_to_its_end_over_a_lost_connection(wire: Wire, tmp_path: Path) -> None:
    """The client dials again by itself: every event once, in order, and its command counts once."""
    shown = Shown()
    async with aiohttp.ClientSession() as http, asyncio.timeout(ANSWER_S):
        game = game_of(http, table(wire, tmp_path, show_states=True), shown)
        following = asyncio.create_task(game.follow())
        await game.typed("one")
        await shown.wait_for("one")
        for connection in list(wire.parts.pool.connections):
            connection._transport.abort()
        await game.typed("two")
        await shown.wait_for("two")
        await game.typed("/end")
        ended = await following
    assert ended["code"] == "closed"
    told = [line for line in shown.lines if "agent.message" in line]
    assert [line.split()[-1] for line in told] == ["one", "two"]
    assert any("dialling again" in line for line in shown.lines)
    assert shown.lines[-1].startswith("the session has ended")
    assert any("-> terminated" in line for line in shown.lines)


async def test_a_game_that_was_left_is_come_back_to(wire: Wire, tmp_path: Path) -> None:
    """With the token that was kept, and without telling again what was told."""
    first, second = Shown(), Shown()
    at = table(wire, tmp_path)
    async with aiohttp.ClientSession() as http, asyncio.timeout(ANSWER_S):
        game = game_of(http, at, first)
        following = asyncio.create_task(game.follow())
        await game.typed("one")
        await first.wait_for("one")
        following.cancel()
        await asyncio.wait({following})
        game.leave()
        sid = first.lines[-1].split()[-1]
        token = at.kept.token(sid)
        assert token is not None
        game = game_of(http, table(wire, tmp_path, token=token), second)
        following = asyncio.create_task(game.follow())
        await game.typed("two")
        await second.wait_for("two")
        await game.typed("/end")
        await following
        game.forget()
    assert not any("one" in line for line in second.lines)
    assert at.kept.token(sid) is None


async def test_a_server_that_says_stop_is_not_dialled_again(wire: Wire, tmp_path: Path) -> None:
    """4300: a bug or a wrong key does not get better by repeating it. Nothing was shown of a game that is none."""
    shown = Shown()
    async with aiohttp.ClientSession() as http, asyncio.timeout(ANSWER_S):
        with pytest.raises(Stopped) as stopped:
            await game_of(http, table(wire, tmp_path, auth="wrong"), shown).follow()
    assert (stopped.value.code, shown.lines) == (4300, [])


async def test_a_command_that_is_none_says_which_there_are(wire: Wire, tmp_path: Path) -> None:
    """It is not sent as something said."""
    shown = Shown()
    async with aiohttp.ClientSession() as http:
        await game_of(http, table(wire, tmp_path), shown).typed("/foo bar")
    assert shown.lines == ["there is no /foo; there are: /interrupt, /end, /help"]


class Script:
    """A client to which these frames come."""

    token = "t" * 43

    def __init__(self, *frames: dict[str, Any]) -> None:
        self._frames = frames
        self.sent: list[str] = []

    async def frames(self) -> Any:
        for frame in self._frames:
            yield frame

    async def command(self, name: str, args: Any = None) -> int:
        self.sent.append(name)
        return len(self.sent)


def ev(seq: int, kind: str, **data: Any) -> dict[str, Any]:
    return {"t": "ev", "seq": seq, "kind": kind, "data": data}


def scripted(folder: Path, *frames: dict[str, Any], **changes: Any) -> tuple[Game, Script, Shown]:
    """A chess game to which these frames come."""
    client, shown = Script(*frames), Shown()
    at = Table("", None, {"team": "chess"}, None, Kept(folder / "play"), "steward play --session", True, **changes)
    return Game(client, shown, at), client, shown  # type: ignore[arg-type]


WELCOME: dict[str, Any] = {"t": "welcome", "sid": "s.1", "head": 0, "window_ms": 30_000}
ENDED = ev(9, "session.ended", code="closed", why="", report=None)


async def test_after_an_interrupt_it_is_said_what_to_do(tmp_path: Path) -> None:
    """The question is withdrawn in the log, but its answer is still what the game waits for."""
    asked = ev(1, "input.request", prompt="Your move, white.")
    withdrawn = ev(2, "input.response", how="interrupted")
    game, _, shown = scripted(tmp_path, WELCOME, asked, withdrawn, {"t": "res", "c": 1, "ok": True}, ENDED)
    await game.typed("/interrupt")
    await game.follow()
    assert "interrupted; Your move, white." in shown.lines


async def test_the_board_comes_with_the_welcome(tmp_path: Path) -> None:
    """Not before: there is no game yet."""
    lost = {"t": "lost", "code": 4103, "why": "full"}
    cut = {"t": "lost", "code": 1006, "why": "refused"}
    game, _, shown = scripted(tmp_path, lost, cut, lost, WELCOME, ENDED)
    await game.follow()
    assert shown.lines[:2] == ["full; waiting for a free place; Ctrl-C leaves", "session s.1"]
    assert "r n b q k b n r" in shown.lines[3]


async def test_moves_are_shown_at_a_pace(tmp_path: Path) -> None:
    """Two agents play a whole game in a second; the wait is the client's, and the first move has none."""
    frames = [ev(seq, "agent.message", agent="white", text=f"{seq}. e4", fen=START) for seq in (1, 2, 3)]
    game, _, shown = scripted(tmp_path, WELCOME, *frames, ENDED, pace_s=0.02)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await game.follow()
    assert loop.time() - began >= 0.04
    assert [line for line in shown.lines if line.startswith("white")] == [f"white: {seq}. e4" for seq in (1, 2, 3)]


async def test_a_game_that_is_over_ends_its_session(tmp_path: Path) -> None:
    """Told once, in words."""
    over = ev(1, "agent.message", agent="scribe", text="1-0: checkmate", result="1-0")
    game, client, shown = scripted(tmp_path, WELCOME, over, ENDED)
    await game.follow()
    assert client.sent == ["terminate"]
    assert [line for line in shown.lines if "checkmate" in line] == ["\nThe game is over: 1-0: checkmate\n"]


def snap(seq: int, *events: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"t": "snap", "seq": seq, "data": {"actors": [], "requests": [], "messages": list(events), **data}}


async def test_a_game_whose_log_is_gone_is_shown_as_it_stands(tmp_path: Path) -> None:
    """Instead of the moves that were missed: the board, and what is asked for."""
    move = ev(7, "agent.message", agent="white", text="1. e4", fen=START)
    question = ev(3, "input.request", request="r", prompt="Your move, black.")
    game, client, shown = scripted(tmp_path, WELCOME, snap(8, move, requests=[question]), ENDED)
    await game.follow()
    assert any(". . . . P . . ." in line for line in shown.lines)
    assert "Your move, black." in shown.lines
    assert client.sent == []


async def test_a_game_that_ended_long_ago_ends_with_the_snapshot(tmp_path: Path) -> None:
    """No session.ended comes behind it."""
    over = ev(7, "agent.message", agent="scribe", text="1-0: checkmate", result="1-0")
    ended = {"code": "closed", "why": "", "report": None}
    game, client, shown = scripted(tmp_path, WELCOME, snap(9, over, ended=ended))
    assert await game.follow() == ended
    assert shown.lines[-1] == "the session has ended; clean-up: nothing was held"
    assert client.sent == []
