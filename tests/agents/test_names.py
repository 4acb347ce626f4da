"""The handlers know no state of lifecycle.yaml by name, and a name is a name to its last character."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.steps.family import CHILD_ID
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time
from examples.chess import TEAM
from handlers.team import Role
from server.config import HANDLER_MODULES

TEXT = (Path(__file__).parents[2] / "lifecycle.yaml").read_text()
WINDOW_S = 30
HUMAN = {"white": "human", "plies": 4}


def rig(text: str = TEXT) -> Rig:
    return Rig(machines(text, *HANDLER_MODULES), services={"teams": {"chess": TEAM}})


async def moves(r: Rig, session: Any) -> list[str]:
    return [one["data"]["uci"] for one in await r.updates(session, "agent.message") if "uci" in one["data"]]


@in_virtual_time
async def test_the_state_that_waits_for_a_person_may_have_any_name() -> None:
    """It still keeps the session beyond the window, and still gets what a person says, whichever team it is of."""
    async with rig(TEXT.replace("awaiting_input", "pondering")) as r:
        teams = {
            "left": {"team": "chess", "options": {"plies": 2}},
            "right": {"team": "chess", "options": HUMAN},
        }
        session = await r.create(data={"teams": teams})
        before = await moves(r, session)
        r.attachment.detach()
        await r.advance(WINDOW_S + 1)
        assert session.state == "reconnecting"
        assert "pondering" in {one.state for one in session.tree()}
        assert (await r.send(session, "say", {"text": "e2e4"})).ok
        assert (await moves(r, session))[len(before)] == "e2e4"


@pytest.mark.parametrize("states, is_repaired", [("[ready, working]", True), ("[working]", False)])
def test_the_file_says_where_a_runtime_has_to_move(states: str, is_repaired: bool) -> None:
    """A closed gate is an illness only where the file says so."""

    @in_virtual_time
    async def run() -> None:
        async with rig(TEXT.replace("{states: [ready, working]}", f"{{states: {states}}}")) as r:
            session = await r.create(data={"team": "chess", "options": HUMAN})
            main = session.actors["/main"]
            assert main.state == "ready"
            gate = next(one for one in main.holdings.all() if one.kind == "gate")
            gate.handle.close_gate()
            await r.advance(45)
            assert ("repairing" in await r.states(session, "orchestrator")) is is_repaired

    run()


@in_virtual_time
async def test_a_word_said_while_the_session_begins_is_heard() -> None:
    """Whoever is quick is not refused: it waits until somebody can hear it."""
    async with rig() as r:
        session = await r.manager.create(data={"team": "chess", "options": HUMAN})
        session.attach("control")
        assert session.state == "initializing"
        said = await r.send(session, "say", {"text": "e2e4"})
        assert (said.status, session.state) == ("deferred", "active")
        assert (await moves(r, session))[0] == "e2e4"


@pytest.mark.parametrize("name, topics", [("white\n", ()), ("white", ("moves\n",)), ("white ", ()), ("", ())])
def test_a_role_is_named_to_its_last_character(name: str, topics: tuple[str, ...]) -> None:
    """A line's end would pass a pattern that ends in $, and then part one name from another in every log."""
    with pytest.raises(ValueError, match="no valid name"):
        Role(name, lambda seat: None, topics)


@in_virtual_time
async def test_a_team_is_named_to_its_last_character() -> None:
    async with rig() as r:
        session = await r.create(data={"teams": {"left\n": {"team": "chess"}}})
        assert session.state == "terminated"
        assert [one.path for one in session.tree()] == ["/"]


def test_a_child_is_named_to_its_last_character() -> None:
    assert CHILD_ID.fullmatch("left")
    assert not CHILD_ID.fullmatch("left\n")
    assert "$" not in CHILD_ID.pattern
