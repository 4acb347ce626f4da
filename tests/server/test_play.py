"""The terminal client: what it shows, and that it gets through lost connections."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from server.client import Client, Stopped
from server.play import Game, board, describe, report
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


START = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"


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
        ({"t": "welcome", "sid": "s.1", "state": "active"}, "session s.1 is active"),
        ({"t": "res", "c": 1, "ok": True}, None),
        ({"t": "res", "c": 1, "ok": False, "err": {"code": "guard", "msg": "not you"}}, "refused: guard not you"),
        (
            {"t": "ev", "seq": 3, "kind": "agent.message", "data": {"agent": "white", "ply": 1, "uci": "e2e4"}},
            "1. e2e4",
        ),
        (
            {"t": "ev", "seq": 3, "kind": "input.request", "data": {"agent": "white", "prompt": "your move"}},
            "your move",
        ),
        ({"t": "ping", "head": 3}, None),
    ],
)
def test_frames_are_told_in_words(frame: dict[str, Any], text: str | None) -> None:
    """What is news to a player, and nothing else."""
    told = describe(frame)
    assert told == text if text is None else text in (told or "")


def test_the_report_is_one_line() -> None:
    """The proof that everything is gone."""
    leaky = {"released": 3, "forced": 0, "leaked": 1, "ok": False, "items": []}
    assert report(leaky) == "the session has ended; clean-up: 3 released, 1 leaked"
    assert report(None) == "the session has ended; clean-up: nothing was held"


async def test_a_game_is_followed_to_its_end_over_a_lost_connection(wire: Wire) -> None:
    """The client dials again by itself: every event once, in order, and its command counts once."""
    shown = Shown()
    async with aiohttp.ClientSession() as http, asyncio.timeout(ANSWER_S):
        game = Game(Client(http, wire.url, {"team": "wire"}, KEY), shown, is_plain=True, show_states=True)
        following = asyncio.create_task(game.follow())
        await game.typed("one")
        await shown.wait_for("one")
        for connection in list(wire.parts.pool.connections):
            connection._transport.abort()
        await game.typed("two")
        await shown.wait_for("two")
        await game.typed("/end")
        await following
    told = [line for line in shown.lines if "agent.message" in line]
    assert [line.split()[-1] for line in told] == ["one", "two"]
    assert any("dialling again" in line for line in shown.lines)
    assert shown.lines[-1].startswith("the session has ended")
    assert any("-> terminated" in line for line in shown.lines)


async def test_a_server_that_says_stop_is_not_dialled_again(wire: Wire) -> None:
    """4300: a bug or a wrong key does not get better by repeating it."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(ANSWER_S):
        game = Game(Client(http, wire.url, {"team": "wire"}, "wrong"), print, is_plain=True, show_states=False)
        with pytest.raises(Stopped) as stopped:
            await game.follow()
    assert stopped.value.code == 4300
