"""docs/teams.md: its code is one module, and its agents do what the page says."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from desk import COMPILED

from engine.codec import decode
from engine.journal.memory import MemoryJournal
from engine.session import Session
from engine.sessions import SessionManager
from engine.testing.rig import Rig
from engine.testing.virtual import in_virtual_time
from examples.support.script import Dictation
from handlers.team import Role, Team
from server.config import DEFAULT_TEAMS, load
from server.loading import load_teams

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "teams.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page() -> Iterator[ModuleType]:
    module = ModuleType("the_page_on_teams")
    sys.modules[module.__name__] = module  # annotations of handlers are looked up there
    exec("\n\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)), vars(module))
    yield module
    del sys.modules[module.__name__]


def rig(team: Team) -> Rig:
    return Rig(COMPILED, services={"teams": {team.name: team}})


def test_the_adviser_streams_and_remembers(page: ModuleType) -> None:
    @in_virtual_time
    async def run() -> None:
        team = page.make_team(lambda: Dictation("Buy nothing.", 10))
        async with rig(team) as r:
            session = await r.create(data={"team": "bank"})
            notes: list[Any] = []
            session.log.watch_notes(lambda kind, said: notes.append((kind, said["at"], said["text"])))
            await r.send(session, "say", {"text": "hello"})
            await r.advance(5)
            assert notes == [("agent.chunk", 0, "Buy "), ("agent.chunk", 4, "nothing.")]
            (message,) = await r.updates(session, "agent.message")
            assert message["data"]["text"] == "Buy nothing."
            assert len(session.actors["/main/adviser"].data["state"]["talk"]) == 2

    run()


def test_the_cashier_asks_first(page: ModuleType) -> None:
    @in_virtual_time
    async def run() -> None:
        async with rig(page.make_team(Dictation)) as r:
            session = await r.create(data={"team": "bank"})
            await r.send(session, "say", {"text": "pay Ann"})
            (request,) = await r.updates(session, "input.request")
            assert (request["data"]["kind"], request["data"]["details"]) == ("approval", {"order": "pay Ann"})
            assert await r.updates(session, "agent.tool") == []
            await r.send(session, "say", {"text": "approve"})
            (tool,) = await r.updates(session, "agent.tool")
            assert tool["data"]["result"] == "paid"

    run()


async def test_the_calculator_uses_a_process(page: ModuleType) -> None:
    bank = page.make_team(Dictation)
    role = Role("calculator", page.Calculator)
    team = Team("sums", bank.options, (), lambda options: (role,), page.no_opening, lambda text, options: role.name)
    manager = SessionManager(COMPILED, MemoryJournal(), services={"teams": {"sums": team}})
    await manager.start()
    try:
        session = await manager.create(data={"team": "sums"})
        session.attach("control")
        await until(session, "session.state", b'"to":"active"')
        assert (await manager.send(session.sid, name="say", payload={"text": "go"})).ok
        found = await until(session, "agent.message", b"")
        assert decode(found)["data"]["text"] == "42"
    finally:
        await manager.shutdown(10)


async def until(session: Session, kind: str, part: bytes) -> bytes:
    """The first update of a kind that has part in it, once it is there."""
    news = asyncio.Event()
    session.log.watch(news.set)
    async with asyncio.timeout(10):
        while True:
            for _, text in await session.log.read(0, 100):
                if f'"kind":"{kind}"'.encode() in text and part in text:
                    return text
            await news.wait()
            news.clear()


def test_the_team_on_an_endpoint_is_one(page: ModuleType) -> None:
    assert page.TEAM.name == "bank"


def test_every_shipped_team_is_named_and_loads() -> None:
    """With a description and options that have defaults: a page offers them without being asked."""
    teams = load_teams(load())
    assert list(teams) == list(DEFAULT_TEAMS)
    for name, team in teams.items():
        assert f"| [`{name}`]" in PAGE
        assert team.name == name
        assert team.description
        team.read_options({})
