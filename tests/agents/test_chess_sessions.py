"""Matches as sessions: lifecycle.yaml, the engine, AutoGen and the chess team together, in virtual time."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import chess
import chess.pgn
import pytest
from patience import until_it

from engine.session import Session
from engine.testing.dying import DyingJournal, live_until_dead
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time, run_virtual
from examples.chess import TEAM
from server.config import HANDLER_MODULES

COMPILED = machines(Path(__file__).parents[2] / "lifecycle.yaml", *HANDLER_MODULES)


def rig(journal: Any = None, **services: Any) -> Rig:
    return Rig(COMPILED, journal=journal, services={"teams": {"chess": TEAM}, **services})


async def moves(r: Rig, session: Session) -> list[dict[str, Any]]:
    return [one["data"] for one in await r.updates(session, "agent.message") if "uci" in one["data"]]


async def game(r: Rig, session: Session) -> list[str]:
    return [one["uci"] for one in await moves(r, session)]


async def until_played(r: Rig, session: Session, count: int) -> None:
    async def is_so() -> bool:
        return len(await game(r, session)) >= count

    await until_it(is_so)


def chess_data(**options: Any) -> dict[str, Any]:
    return {"team": "chess", "options": options}


@in_virtual_time
async def test_a_match_is_legal_and_its_record_true() -> None:
    """python-chess replays it from nothing."""
    async with rig() as r:
        session = await r.create(data=chess_data(plies=40, seed=3))
        board = chess.Board()
        for ply, move in enumerate(await moves(r, session), start=1):
            board.push_uci(move["uci"])
            assert (move["ply"], move["fen"], move["agent"]) == (ply, board.fen(), ("black", "white")[ply % 2])
        last = (await r.updates(session, "agent.message"))[-1]["data"]
        assert (board.ply(), last["result"], last["plies"]) == (40, "*", 40)
        record = chess.pgn.read_game(io.StringIO(last["pgn"]))
        assert record is not None
        assert record.end().board().fen() == board.fen()
        assert session.state == "active"


@in_virtual_time
async def test_the_same_options_give_the_same_game() -> None:
    async with rig() as r:
        same = [await r.create(data=chess_data(plies=20, seed=5)) for _ in range(2)]
        other = await r.create(data=chess_data(plies=20, seed=6))
        games = [await game(r, one) for one in (*same, other)]
        assert games[0] == games[1] != games[2]


@in_virtual_time
async def test_games_side_by_side_are_the_games_played_alone() -> None:
    """C7: nothing of one session reaches another."""
    async with rig() as r:
        alone = {seed: await game(r, await r.create(data=chess_data(plies=10, seed=seed))) for seed in range(8)}
        together = [await r.manager.create(data=chess_data(plies=10, seed=seed)) for seed in range(8)]
        for one in together:
            one.attach("control")
        await r.settle()
        assert [await game(r, one) for one in together] == list(alone.values())


@in_virtual_time
async def test_a_person_plays_a_side() -> None:
    """The request is an update, the answer any `say`; in between the turn is over."""
    async with rig() as r:
        session = await r.create(data=chess_data(white="human", plies=4))
        (request,) = await r.updates(session, "input.request")
        assert (request["data"]["agent"], request["data"]["prompt"]) == ("arbiter", "Your move, white.")
        assert {one.path: one.state for one in session.tree()}["/main/arbiter"] == "awaiting_input"
        assert (await r.send(session, "say", {"text": "e2e4"})).ok
        played = await moves(r, session)
        assert [(one["agent"], one["by"]) for one in played] == [("white", "person"), ("black", "engine")]
        assert len(await r.updates(session, "input.request")) == 2


@in_virtual_time
async def test_an_illegal_move_changes_nothing_and_is_asked_again() -> None:
    async with rig() as r:
        session = await r.create(data=chess_data(white="human"))
        await r.send(session, "say", {"text": "e2e5"})
        assert await game(r, session) == []
        assert "no legal move" in (await r.updates(session, "agent.message"))[-1]["data"]["text"]
        assert [one["data"]["request"] for one in await r.updates(session, "input.request")] == [
            "arbiter-1",
            "arbiter-2",
        ]
        await r.send(session, "say", {"text": "e2e4"})
        assert (await game(r, session))[0] == "e2e4"


@in_virtual_time
async def test_a_client_may_answer_the_agent_itself() -> None:
    """By the request's id; an answer to an older one is refused."""
    async with rig() as r:
        session = await r.create(data=chess_data(white="human"))
        late = await r.send(session, "answer", {"request": "arbiter-0", "text": "e2e4"}, to="/main/arbiter")
        assert (late.status, late.code) == ("refused", "guard")
        done = await r.send(session, "answer", {"request": "arbiter-1", "text": "e2e4"}, to="/main/arbiter")
        assert done.ok
        assert len(await game(r, session)) == 2
        assert {one.path: one.state for one in session.tree()}["/main"] == "ready"


@in_virtual_time
async def test_what_a_person_says_while_agents_work_waits_its_turn() -> None:
    """`defer`: it is kept, not lost and not in between."""
    async with rig() as r:
        session = await r.manager.create(data=chess_data(plies=30))
        session.attach("control")
        await until_played(r, session, 3)
        outcome = await r.send(session, "say", {"text": "hello"})
        assert outcome.ok
        texts = [one["data"]["text"] for one in await r.updates(session, "agent.message")]
        assert texts[-1].startswith("The match is over")
        assert len(await game(r, session)) == 30


@in_virtual_time
async def test_interrupt_ends_the_turn_and_the_match_can_go_on() -> None:
    """What was called off has no effect; the next word takes the match up where it stands."""
    async with rig() as r:
        undisturbed = await game(r, await r.create(data=chess_data(plies=30)))
        session = await r.manager.create(data=chess_data(plies=30))
        session.attach("control")
        await until_played(r, session, 5)
        await r.send(session, "interrupt", {})
        played = await game(r, session)
        assert 5 <= len(played) < 30
        assert {one.path: one.state for one in session.tree()}["/main"] == "ready"
        await r.send(session, "say", {"text": "go on"})
        assert await game(r, session) == undisturbed


@in_virtual_time
async def test_a_session_that_waits_for_a_person_outlives_its_window() -> None:
    """R1: waiting for a human is a state, not a fault."""
    async with rig() as r:
        session = await r.create(data=chess_data(white="human"))
        r.attachment.detach()
        await r.advance(3600)
        assert session.state == "reconnecting"
        idle = await r.create(data=chess_data(plies=2))
        r.attachment.detach()
        await r.advance(31)
        assert idle.state == "terminated"


@in_virtual_time
async def test_a_question_expires() -> None:
    """Every wait is bounded (M7)."""
    async with rig() as r:
        session = await r.create(data=chess_data(white="human"))
        await r.advance(8 * 3600 + 1)
        assert (await r.updates(session, "input.response"))[-1]["data"]["how"] == "expired"
        await r.send(session, "say", {"text": "e2e4"})
        assert (await game(r, session))[0] == "e2e4"


@in_virtual_time
async def test_the_report_names_every_agent_and_the_runtime(tmp_path: Path) -> None:
    """C1: released, each of them, by a look; the workspace is gone too."""
    async with rig(workspace_root=tmp_path) as r:
        session = await r.create(data=chess_data(plies=4))
        assert (tmp_path / session.sid).is_dir()
        await r.send(session, "terminate")
        await r.advance(1)
        assert session.state == "terminated"
        assert list(tmp_path.iterdir()) == []
        (main,) = (item for item in session.report["items"] if item["kind"] == "children")  # type: ignore[index]
        kinds = {(item["kind"], item["name"], item["verdict"]) for item in main["report"]["items"]}
        assert kinds >= {("runtime", "chess", "released"), ("gate", "gate", "released")}
        names = [item["name"] for item in main["report"]["items"] if item["kind"] == "children"]
        assert names == ["/main/arbiter", "/main/white", "/main/black", "/main/scribe"]


@pytest.mark.parametrize(
    "data",
    [
        {"team": "go"},
        {"team": "chess", "options": {"depth": 99}},
        {"teams": {"Bad Name": {"team": "chess"}}},
    ],
)
def test_a_session_that_cannot_be_is_not(data: dict[str, Any]) -> None:
    """C5: unknown teams and bad options end in `terminated`, with nothing left and the counters exact."""

    @in_virtual_time
    async def run() -> None:
        async with rig() as r:
            session = await r.create(data=data)
            await r.advance(1)
            assert (session.state, r.manager.live) == ("terminated", 0)

    run()


@in_virtual_time
async def test_several_teams_in_one_session() -> None:
    """Two runtimes of one session never cross; a word goes to the team that is named."""
    async with rig() as r:
        teams = {
            "left": {"team": "chess", "options": {"plies": 6, "seed": 1}},
            "right": {"team": "chess", "options": {"white": "human", "plies": 6}},
        }
        session = await r.create(data={"teams": teams})
        alone = await game(r, await r.create(data=chess_data(plies=6, seed=1)))
        assert await game(r, session) == alone
        await r.send(session, "say", {"text": "e2e4", "agent": "right"})
        assert (await game(r, session))[6] == "e2e4"
        states = {one.path: one.state for one in session.tree()}
        assert (states["/left"], states["/right/arbiter"]) == ("ready", "awaiting_input")
        refused = await r.send(session, "say", {"text": "e2e4", "agent": "middle"})
        assert (refused.status, refused.code) == ("failed", "unknown_actor")


async def first_life(journal: DyingJournal, data: dict[str, Any]) -> None:
    async def play(r: Rig) -> None:
        session = await r.manager.create(data=data)
        session.attach("control")
        await r.settle()

    await live_until_dead(journal, rig(journal), play)


async def second_life(journal: DyingJournal) -> list[str] | None:
    journal.left = -1
    async with rig(journal) as r:
        sessions = r.manager.sessions()
        if not sessions:
            return None
        sessions[0].attach("control")
        await r.settle()
        await r.advance(1)
        found = await game(r, sessions[0])
        await r.send(sessions[0], "terminate")
        await r.advance(5)
        assert sessions[0].state == "terminated"
        return found


def test_a_match_cut_anywhere_goes_on_as_if_it_was_not() -> None:
    """A crash after any record: the same moves, none lost, none twice (M5, M8)."""
    data = chess_data(plies=6, seed=11)
    whole = DyingJournal(100_000)
    run_virtual(first_life(whole, data))
    total = 100_000 - whole.left
    undisturbed = run_virtual(second_life(whole))
    assert undisturbed is not None
    assert len(undisturbed) == 6
    came_back = 0
    for position in range(1, total, 4):
        journal = DyingJournal(position)
        run_virtual(first_life(journal, data))
        found = run_virtual(second_life(journal))
        if found:
            came_back += 1
            assert found == undisturbed, f"cut after record {position}"
    assert came_back > total // 8, "only a cut creation, which ends on `restored`, may come to nothing"
