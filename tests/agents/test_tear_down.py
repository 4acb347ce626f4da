"""Hostile agents, torn down: bounded, nothing left, the guilty named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hostile import RELEASE, TORN_DOWN, Go
from hostile import TEAM as HOSTILE
from patience import ran_s, under_way, until

from handlers.autogen_stop import threads_of

SID = "s.aaaaaaaaaaaaaaaaaaaaaaaaaa"  # as in conftest.py
BOUND_S = 1.0  # drain, grace and close of QUICK, and what it takes to compute


@pytest.mark.parametrize("way", TORN_DOWN)
async def test_a_hostile_agent_costs_its_own_time_out_and_leaves_nothing(
    stage: Any, nothing_left: Any, way: str
) -> None:
    """C3 and C4, counted by tasks and weak references."""
    backend = await stage.start(HOSTILE, ways=[way, "healthy"])
    calls = [asyncio.create_task(stage.send(backend, name, Go())) for name in ("a0", "a1")]
    await calls[1]
    began = ran_s()
    report = await backend.stop()
    assert ran_s() - began < BOUND_S
    assert report.left == ()
    await asyncio.gather(*calls, return_exceptions=True)
    del calls
    await nothing_left(backend)
    assert backend.is_gone


@pytest.mark.parametrize("way", ["swallows_cancellation", "swallows_everything"])
async def test_who_had_to_be_forced_is_named(stage: Any, nothing_left: Any, way: str) -> None:
    """A report is a look, not "we called close"."""
    backend = await stage.start(HOSTILE, ways=["healthy", way])
    call = asyncio.create_task(stage.send(backend, "a1", Go()))
    await under_way(backend)
    assert (await backend.stop()).forced == ("a1",)
    await asyncio.gather(call, return_exceptions=True)
    del call
    await nothing_left(backend)


async def test_a_thread_that_stays_is_named(stage: Any) -> None:
    """The await ends, the thread does not: nothing in Python can end it, so nobody may believe it gone."""
    backend = await stage.start(HOSTILE, ways=["blocks_a_thread"])
    call = asyncio.create_task(stage.send(backend, "a0", Go()))
    await under_way(backend)
    report = await backend.stop()
    await asyncio.gather(call, return_exceptions=True)
    assert len(report.left) == 1
    assert report.left[0].endswith("of agent a0")
    RELEASE.set()
    await until(lambda: not threads_of(SID))
    assert (await backend.stop()).left == ()


async def test_many_sessions_with_every_way_at_once(stage: Any, nothing_left: Any) -> None:
    """Their time-outs run side by side, not one after another."""
    backends = []
    for number in range(40):
        way = TORN_DOWN[number % len(TORN_DOWN)]
        backends.append(await stage.start(HOSTILE, sid=f"s.{number}", ways=[way, "healthy"]))
    calls = [asyncio.create_task(stage.send(one, name, Go())) for one in backends for name in ("a0", "a1")]
    await asyncio.gather(*calls[1::2])
    began = ran_s()
    reports = await asyncio.gather(*(one.stop() for one in backends))
    assert ran_s() - began < 2 * BOUND_S
    assert [report.left for report in reports] == [()] * 40
    await asyncio.gather(*calls, return_exceptions=True)
    del calls
    await nothing_left(*backends)
