"""Hostile agents inside sessions: the file's own time-outs end them, the report names them, nothing is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from autogen_core import RoutedAgent, SingleThreadedAgentRuntime
from hostile import TEAM as HOSTILE
from hostile import TORN_DOWN

from engine.codec import decode
from engine.journal.memory import MemoryJournal
from engine.session import Session
from engine.sessions import SessionManager
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time
from examples.chess import TEAM as CHESS
from server.config import HANDLER_MODULES

COMPILED = machines(Path(__file__).parents[2] / "lifecycle.yaml", *HANDLER_MODULES)
SERVICES = {"teams": {"hostile": HOSTILE, "chess": CHESS}}
FORCED = {"swallows_cancellation", "swallows_everything"}


@pytest.fixture(autouse=True)
def _nobody_keeps_the_dead(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """pytest keeps what is logged, tracebacks and frames included, and coroutines that ignore their finaliser."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def rig(journal: Any = None) -> Rig:
    return Rig(COMPILED, journal=journal, services=SERVICES)


def ways(*names: str) -> dict[str, Any]:
    return {"team": "hostile", "options": {"ways": names}}


def alive() -> list[str]:
    """Runtimes and agents that exist, by the garbage collector's word."""
    gc.collect()
    gc.collect()
    objects = gc.get_objects()
    kinds = {kind for kind in set(map(type, objects)) if issubclass(kind, (SingleThreadedAgentRuntime, RoutedAgent))}
    return [type(one).__name__ for one in objects if type(one) in kinds]


def forced_agents(report: Any) -> Iterator[str]:
    for item in report["items"]:
        if item["kind"] == "agent" and item["verdict"] == "forced":
            yield item["name"]
        yield from forced_agents(item.get("report") or {"items": []})


@pytest.mark.parametrize("way", TORN_DOWN)
def test_a_session_with_a_hostile_agent_ends_and_leaves_nothing(way: str) -> None:
    """C1 to C4: within seconds, the guilty named, every runtime and agent gone."""

    @in_virtual_time
    async def run() -> None:
        before = len(alive())
        async with rig() as r:
            session = await r.create(data=ways(way, "healthy", "healthy"))
            assert len(alive()) == before + 4
            await r.send(session, "terminate")
            await r.advance(5)
            assert session.state == "terminated"
            report = session.report
            assert report is not None
            assert report["leaked"] == 0
            assert list(forced_agents(report)) == (["a0"] if way in FORCED else [])
            assert len(alive()) == before

    run()


@pytest.mark.parametrize("way", ["spins", "blocks_in_sleep"])
async def test_an_agent_that_blocks_the_loop_is_interrupted(way: str) -> None:
    """The watchdog's signal ends it where it stands; in real time, for a signal has no other."""
    manager = SessionManager(COMPILED, MemoryJournal(), services=SERVICES)
    await manager.start()
    try:
        session = await manager.create(data=ways(way, "healthy"))
        session.attach("control")
        news = asyncio.Event()
        session.log.watch(news.set)
        async with asyncio.timeout(10):
            while not any("error" in one for one in await messages(session)):
                news.clear()
                await news.wait()
        await manager.send(session.sid, name="terminate")
        await asyncio.wait_for(asyncio.shield(session.ended), 10)
        assert session.state == "terminated"
    finally:
        await manager.shutdown(10)


async def messages(session: Session) -> list[dict[str, Any]]:
    rows = [decode(text) for _, text in await session.log.read(0, 1000)]
    return [row["data"] for row in rows if row["kind"] == "agent.message"]


@pytest.mark.parametrize("way", ["sleeps", "swallows_everything"])
def test_a_hanging_agent_costs_its_own_time_out_and_works_again(way: str) -> None:
    """C4: after the file's five minutes the message has failed, and a person is heard."""

    @in_virtual_time
    async def run() -> None:
        async with rig() as r:
            session = await r.create(data=ways(way, "healthy"))
            await r.advance(299)
            assert state(session, "/main/a0") == "busy"
            await r.advance(5)
            assert (state(session, "/main"), state(session, "/main/a0")) == ("ready", "ready")
            assert (await messages(session))[-1]["error"]["code"] == "timeout"
            await r.send(session, "say", {"text": "hello", "agent": "a0"})
            assert (await messages(session))[-1]["text"] == "heard hello"
            await r.send(session, "terminate")
            await r.advance(5)
            assert session.state == "terminated"

    run()


def state(session: Session, path: str) -> str:
    return {view.path: view.state for view in session.tree()}[path]


@in_virtual_time
async def test_interrupting_an_agent_that_swallows_it_frees_the_turn_at_once() -> None:
    """What was interrupted dies on its own time."""
    async with rig() as r:
        session = await r.create(data=ways("swallows_everything", "healthy"))
        await r.send(session, "interrupt", {"agent": "a0"})
        await r.advance(3)
        assert (state(session, "/main"), state(session, "/main/a0")) == ("ready", "ready")
        await r.send(session, "say", {"text": "hello", "agent": "a0"})
        assert (await messages(session))[-1]["text"] == "heard hello"


@in_virtual_time
async def test_an_ill_runtime_is_built_anew_and_the_match_goes_on() -> None:
    """R2: the soft way first; agents keep what they knew."""
    async with rig() as r:
        session = await r.create(data={"team": "chess", "options": {"white": "human", "plies": 6}})
        await r.send(session, "say", {"text": "e2e4"})
        (old,) = session.actors["/main"].holdings.held("runtime")
        old.handle.close_gate()
        await r.advance(60)
        (new,) = session.actors["/main"].holdings.held("runtime")
        assert new is not old
        assert old.handle.is_gone
        assert (session.state, state(session, "/main"), state(session, "/main/arbiter")) == (
            "active",
            "ready",
            "awaiting_input",
        )
        await r.send(session, "say", {"text": "d2d4"})
        played = [one["uci"] for one in await messages(session) if "uci" in one]
        assert (played[0], played[2], len(played)) == ("e2e4", "d2d4", 4)


@in_virtual_time
async def test_a_runtime_that_is_ill_again_and_again_ends_its_team_then_the_session() -> None:
    """R2: every rung has a budget; nothing repairs for ever."""
    async with rig() as r:
        session = await r.create(data=ways("healthy"))
        for _ in range(40):
            if session.is_ended:
                break
            for resource in session.actors["/main"].holdings.held("runtime") if "/main" in session.actors else ():
                resource.handle.close_gate()
            await r.advance(40)
        assert session.state == "terminated"
        assert r.manager.live == 0


@in_virtual_time
async def test_an_open_question_survives_a_restart() -> None:
    """The person is still asked by the next process, and the answer counts."""
    journal = MemoryJournal()
    data = {"team": "chess", "options": {"white": "human", "plies": 4}}
    async with rig(journal) as first:
        sid = (await first.create(data=data)).sid
    async with rig(journal) as second:
        (session,) = second.manager.sessions()
        assert session.sid == sid
        session.attach("control")
        await second.settle()
        assert state(session, "/main/arbiter") == "awaiting_input"
        await second.send(session, "answer", {"request": "arbiter-1", "text": "e2e4"}, to="/main/arbiter")
        assert next(one["uci"] for one in await messages(session) if "uci" in one) == "e2e4"


@in_virtual_time
async def test_a_hundred_sessions_a_quarter_hostile() -> None:
    """C3 for a crowd: created = final, no runtime, agent or task stays."""
    before = len(alive())
    async with rig() as r:
        kinds = [TORN_DOWN[n // 4 % len(TORN_DOWN)] if n % 4 == 0 else "healthy" for n in range(100)]
        sessions = [await r.manager.create(data=ways(kind, "healthy", "healthy")) for kind in kinds]
        await r.settle()
        for session in sessions:
            await r.manager.send(session.sid, name="terminate")
        await r.advance(10)
        assert {session.state for session in sessions} == {"terminated"}
        assert (r.manager.live, r.manager.created, r.manager.finished) == (0, 100, 100)
        assert len(alive()) == before
