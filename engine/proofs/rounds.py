"""Whether time alone brings an actor to its end, and when: circles of time limits and of ends of activities.

A budget (`entered_below`) ends a circle only if it is used up within its time: three entries in ten minutes are never
counted where a round takes an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import inf
from typing import Final

from ..units import show_duration
from .findings import Finding
from .graph import Life, Way
from .guards import Budget
from .stories import components, parts, to_state
from .times import forced, is_end, lasting, stay_s, step_s, until_s

CIRCLES_MAX: Final = 500  # of one strongly connected part; there can be exponentially many


def round_findings(life: Life) -> Iterator[Finding]:
    """Of roots only: an owned kind may turn until its parent says `stop`."""
    ways = [way for state in life.reached for way in forced(life, state)] if life.is_root else []
    nearest = {state: index for index, state in enumerate(life.reached)}
    for part in components(ways):
        for circle in islice(_circles(part), CIRCLES_MAX):
            budgets = _budgets(life, circle)
            # Without time and without a budget it is a loop, and told as one.
            if (not budgets and not any(way.is_timer for way in circle)) or _ends(life, circle, budgets):
                continue
            first = min(range(len(circle)), key=lambda index: nearest[circle[index].source])
            yield _finding(life, [*circle[first:], *circle[:first]], budgets)
            break


def _finding(life: Life, circle: list[Way], budgets: list[Budget]) -> Finding:
    names = " → ".join([circle[0].source, *(way.target or "" for way in circle)])
    story = to_state(life, circle[0].source).round(circle)
    if not budgets:
        message = f"with time alone {names} goes round for ever"
        hint = "let a time limit lead to the end, or guard one with `entered_below`"
        return Finding((*circle[0].path, "to"), "never-ends", message, story, hint)
    budget, round_s = budgets[0], _round_s(life, circle)
    message = (
        f"{names} may go round for ever: {budget.count} entries of {budget.state} in {show_duration(budget.within)} "
        f"are never reached if a round takes {lasting(round_s)}"
    )
    return Finding((*circle[0].path, "to"), "never-ends", message, story, "count over a longer time")


def turns_few(life: Life, part: list[Way]) -> bool:
    """Whether ways lead round in one circle only, whose budget is surely used up."""
    circles = list(islice(_circles(part), 2))
    return len(circles) == 1 and _ends(life, circles[0], _budgets(life, circles[0]))


def _budgets(life: Life, circle: list[Way]) -> list[Budget]:
    """What a round spends, of states that it enters."""
    states = {way.source for way in circle}
    return [budget for way in circle for budget in life.guards.spends(way.row.when) if budget.state in states]


def _ends(life: Life, circle: list[Way], budgets: list[Budget]) -> bool:
    return any(budget.count * _round_s(life, circle) <= budget.within for budget in budgets)


def _round_s(life: Life, circle: list[Way]) -> float:
    return sum(_turn_s(life, way) for way in circle)


def _turn_s(life: Life, way: Way) -> float:
    return until_s(life, way) + step_s(life, way)


def _circles(part: list[Way]) -> Iterator[list[Way]]:
    """Every circle of a part that passes no state twice, each once: the first of its states in order begins it."""
    out: dict[str, list[Way]] = {}
    for way in part:
        out.setdefault(way.source, []).append(way)
    order = {state: index for index, state in enumerate(out)}
    for start in out:
        trail: list[Way] = []
        choices = [iter(out[start])]
        while choices:
            for way in choices[-1]:
                target = way.target or ""
                if target == start:
                    yield [*trail, way]
                elif order[target] > order[start] and all(target != gone.source for gone in trail):
                    trail.append(way)
                    choices.append(iter(out[target]))
                    break
            else:
                choices.pop()
                del trail[-1:]


class Ends:
    """The longest way from each state to an end if nobody comes; inf where it may never get there."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.s: dict[str, float] = {}
        ways = [way for state in life.machine.states for way in forced(life, state)]
        turning = {way.source: part for part in components(ways) for way in part}
        for part in parts(life.machine.states, ways):  # what a part leads to comes before it
            inside = turning.get(min(part), [])
            own_s = self._turning_s(inside) if inside else stay_s(life, min(part))
            out = [way for way in ways if way.source in part and way.target not in part] if own_s < inf else []
            onward = max((step_s(life, way) + self.s[way.target or ""] for way in out), default=inf)
            self.s.update(dict.fromkeys(part, 0.0 if is_end(life, min(part)) else own_s + onward))

    def _turning_s(self, part: list[Way]) -> float:
        """As often round as the budgets allow, every state of the part each time."""
        circles = list(islice(_circles(part), CIRCLES_MAX))
        counts = 0
        for circle in circles:
            budgets = _budgets(self._life, circle)
            if not _ends(self._life, circle, budgets):
                return inf
            counts += max(budget.count for budget in budgets)
        slowest = {
            way.source: max(_turn_s(self._life, one) for one in part if one.source == way.source) for way in part
        }
        last_s = sum(stay_s(self._life, state) for state in slowest)
        return (counts + 1) * sum(slowest.values()) + last_s if len(circles) < CIRCLES_MAX else inf
