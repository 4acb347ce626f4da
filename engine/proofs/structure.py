"""What the shape of a kind alone shows: states nobody enters or leaves, rows nobody takes, events nobody wants."""

from __future__ import annotations

from collections.abc import Iterator

from ..language.document import show
from ..language.walk import listed
from .findings import Finding
from .graph import Life
from .stories import Story, to_state


def structure_findings(life: Life) -> Iterator[Finding]:
    yield from _unreachable(life)
    yield from _endless(life)
    yield from _never_taken(life)
    yield from _unused(life)


def _unreachable(life: Life) -> Iterator[Finding]:
    reached = life.reached
    for state in life.machine.states:
        if state not in reached:
            message = f"no event leads to {show(state)}"
            hint = "lead an event to it, or take it out"
            yield Finding(life.at(state), "unreachable-state", message, hint=hint)


def _endless(life: Life) -> Iterator[Finding]:
    """Of states that lead to each other only the first is told: one mistake, one finding."""
    ends = {name for name, state in life.machine.states.items() if state.final}
    entered: dict[str, set[str]] = {}
    for way in life.all_ways():
        if way.target is not None:
            entered.setdefault(way.target, set()).add(way.source)
    waiting = list(ends)
    while waiting:
        for source in entered.get(waiting.pop(), set()) - ends:
            ends.add(source)
            waiting.append(source)
    told: set[str] = set()
    for state in life.reached:
        if state in ends or state in told:
            continue
        told.update(life.reached_from([state]))
        story = to_state(life, state)
        message = f"from {show(state)} no event leads to a final state"
        story = Story(story.start, story.moves, end="and no final state can be reached any more")
        yield Finding(life.at(state), "no-way-to-end", message, story, "lead an event towards a final state")


def _never_taken(life: Life) -> Iterator[Finding]:
    for row in listed(life.machine):
        for taken, (path, transition) in zip(
            life.guards.taken(row.transitions, row.event), row.numbered(), strict=True
        ):
            if not taken:
                what = "its guard never holds" if len(row.transitions) == 1 else "an earlier entry always holds then"
                where = row.event or path[-2]
                message = f"an entry of {show(where)} is never taken: {what}"
                at = (*path, "to") if transition.to is not None else path
                yield Finding(at, "never-taken", message, hint="change the order, or take it out")
    for path, (state, event) in life.overtaken.items():
        message = f"{show(event)} never comes: a shorter time limit has always left {show(state)}"
        yield Finding(path, "never-taken", message, hint="take it out")
    yield from _hidden(life)


def _hidden(life: Life) -> Iterator[Finding]:
    """Rows of the machine that no state is left for."""
    for event, rows in life.machine.transitions.items():
        states = [name for name in life.machine.states if event not in life.state(name).transitions]
        if rows and not any(life.machine.rows(name, event) for name in states):
            message = f"every state says itself what {show(event)} does; the machine's own line is never taken"
            yield Finding((life.kind, "transitions", event), "never-taken", message, hint="take it out")


def _unused(life: Life) -> Iterator[Finding]:
    reached = life.reached
    for event in life.machine.events:
        if not any(event in life.choices[state] for state in reached):
            message = f"no state that is ever reached takes {show(event)}"
            hint = "list it, or take the declaration out"
            yield Finding((life.kind, "events", event), "unused-event", message, hint=hint)
