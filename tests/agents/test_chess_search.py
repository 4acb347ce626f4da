"""The engine's search and the arbiter's judgement, without sessions."""

from __future__ import annotations

import asyncio
from typing import Any

import chess
import pytest

from examples.chess import TEAM
from examples.chess.messages import Begin, Finished, Options, Played, Proposal
from examples.chess.search import RINGS, best_move, evaluate, search
from handlers.team import PersonSaid

MATE_IN_ONE = "6k1/5ppp/8/8/8/8/8/R6K w - - 0 1"
SCHOLARS = ["e2e4", "e7e5", "f1c4", "b8c6", "d1h5", "g8f6"]


def plain_minimax(board: chess.Board, depth: int) -> int:
    """The same value by trying everything."""
    if not any(board.legal_moves) or depth == 0 or board.is_insufficient_material():
        return search(board, 0, -(10**9), 10**9) if any(board.legal_moves) else search(board, depth, -(10**9), 10**9)
    values = []
    for move in board.legal_moves:
        board.push(move)
        values.append(-plain_minimax(board, depth - 1))
        board.pop()
    return max(values)


@pytest.mark.parametrize("fen", [chess.STARTING_FEN, MATE_IN_ONE, "8/P1k5/8/8/8/8/8/K7 w - - 0 1"])
def test_cutting_off_does_not_change_the_value(fen: str) -> None:
    """Alpha-beta must find what trying everything finds."""
    board = chess.Board(fen)
    assert search(board, 2, -(10**9), 10**9) == plain_minimax(board, 2)
    assert board.fen() == chess.Board(fen).fen()


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_it_sees_a_mate_in_one(depth: int) -> None:
    """An engine that really searches does."""
    board = chess.Board(MATE_IN_ONE)
    assert (await best_move(board, depth, seed=1, ply=0)).uci() == "a1a8"


async def test_equals_are_drawn_by_lot_from_seed_and_ply_alone() -> None:
    """A game that stops and goes on must choose as one that did not."""
    moves = [await best_move(chess.Board(), 1, seed, 0) for seed in (7, 7, 8, 9, 10)]
    assert moves[0] == moves[1]
    assert len(set(moves)) > 1


def test_the_rings_lie_inside_each_other() -> None:
    """A square's taste is the number of rings it lies in: 3 in the middle, 0 at the edge."""
    steps = [
        sum(bool(ring & chess.BB_SQUARES[square]) for ring in RINGS)
        for square in (chess.A1, chess.B2, chess.C3, chess.D4)
    ]
    assert steps == [0, 1, 2, 3]


def test_an_advantage_shows_from_both_sides() -> None:
    board = chess.Board("4k3/8/8/8/8/8/8/Q3K3 w - - 0 1")
    assert evaluate(board) > 800
    board.push(chess.Move.null())
    assert evaluate(board) < -800


async def test_the_search_gives_up_the_loop() -> None:
    """Fifty games share it."""
    turns = 0

    async def neighbour() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(neighbour())
    await best_move(chess.Board(), 2, 7, 0)
    other.cancel()
    assert turns >= 20


class Table:
    """The team on a backend, its messages carried by hand."""

    def __init__(self, stage: Any, backend: Any) -> None:
        self.stage, self.backend = stage, backend
        self.emits: list[dict[str, Any]] = []

    async def tell(self, agent: str, message: Any) -> Any:
        reply = await self.stage.send(self.backend, agent, message)
        self.emits += [data for _, data in reply.emits]
        return reply

    async def say(self, *texts: str) -> Any:
        reply = None
        for text in texts:
            reply = await self.tell("arbiter", PersonSaid(text=text))
        return reply


@pytest.fixture
async def table(stage: Any) -> Table:
    found = Table(stage, await stage.start(TEAM, white="human", black="human"))
    await found.tell("arbiter", Begin())
    return found


async def test_a_match_of_two_persons_ends_with_mate_and_a_record(table: Table) -> None:
    """The scribe's last word has result and PGN."""
    for uci in [*SCHOLARS, "h5f7"]:
        reply = await table.say(uci)
        for out in reply.sends:
            assert out.topic == "moves"
            await table.tell("scribe", TEAM.decode(out.message))
    moves = [one for one in table.emits if "uci" in one]
    assert [one["uci"] for one in moves] == [*SCHOLARS, "h5f7"]
    assert [one["ply"] for one in moves] == list(range(1, 8))
    assert table.emits[-1]["result"] == "1-0"
    assert "4. Qxf7# 1-0" in table.emits[-1]["pgn"]


@pytest.mark.parametrize("text", ["e2e5", "0000", "Ke2", "", "e7e5", "x" * 5000])
async def test_an_illegal_move_is_explained_and_asked_again(table: Table, text: str) -> None:
    reply = await table.say(text)
    assert reply.outcome == "needs_input"
    assert reply.state["moves"] == []
    assert "no legal move" in reply.emits[-1][1]["text"]
    assert len(reply.emits[-1][1]["text"]) < 200


async def test_san_is_understood_too(table: Table) -> None:
    assert (await table.say("e4", "e5", "Nf3")).state["moves"] == ["e2e4", "e7e5", "g1f3"]


async def test_resigning_ends_it(table: Table) -> None:
    reply = await table.say("e2e4", "resign")
    assert TEAM.decode(reply.sends[-1].message) == Finished(result="1-0", reason="black resigned")
    assert (await table.say("e7e5")).state["result"] == "1-0, black resigned"


async def test_a_stale_proposal_is_not_played(stage: Any) -> None:
    """After an interrupt the engine may have been asked twice."""
    table = Table(stage, await stage.start(TEAM))
    await table.tell("arbiter", Begin())
    await table.tell("arbiter", Proposal(side="white", ply=1, uci="e2e4"))
    reply = await table.tell("arbiter", Proposal(side="white", ply=1, uci="d2d4"))
    assert reply.state["moves"] == ["e2e4"]


async def test_an_engine_cannot_break_the_rules(stage: Any) -> None:
    """python-chess is the judge of engines too."""
    table = Table(stage, await stage.start(TEAM))
    await table.tell("arbiter", Begin())
    with pytest.raises(ValueError, match="illegal"):
        await table.tell("arbiter", Proposal(side="white", ply=1, uci="e2e5"))


async def test_the_scribe_takes_each_move_once(stage: Any) -> None:
    table = Table(stage, await stage.start(TEAM))
    move = Played(ply=1, side="white", uci="e2e4", san="e4", fen=chess.STARTING_FEN)
    await table.tell("scribe", move)
    assert (await table.tell("scribe", move)).state == {"moves": ["e2e4"]}


def test_options_are_checked() -> None:
    """Bad options are refused with every problem named."""
    from engine.errors import Refused

    with pytest.raises(Refused, match=r"white.*depth"):
        TEAM.read_options({"white": "dog", "depth": 9})
    assert TEAM.read_options(None) == Options()
