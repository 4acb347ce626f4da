"""Health passes: what one actor's check does is its own affair; a pass ends whole, and so does the monitor."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import Any

from engine.health import CHECKS_AT_ONCE
from engine.registry import check
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time

SLOW_S = 1.5  # within a check's time, and longer than the time between two passes


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Ward:
    """What the check says of whom, and who is looked at just now."""

    def __init__(self) -> None:
        self.wordless: set[str] = set()
        self.raising: set[str] = set()
        self.ill: set[str] = set()
        self.slow: set[str] = set()
        self.running: Counter[str] = Counter()
        self.at_once = 0


@check()
async def is_well(ctx: Any) -> object:
    ward: Ward = ctx.services["ward"]
    if ctx.sid in ward.raising:
        raise Unprintable
    if ctx.sid in ward.wordless:
        return Unprintable()
    if ctx.sid in ward.slow:
        ward.running[ctx.sid] += 1
        ward.at_once = max(ward.at_once, ward.running[ctx.sid])
        try:
            await asyncio.sleep(SLOW_S)
        finally:
            ward.running[ctx.sid] -= 1
    return "ill" if ctx.sid in ward.ill else None


COMPILED = machines(
    """
lifecycle: 1
name: ward
machines:
  session:
    initial: active
    events: {close: {from: [client]}}
    limits: {live: 200, live_per_user: 200}
    transitions: {close: ending, failed: ending}
    health: {every: 1s, checks: [is_well], unhealthy_after: 2}
    states:
      active: {after: {10h: ending}, transitions: {unhealthy: ending}}
      ending: {run: [cleanup], transitions: {done: over, failed: over}}
      over: {final: true}
""",
    sys.modules[__name__],
)


@in_virtual_time
async def test_who_comes_behind_unprintable_findings_is_judged() -> None:
    """R1: more checks answer (or raise) what has no text than are run at once; they count as ill, the last is seen."""
    ward = Ward()
    async with Rig(COMPILED, services={"ward": ward}) as r:
        *bad, well, ill = [await r.create() for _ in range(CHECKS_AT_ONCE + 6)]
        ward.wordless = {one.sid for one in bad[::2]}
        ward.raising = {one.sid for one in bad[1::2]}
        ward.ill = {ill.sid}
        await r.advance(4)
        assert {one.state for one in bad} == {"over"}
        assert (well.state, ill.state) == ("active", "over")


@in_virtual_time
async def test_a_finding_without_text_is_told_to_who_asks() -> None:
    """C7: whose check cannot be put into words is reported as ill, by the check's name."""
    ward = Ward()
    async with Rig(COMPILED, services={"ward": ward}) as r:
        session = await r.create()
        ward.wordless = {session.sid}
        status = await r.manager.check_session_health(session.sid)
        assert [(one.check, "raised" in one.text) for one in status.findings] == [("is_well", True)]


@in_virtual_time
async def test_passes_do_not_overlap_and_stop_ends_every_lane() -> None:
    """C7: a pass in which a check failed goes on until its slowest check is over, or until the monitor stops."""
    ward = Ward()
    async with Rig(COMPILED, services={"ward": ward}) as r:
        bad, slow = await r.create(), await r.create()
        ward.wordless, ward.slow = {bad.sid}, {slow.sid}
        await r.advance(2.2)  # the second pass is due, the first is not over
        assert (ward.running[slow.sid], ward.at_once) == (1, 1)
        r.manager._monitor.stop()
        await r.settle()
        assert ward.running[slow.sid] == 0
        assert not [task for task in asyncio.all_tasks() if "_examine" in repr(task.get_coro())]
