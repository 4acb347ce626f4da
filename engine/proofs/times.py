"""How long things take at worst: a stay in a state, the step that leaves it, and how long a state hears nothing."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, inf
from typing import Final

from ..bounds import PROBE_TIMEOUT_S, call_bound, cleanup_bound, partial_bound
from ..plan import Call
from ..steps.scope import GRACE_S
from .graph import Life, Way
from .waits import is_left, is_left_by_run

LEAVING_S: Final = 4 * GRACE_S  # until an activity that does not want to end is given up


def run_s(life: Life, state: str) -> float:
    """Every step of the run at its worst; inf if one has no bound of its own."""
    return sum(_step_s(life, call) for call in life.planned(state).run)


def _step_s(life: Life, call: Call) -> float:
    if call.bound is None:
        return cleanup_bound(life.plan.cleanup, call.args.get("only", ()))
    return call_bound(call) if call.timeout_s is not None else inf


def stay_s(life: Life, state: str) -> float:
    """How long an actor stays at most if nobody comes; inf if nothing surely leads on."""
    sure = [timer.most_s for timer in life.planned(state).timers if is_left(life, state, timer.event)]
    return min([*sure, run_s(life, state) if is_left_by_run(life, state) else inf])


def until_s(life: Life, way: Way) -> float:
    """How long an actor has stayed at most when way is taken: the run that is over, or the time limit, says when; a
    guard that refuses then is not asked again."""
    longest_s, events = stay_s(life, way.source), life.choices[way.source].keys()
    if way.event == "done" or (way.event == "failed" and not life.fails_beside_run(way.source, events - {"done"})):
        return min(longest_s, run_s(life, way.source))
    limits = [one.most_s for one in life.planned(way.source).timers if one.event == way.event and not one.is_idle]
    return min([longest_s, *limits])


def step_s(life: Life, way: Way) -> float:
    """The step itself: its `do`, the end of the activity, a look before a final state is entered."""
    done_s = sum(call_bound(step) for step in way.row.do)
    if way.target is None:
        return done_s
    plan = life.planned(way.source)
    ended_s = LEAVING_S + partial_bound(plan, life.plan.cleanup) if plan.run and way.event != "done" else 0.0
    # After a clean-up nothing is held any more that could be looked at.
    is_looked = life.state(way.target).final and not plan.is_cleaning
    looked_s = PROBE_TIMEOUT_S * len(life.plan.cleanup) if is_looked else 0.0
    return done_s + ended_s + looked_s


def deaf_s(life: Life, state: str) -> float:
    """How long an event may have to wait here before it is looked at; of a clean-up, until it is over."""
    longest = max((step_s(life, way) for way in life.ways(state)), default=0.0)
    return longest + (run_s(life, state) if life.planned(state).is_cleaning else 0.0)


def forced(life: Life, state: str) -> Iterator[Way]:
    """Ways that time and the actor's own activity may take: what happens if nobody comes."""
    alone = {"done", *(timer.event for timer in life.planned(state).timers)}
    coming = {*alone, "failed"} if life.fails_by(state, alone) else alone
    for way, _ in life.leaving(state):
        if way.event in coming:
            yield way


def is_end(life: Life, state: str) -> bool:
    return life.state(state).final or life.state(state).quarantine


def lasting(seconds: float) -> str:
    """A length as people say it, its two largest units: "3m 51s", "1d 6h"; rounded up."""
    if seconds == inf:
        return "for ever"
    whole, found = ceil(seconds), []
    for unit, count in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        found += [f"{whole // count}{unit}"] if whole >= count else []
        whole %= count
    return " ".join(found[:2]) or "0s"
