"""Parents and children: by induction from the leaves of the ownership tree, so for any number of either.

A kind that surely ends after `stop`, within what its parent waits, is all that the parent has to know of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from ..bounds import CHILDREN_MARGIN_S, call_bound
from ..language.document import Path, numbered, show
from ..spec import Step
from .findings import Finding
from .graph import CHILDREN, Life, Way
from .rounds import Ends
from .stories import Move, Story, back_to_start, to_state
from .times import forced, is_end, lasting, stay_s, step_s
from .waits import is_left_by_run, is_left_by_time, is_surely_left

RESTARTS = ("restored", "reloaded")  # after them the parent's clean-up begins anew, and says `stop` again


def composition_findings(life: Life) -> Iterator[Finding]:
    if not life.is_root:
        yield from _beginning(life)
        yield from _stopping(life)
    yield from _starting(life)
    yield from _waiting(life)


def _beginning(life: Life) -> Iterator[Finding]:
    initial = life.machine.initial
    if not is_surely_left(life, initial):
        message = f"nothing surely leads on from {show(initial)}, and who starts a {life.kind} waits for that"
        hint = "give it a bounded `run` whose `done` and `failed` lead on, or an `after`"
        yield Finding(life.at(initial), "initial-wait", message, Story(initial, end="and its parent waits"), hint)


# After `stop`


def _stopping(life: Life) -> Iterator[Finding]:
    ending = _ending(life)
    ends = Ends(life)
    told: set[Path] = set()
    for state in life.reached:
        for way in after_stop(life, state):
            if way.target is None and state in ending:
                continue  # it goes on to its end as if nobody had said anything
            finding = _lost(life, way, ending) or _slow(life, way, ends)
            if finding is not None and finding.path not in told:
                told.add(finding.path)
                yield finding


def after_stop(life: Life, state: str) -> Iterator[Way]:
    """Every way `stop` may take, and `failed`, if what `stop` does may fail."""
    choice = life.choices[state].get("stop")
    if choice is not None:
        yield from choice.ways
        if choice.can_fail and "failed" in life.choices[state]:
            yield from life.choices[state]["failed"].ways


def _ending(life: Life) -> set[str]:
    """States that reach a final one by themselves, whatever else comes meanwhile; a circle is not one of them."""
    ending = {name for name, state in life.machine.states.items() if state.final}
    waiting = [name for name in life.machine.states if name not in ending and _leads_on(life, name)]
    while found := [name for name in waiting if all(target in ending for target in _targets(life, name))]:
        ending.update(found)
        waiting = [name for name in waiting if name not in ending]
    return ending


def _leads_on(life: Life, state: str) -> bool:
    """An `idle` limit is put off by whatever is accepted without leaving the state."""
    is_put_off = any(way.target is None and not way.is_own for way in life.ways(state))
    by_time = is_left_by_time(life, state) and (bool(life.state(state).after) or not is_put_off)
    return not is_end(life, state) and (by_time or is_left_by_run(life, state))


def _targets(life: Life, state: str) -> set[str]:
    return {target for way, target in life.leaving(state) if way.event not in (*RESTARTS, "stop")}


def _lost(life: Life, way: Way, ending: set[str]) -> Finding | None:
    if way.target in ending:
        return None
    what = "stop" if way.event == "stop" else "what `stop` does may fail, and failed"
    if way.target is None:
        message, end = f"{what} leaves {show(way.source)} as it is", "and its parent waits in vain"
        return Finding(way.path, "stop-lost", message, _stopped(life, way, [], end), "give it a target")
    why, more = _astray(life, way.target, ending)
    message = f"{what} leads to {show(way.target)}, {why}"
    hint = "lead it to a state with `run: [cleanup]`"
    return Finding((*way.path, "to"), "stop-lost", message, _stopped(life, way, more, "and its parent waits"), hint)


def _astray(life: Life, start: str, ending: set[str]) -> tuple[str, list[Way]]:
    """Why an end is not sure from a state: follow what is not, to where nothing leads on or a circle closes."""
    here, taken, seen = start, list[Way](), {start}
    while True:
        if not _leads_on(life, here):
            return (f"and nothing surely leads on from {show(here)}", taken)
        ways = [way for way, target in life.leaving(here) if target not in ending]
        way = next(way for way in ways if way.event not in (*RESTARTS, "stop"))
        taken.append(way)
        here = way.target or ""
        if here in seen:
            return (f"from where {way.event} leads back to {show(here)}", taken)
        seen.add(here)


def _slow(life: Life, way: Way, ends: Ends) -> Finding | None:
    waits_s = life.plan.stop_bound_s + CHILDREN_MARGIN_S
    if way.target is None or step_s(life, way) + ends.s[way.target] <= waits_s:
        return None
    took, waits = lasting(step_s(life, way) + ends.s[way.target]), lasting(waits_s)
    message = f"{show(way.target)} may take {took} to the end after {way.event}, and its parent waits {waits}"
    story = _stopped(life, way, _longest(life, way.target, ends), "ended by force before it is there")
    return Finding((*way.path, "to"), "slow-stop", message, story, "lead `stop` straight to the clean-up")


def _longest(life: Life, start: str, ends: Ends) -> list[Way]:
    here, taken, seen = start, list[Way](), {start}
    while ways := [way for way in forced(life, here) if way.target not in seen]:
        way = max(ways, key=lambda way: step_s(life, way) + ends.s[way.target or ""])
        taken.append(way)
        here = way.target or ""
        seen.add(here)
    return taken


def _stopped(life: Life, way: Way, more: list[Way], end: str) -> Story:
    """`stop` comes once, if there is a way in on which it has not come yet."""
    unstopped = life.reached_from(life.entries, without="stop")
    story = (back_to_start(way.source, unstopped) or to_state(life, way.source)).then([way, *more])
    if way.event == "failed":
        moves = story.moves[: -len(more) - 1]
        story = Story(story.start, (*moves, Move(way, "stop: what it does failed"), *story.moves[len(moves) + 1 :]))
    return Story(story.start, story.moves, end=end)


# Times


def _starting(life: Life) -> Iterator[Finding]:
    """Steps that say they start children, and are cut short before the quickest of them must be up."""
    needed_s = min((_beginning_s(child) for child in life.below), default=0.0)
    for name, state in life.machine.states.items():
        for index, step in enumerate(state.run):
            given_s = step.timeout_s if step.timeout_s is not None else _limit_s(life, name)
            if not _says_it_starts(life, step) or given_s > needed_s or needed_s == inf:
                continue
            path = numbered((*life.at(name), "run"), index, len(state.run))
            children = ", ".join(child.kind for child in life.below)
            message = f"{step.ref.name} has {lasting(given_s)}, and {children} may take {lasting(needed_s)} to be up"
            yield Finding(path, "short-timeout", message, hint="give it longer than the child's first state has")


def _says_it_starts(life: Life, step: Step) -> bool:
    return life.starts_children(step) and CHILDREN in life.mark(step).acquires


def _beginning_s(life: Life) -> float:
    """What the first state of a child may take and still be left well: no graces, no force."""
    initial = life.machine.initial
    run = life.planned(initial).run
    if any(call.timeout_s is None for call in run):
        return stay_s(life, initial)
    tidy_s = sum(call_bound(call) - (call.retry.attempts if call.retry else 1) for call in run if call.bound)
    return min(stay_s(life, initial), tidy_s) if run else stay_s(life, initial)


def _limit_s(life: Life, state: str) -> float:
    """When time surely ends a stay."""
    return min((timer.seconds for timer in life.planned(state).timers if not timer.is_idle), default=inf)


def _waiting(life: Life) -> Iterator[Finding]:
    """States that end children in part, and are left before all of them may be at their end."""
    children_s = max((child.plan.stop_bound_s for child in life.below), default=0.0) + CHILDREN_MARGIN_S
    for name, state in life.machine.states.items():
        for index, step in enumerate(state.run):
            limit_s = _limit_s(life, name)
            if CHILDREN not in step.ref.args.get("only", ()) or step.ref.name != "cleanup" or limit_s >= children_s:
                continue
            path = numbered((*life.at(name), "run"), index, len(state.run))
            message = f"{show(name)} has {lasting(limit_s)}, and its children may take {lasting(children_s)} to end"
            yield Finding(path, "short-timeout", message, hint="give the state a longer `after`")
