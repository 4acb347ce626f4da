"""Whole games over a real WebSocket by a plain client, judged by python-chess."""

from __future__ import annotations

import asyncio
from typing import Any

import chess
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

GAMES = 50
KEPT = ("agent", "ply", "uci", "san", "fen", "result", "reason", "pgn")


def judged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a game is compared by; every move in it is legal, and every position the one that follows."""
    board = chess.Board()
    for data in messages:
        if "uci" in data:
            move = chess.Move.from_uci(data["uci"])
            assert move in board.legal_moves
            board.push(move)
            assert data["fen"] == board.fen()
            assert data["ply"] == board.ply()
    return [{name: data[name] for name in KEPT if name in data} for data in messages]


async def played(shipped: Any, **options: Any) -> list[dict[str, Any]]:
    game = await shipped.create(**options)
    messages = judged(await game.moves())
    ended = await game.end()
    assert ended["code"] == "closed"
    assert ended["report"]["ok"], ended["report"]
    return messages


async def test_a_whole_game_is_legal_and_the_same_twice(shipped: Any) -> None:
    """The same options give the same game, move by move, and its result and score at the end."""
    first = await played(shipped, seed=7, plies=60)
    assert sum("uci" in data for data in first) == 60 or first[-1]["result"] != "*"
    assert "1." in first[-1]["pgn"]
    assert await played(shipped, seed=7, plies=60) == first
    assert await played(shipped, seed=8, plies=60) != first


async def test_fifty_games_at_once_are_each_as_when_played_alone(shipped: Any) -> None:
    """C7: what agents do in one session is neither seen nor felt in another."""
    alone = [await played(shipped, seed=seed, plies=8) for seed in range(GAMES)]
    together = await asyncio.gather(*(played(shipped, seed=seed, plies=8) for seed in range(GAMES)))
    assert together == alone


async def test_a_person_plays_a_side(shipped: Any) -> None:
    """A question, a move that is not legal, the question again, a move that is, and the answer."""
    game = await shipped.create(white="human", plies=4)
    request = await game.event("input.request")
    assert request["data"]["agent"] == "arbiter"
    await game.say("e2e5")
    told = (await game.event("agent.message"))["data"]
    assert "uci" not in told
    assert "e2e5" in told["text"]
    await game.event("input.request")
    await game.say("e2e4")
    own, answer = (await game.event("agent.message"))["data"], (await game.event("agent.message"))["data"]
    assert (own["uci"], own["ply"], answer["ply"]) == ("e2e4", 1, 2)
    ended = await game.end()
    assert ended["report"]["ok"]
