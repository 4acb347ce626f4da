"""Circles that turn by themselves: `done`, `failed`, `child_ended` and conditions, without a budget on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .findings import Finding
from .graph import Life, Way
from .stories import between, components, to_state

TURNING: Final = frozenset({"done", "failed", "child_ended", "unhealthy", "limit_exceeded"})
# Only one of the two holds: a circle with both takes somebody outside who comes and goes.
CONNECTIONS: Final = ("connected", "last_connection_lost")


def loop_findings(life: Life) -> Iterator[Finding]:
    told: set[frozenset[str]] = set()
    nearest = list(life.reached)
    for loop in _loops(life):
        first = min(range(len(loop)), key=lambda index: nearest.index(loop[index].source))
        turn = [*loop[first:], *loop[:first]]
        states = frozenset(way.source for way in turn)
        if states in told:
            continue
        told.add(states)
        names = " → ".join([turn[0].source, *(way.target or "" for way in turn)])
        message = f"{names} is a circle that turns by itself, and no `entered_below` on it counts one of its states"
        story = to_state(life, turn[0].source).round(turn)
        hint = "guard one of its entries with `entered_below`, counting a state that every round enters"
        yield Finding((*turn[0].path, "to"), "unbudgeted-loop", message, story, hint)


def _loops(life: Life) -> Iterator[list[Way]]:
    reached = life.reached
    ways = [way for way in life.all_ways() if way.source in reached and way.target is not None]
    # A child ends once: such a circle turns on only if a round starts another.
    starting = {name for name in reached if any(life.starts_children(step) for step in life.state(name).run)}
    for connection in CONNECTIONS:
        turning = [way for way in ways if _turns(life, way, {*TURNING, connection})]
        lasting = [way for way in turning if way.event != "child_ended"]
        yield from unbudgeted(life, lasting, None)
        yield from unbudgeted(life, turning, starting)


def _turns(life: Life, way: Way, events: set[str]) -> bool:
    """Whether the event comes again as often as the state is entered. What fails once, such as a `do` of `stop`, does
    not."""
    again = events - {"child_ended"}
    return way.event in events and (way.event != "failed" or life.fails_by(way.source, again))


def unbudgeted(life: Life, ways: Iterable[Way], through: set[str] | None) -> Iterator[list[Way]]:
    """Circles that spend no budget of a state of their own, one of each strongly connected part; the shortest.

    through: only those that enter one of these states.
    """
    for part in components(ways):
        turn = _spin(life, part, through)
        if turn:
            yield turn


def _spin(life: Life, part: list[Way], through: set[str] | None) -> list[Way]:
    states = {way.source for way in part}
    counted = next((state for way in part for state in _counted(life, way) if state in states), None)
    if counted is None:
        rings = [between(part, state, state) for state in sorted(states if through is None else states & through)]
        return min((ring for ring in rings if ring), key=len, default=[])
    guarded = [way for way in part if counted in _counted(life, way)]
    without = [way for way in part if way not in guarded]
    found = next(unbudgeted(life, without, through), [])
    if found or all(counted in (way.source, way.target) for way in guarded):
        return found
    around = [way for way in part if counted not in (way.source, way.target)]
    return next(unbudgeted(life, around, through), [])


def _counted(life: Life, way: Way) -> list[str]:
    """States whose entries the way's guard has a budget for."""
    return [budget.state for budget in life.guards.spends(way.row.when)]
