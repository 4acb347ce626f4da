"""The shipped file's sessions while they wait for a person for hours: out of memory, and there when something comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.session import Session
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time
from examples.chess import TEAM
from server.config import HANDLER_MODULES

COMPILED = machines(Path(__file__).parents[2] / "lifecycle.yaml", *HANDLER_MODULES)
HUMAN = {"team": "chess", "options": {"white": "human", "plies": 6}}
HOUR = 3600.0


def rig() -> Rig:
    return Rig(COMPILED, services={"teams": {"chess": TEAM}}, idle_memory_s=300.0)


async def waiting(r: Rig) -> Session:
    """A match that waits for a person who has gone away."""
    session = await r.create(data=HUMAN)
    r.attachment.detach()
    await r.advance(900)
    (sleeper,) = r.manager.asleep()
    assert (sleeper.sid, sleeper.state, r.manager.sessions()) == (session.sid, "reconnecting", [])
    return session


def texts(updates: list[dict[str, Any]]) -> list[str]:
    return [one["data"]["uci"] for one in updates if "uci" in one["data"]]


@in_virtual_time
async def test_a_match_goes_on_though_its_session_left_memory() -> None:
    """L3, M5: the person comes back, moves, and the agents answer on a runtime of their own again."""
    async with rig() as r:
        sid = (await waiting(r)).sid
        session = await r.manager.find(sid)
        assert session is not None
        session.attach("control")
        await r.settle()
        assert session.state == "active"
        assert (await r.send(session, "say", {"text": "e2e4"})).ok
        played = texts(await r.updates(session, "agent.message"))
        assert (len(played), played[0]) == (2, "e2e4")
        assert "recovering" in await r.states(session)


@in_virtual_time
async def test_a_request_expires_and_the_session_ends_in_its_sleep() -> None:
    """M7: after 8 h the request, after 12 h the session; neither starts a runtime, and nothing is left of it."""
    async with rig() as r:
        session = await waiting(r)
        began = r.manager.clock.now()
        await r.advance(8 * HOUR)
        assert r.manager.sessions() == []
        row = await r.journal.session(session.sid)
        assert row is not None
        updates = [text for _, text in await r.journal.updates(session.sid, 0, 1000)]
        assert sum(b'"how":"expired"' in text for text in updates) == 1
        await r.advance(4 * HOUR)
        ended = await r.manager.find(session.sid)
        assert ended is not None
        assert (ended.state, r.manager.live) == ("terminated", 0)
        last = (await r.updates(ended))[-1]
        assert (last["data"]["code"], last["data"]["report"]["leaked"]) == ("window", 0)
        assert abs(last["ts"] - (began - 900 + 12 * HOUR)) < 5
        assert "recovering" not in await r.states(ended)
