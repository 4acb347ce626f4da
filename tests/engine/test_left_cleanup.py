"""A state that is left during its partial clean-up: the clean-up comes to its end, and counts for that state only."""

from __future__ import annotations

import asyncio

import left_handlers
import pytest

from engine.journal.memory import MemoryJournal
from engine.log.state import fold
from engine.session import Session
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time

LEFT = """
lifecycle: 1
name: left
machines:
  session:
    initial: starting
    events: {go: {from: [client]}, close: {from: [client]}}
    transitions: {close: ending, failed: ending}
    cleanup: [{release: thing, do: close_thing, timeout: 5s}]
    states:
      starting: {run: [open_thing], after: {10s: ending}, transitions: {done: repair}}
      repair:
        run: [{do: cleanup, with: {only: [thing]}}, second]
        after: {30s: ending}
        transitions: {done: active, go: active}
      active: {run: [first, second], after: {1h: ending}, transitions: {done: idle}}
      idle: {after: {1h: ending}}
      ending: {run: [cleanup], transitions: {done: over, failed: over}}
      over: {final: true}
"""
COMPILED = machines(LEFT, left_handlers)
CLEANUP_LAST = machines(LEFT.replace("[thing]}}, second]", "[thing]}}]"), left_handlers)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    left_handlers.OPEN.clear()
    left_handlers.CALLED.clear()


async def leave_during_cleanup(rig: Rig) -> Session:
    """A session in `active`, whose `first` is under way."""
    session = await rig.create()
    await rig.advance(0.5)
    assert session.state == "repair"
    await rig.send(session, "go")
    await rig.advance(2)
    assert (session.state, left_handlers.OPEN, left_handlers.CALLED) == ("active", set(), ["first"])
    return session


@in_virtual_time
async def test_its_steps_are_none_of_the_next_state() -> None:
    """M4: after a restart `active` begins with its own first step."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as rig:
        await leave_during_cleanup(rig)
    left_handlers.CALLED.clear()
    async with Rig(COMPILED, journal=journal) as rig:
        await asyncio.sleep(6)
        assert left_handlers.CALLED == ["first", "second"]


@in_virtual_time
async def test_what_it_let_go_is_held_no_more_in_the_log() -> None:
    """C1: what memory holds beyond a restart and what the log says are the same, though no later step says so."""
    async with Rig(CLEANUP_LAST) as rig:
        session = await leave_during_cleanup(rig)
        assert session.root is not None
        assert fold(await rig.records(session.sid)).actors["/"].holds == session.root.holdings.surviving() == []
