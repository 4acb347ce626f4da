"""Breaking agents on purpose: the shipped file's own time-outs, force, limits and clean-up end each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.session import Session
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time, run_virtual
from examples.chess import TEAM
from handlers.breaking import STUCK_S
from server.config import HANDLER_MODULES

COMPILED = machines(Path(__file__).parents[2] / "lifecycle.yaml", *HANDLER_MODULES)
CREATE = {"team": "chess", "options": {"plies": 40, "pause_ms": 1000}}


def rig(tmp_path: Path, *, allowed: bool = True) -> Rig:
    return Rig(COMPILED, services={"teams": {"chess": TEAM}, "workspace_root": tmp_path, "allow_breaking": allowed})


async def broken(r: Rig, session: Session, how: str, wait_s: float) -> list[str]:
    """Break white and wait; the steps that clients were told of."""
    outcome = await r.send(session, "break_it", {"how": how, "agent": "white"})
    assert outcome.ok, outcome
    await r.advance(wait_s)
    return [one["data"]["step"] for one in await r.updates(session, "agent.broken")]


async def events_of(r: Rig, session: Session, kind: str, actor: str) -> list[tuple[str, str, str]]:
    """(from, to, event) of one actor."""
    found = [one["data"] for one in await r.updates(session, kind)]
    return [(one["from"], one["to"], one["event"]) for one in found if one["actor"] == actor]


@pytest.mark.parametrize(
    "how, steps, code",
    [
        ("hang", ["begun", "noticed"], "timeout"),
        ("swallow", ["begun", "defied", "forced", "noticed"], "timeout"),
        ("raise", ["begun", "noticed"], "raised"),
    ],
)
def test_a_broken_agent_is_noticed_and_comes_back(tmp_path: Path, how: str, steps: list[str], code: str) -> None:
    """By the time-out, the force after the grace, and `failed` of the file; the game goes on after it."""

    async def play() -> None:
        async with rig(tmp_path) as r:
            session = await r.create(data=CREATE)
            assert await broken(r, session, how, 15.0) == steps
            noticed = (await r.updates(session, "agent.broken"))[-1]["data"]
            assert (noticed["handler"], noticed["code"]) == ("misbehave", code)
            moved = await events_of(r, session, "agent.state", "/main/white")
            assert ("ill", "ready", "failed") in moved
            moves = len(await r.updates(session, "agent.message"))
            await r.advance(10.0)
            assert len(await r.updates(session, "agent.message")) > moves

    run_virtual(play())


@pytest.mark.parametrize("how", ["hang", "swallow"])
def test_an_interrupt_ends_it_at_once(tmp_path: Path, how: str) -> None:
    """Nobody waits for a time-out who does not want to; what it ignores is ended by force."""

    async def play() -> None:
        async with rig(tmp_path) as r:
            session = await r.create(data=CREATE)
            await broken(r, session, how, 2.0)
            assert (await r.send(session, "interrupt")).ok
            await r.advance(2.0)
            assert ("ill", "ready", "interrupt") in await events_of(r, session, "agent.state", "/main/white")

    run_virtual(play())


@pytest.mark.parametrize("how", ["hang", "swallow", "leak", "limit"])
def test_a_session_ends_clean_while_it_is_broken(tmp_path: Path, how: str) -> None:
    """Whatever its code does at that moment, nothing of it is left."""

    async def play() -> None:
        async with rig(tmp_path) as r:
            session = await r.create(data=CREATE)
            await broken(r, session, how, 2.0)
            assert (await r.send(session, "terminate")).ok
            await r.advance(30.0)
            assert session.is_ended
            assert session.report is not None
            assert session.report["leaked"] == 0

    run_virtual(play())


@in_virtual_time
async def test_what_was_left_open_is_let_go_and_named(tmp_path: Path) -> None:
    """C2: the file and the task that nobody closed are in the report, and were really open until then."""
    async with rig(tmp_path) as r:
        session = await r.create(data=CREATE)
        assert await broken(r, session, "leak", 2.0) == ["begun", "held"]
        holdings = session.actors["/main/white"].holdings
        (file,) = holdings.held("files")
        (task,) = (one for one in holdings.held("tasks") if one.name == "left running by white")
        assert not file.handle.closed
        assert not task.handle.done()
        await r.send(session, "terminate")
        await r.advance(10.0)
        assert file.handle.closed
        assert task.handle.done()
        text = str(session.report)
        assert "left-open-by-white" in text
        assert "left running by white" in text


@in_virtual_time
async def test_too_many_tasks_cost_the_team_and_not_the_session(tmp_path: Path) -> None:
    """limit_exceeded stops the agent, the team is let go with a report of each, and built again."""
    async with rig(tmp_path) as r:
        session = await r.create(data=CREATE)
        await broken(r, session, "limit", 5.0)
        assert ("ill", "stopping", "limit_exceeded") in await events_of(r, session, "agent.state", "/main/white")
        assert await r.states(session) == ["active", "recovering", "active"]
        reports = [one["data"] for one in await r.updates(session, "cleanup.report")]
        assert [one["actor"] for one in reports] == ["/main/white", "/main"]
        assert all(one["report"]["leaked"] == 0 for one in reports)
        assert sum(item["kind"] == "tasks" for item in reports[0]["report"]["items"]) > 15


@in_virtual_time
async def test_it_is_refused_unless_the_server_allows_it(tmp_path: Path) -> None:
    """By the guard in the file, before any agent hears of it."""
    async with rig(tmp_path, allowed=False) as r:
        session = await r.create(data=CREATE)
        outcome = await r.send(session, "break_it", {"how": "hang", "agent": "white"})
        assert (outcome.status, outcome.code) == ("refused", "guard")
        assert "breaking_allowed" in outcome.message
        assert await r.updates(session, "agent.broken") == []


@in_virtual_time
async def test_what_cannot_be_broken_is_said(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        session = await r.create(data=CREATE)
        for payload in ({"how": "melt", "agent": "white"}, {"how": "hang", "agent": "nobody"}):
            outcome = await r.send(session, "break_it", payload)
            assert not outcome.ok, payload
        assert await r.updates(session, "agent.broken") == []


@in_virtual_time
async def test_what_cannot_be_closed_waits_for_a_person(tmp_path: Path) -> None:
    """C1, C2: the report has a cross, nothing pretends to be clean, and trying again later ends it."""
    async with rig(tmp_path) as r:
        session = await r.create(data=CREATE)
        assert await broken(r, session, "stick", 2.0) == ["begun", "held"]
        (stuck,) = session.actors["/main/white"].holdings.held("files")
        await r.send(session, "terminate")
        await r.advance(1.0)
        assert session.state == "error"
        (told,) = await r.updates(session, "cleanup.report")
        assert (told["data"]["actor"], told["data"]["report"]["leaked"]) == ("/", 1)
        assert str(tmp_path) not in str(told["data"]), "where it lies on the server is no client's business"
        assert not stuck.handle.closed
        assert (await r.send(session, "retry_cleanup")).status == "refused", "it is no client's to decide"
        await r.send(session, "retry_cleanup", origin="admin")
        await r.advance(1.0)
        assert session.state == "error", "too early"
        await r.advance(STUCK_S)
        await r.send(session, "retry_cleanup", origin="admin")
        await r.advance(1.0)
        assert session.is_ended
        assert stuck.handle.closed
        assert session.report is not None
        assert [(item["name"], item["verdict"]) for item in session.report["items"]] == [
            ("stuck-open-by-white", "released")
        ]
