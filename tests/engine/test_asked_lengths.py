"""A time limit whose length a session's creator chose, and who comes in while one is running out."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import small_handlers

from engine.errors import Refused
from engine.machine import LifecycleMachine
from engine.session import Session
from engine.steps.asked import ASKED, take_asked
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time

SMALL = (Path(__file__).parent / "files" / "small.yaml").read_text()
ASKING = SMALL.replace(
    "after: {30s: terminating}\n        transitions: {connected: active,",
    "after: {30s: {to: terminating, option: {window: 10m}}}\n"
    "        transitions: {restored: reconnecting, connected: active,",
)


def compiled() -> dict[str, LifecycleMachine]:
    assert ASKING != SMALL
    return machines(ASKING, small_handlers)


async def waits(rig: Rig, session: Session, seconds: float) -> bool:
    """Whether it waits for a connection so long and no longer."""
    await rig.advance(seconds - 0.1)
    was_waiting = session.state == "reconnecting"
    await rig.advance(0.2)
    return was_waiting and session.state == "terminated"


@in_virtual_time
async def test_a_session_waits_as_long_as_its_creator_asked() -> None:
    """Rule 5: a phone that is hidden for a minute should not lose its work."""
    async with Rig(compiled()) as rig:
        session = await rig.create(is_connected=False, data={ASKED: {"window": 120.0}})
        assert session.window_s == 120.0
        assert await waits(rig, session, 120)


@pytest.mark.parametrize("asked", [{}, {ASKED: {}}, {ASKED: {"other": 5.0}}, {ASKED: None}, {ASKED: {"window": "5m"}}])
@in_virtual_time
async def test_who_does_not_ask_gets_what_the_file_says(asked: dict[str, Any]) -> None:
    """And whatever a handler writes there by mistake is no length."""
    async with Rig(compiled()) as rig:
        session = await rig.create(is_connected=False, data=asked)
        assert session.window_s == 30.0
        assert await waits(rig, session, 30)


@in_virtual_time
async def test_more_than_the_file_allows_counts_as_what_it_allows() -> None:
    """The limit is the operator's; the client reads in its welcome what it got."""
    async with Rig(compiled()) as rig:
        session = await rig.create(is_connected=False, data={ASKED: {"window": 1e9}})
        assert session.window_s == 600.0
        assert await waits(rig, session, 600)


@in_virtual_time
async def test_the_length_holds_after_a_restart_and_the_window_begins_anew() -> None:
    """Rule 5: clients had no chance to come back while the server was away."""
    plans = compiled()
    async with Rig(plans) as rig:
        session = await rig.create(is_connected=False, data={ASKED: {"window": 120.0}})
        await rig.advance(100)
        sid, journal = session.sid, rig.journal
    async with Rig(plans, journal=journal) as rig:
        again = await rig.manager.find(sid)
        assert again is not None
        assert again.window_s == 120.0
        assert await waits(rig, again, 120)


def test_options_of_the_file_are_taken_out_of_those_for_the_team() -> None:
    """A team would refuse an option that it does not know."""
    plan = compiled()["session"].plan
    assert plan is not None
    assert take_asked(plan, {"window": "2m", "depth": 3}) == ({"depth": 3}, {"window": 120.0})
    assert take_asked(plan, {"depth": 3}) == ({"depth": 3}, {})
    for wrong in (30, "soon", "0s", None, "-1s", ["2m"]):
        with pytest.raises(Refused, match="option 'window'") as refused:
            take_asked(plan, {"window": wrong})
        assert refused.value.code == "bad_payload"


@in_virtual_time
async def test_whoever_is_arriving_before_the_deadline_wins() -> None:
    """L8: to find out whose hello it is may take the store longer than is left."""
    async with Rig(compiled()) as rig:
        session = await rig.create(is_connected=False)
        await rig.advance(29.9)
        with rig.manager.arrivals.one():
            await rig.advance(5)
            assert session.state == "reconnecting"
            session.attach("control")
        await rig.settle()
        assert session.state == "active"
        await rig.advance(600)
        assert session.state == "active"


@in_virtual_time
async def test_a_window_ends_late_but_ends_when_nobody_came_in() -> None:
    """Once, as an event (L8); and who comes after the deadline keeps it open no longer."""
    async with Rig(compiled()) as rig:
        session = await rig.create(is_connected=False)
        await rig.advance(29.9)
        before, late = rig.manager.arrivals.one(), rig.manager.arrivals.one()
        with ExitStack() as coming:
            with before:
                await rig.advance(5)
                coming.enter_context(late)
                assert session.state == "reconnecting"
            await rig.settle()
            assert session.state == "terminated"
        states = await rig.states(session)
        assert states.count("terminating") == 1
