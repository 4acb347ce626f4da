"""Which states are surely left, by what and when, and in which an actor could wait for ever."""

from __future__ import annotations

from collections.abc import Iterator

from ..language.document import show
from ..spec import is_full_cleanup
from .findings import Finding
from .graph import Choice, Life
from .stories import Story, to_state


def is_left(life: Life, state: str, event: str, *, leaks: bool = False) -> bool:
    """Whether the event, once it comes, surely leads out of the state (or into it anew).

    leaks: in a world where something held is never let go, so that no final state can be entered.
    """
    choice = life.on_failing.get(state) if leaks and event == "failed" else life.choices[state].get(event)
    if choice is None or not choice.is_sure:
        return False
    if choice.can_fail and event != "failed" and not is_left(life, state, "failed", leaks=leaks):
        return False
    return all(_gets_there(life, choice, way.target, leaks) for way in choice.ways)


def _gets_there(life: Life, choice: Choice, target: str | None, leaks: bool) -> bool:
    if target is None:
        return False
    if not leaks or not life.state(target).final:
        return True
    source = choice.ways[0].source
    return choice.event != "failed" and is_left(life, source, "failed", leaks=True)


def is_run_bounded(life: Life, state: str) -> bool:
    """Whether each step of the run has an end of its own."""
    return all(call.timeout_s is not None or call.bound is None for call in life.planned(state).run)


def is_left_by_run(life: Life, state: str, *, leaks: bool = False) -> bool:
    """Whether there is a run, which ends, and whose ends lead on."""
    steps = life.state(state).run
    if not steps or not is_run_bounded(life, state):
        return False
    can_be_done = not (leaks and any(is_full_cleanup(step) for step in steps))
    can_fail = not can_be_done or any(life.step_may_fail(step) for step in steps)
    return (not can_be_done or is_left(life, state, "done", leaks=leaks)) and (
        not can_fail or is_left(life, state, "failed", leaks=leaks)
    )


def is_left_by_time(life: Life, state: str, *, leaks: bool = False) -> bool:
    return any(is_left(life, state, timer.event, leaks=leaks) for timer in life.planned(state).timers)


def is_surely_left(life: Life, state: str, *, leaks: bool = False) -> bool:
    return is_left_by_time(life, state, leaks=leaks) or is_left_by_run(life, state, leaks=leaks)


def wait_findings(life: Life) -> Iterator[Finding]:
    for state in life.reached:
        if life.state(state).final or life.state(state).quarantine or is_left_by_time(life, state):
            continue
        gap = next(_gaps(life, state), None)
        if gap is not None:
            yield gap
        elif life.is_root and not is_left_by_run(life, state):
            yield _waits(life, state)
        elif not is_run_bounded(life, state):
            yield _runs(life, state)


def _gaps(life: Life, state: str) -> Iterator[Finding]:
    """Ends of the activity for which no entry may hold."""
    for event in ("done", "failed") if life.state(state).run else ():
        choice = life.choices[state].get(event)
        if choice is not None and not choice.is_sure:
            message = f"if no guard of {show(event)} holds, {show(state)} is never left by itself"
            end = "no guard holds, nothing more happens" + ("" if life.is_root else " until `stop`")
            hint = "let the last entry have no guard, or give the state an `after`"
            yield Finding(choice.path, "guarded-gap", message, _story(life, state, f"{event}: {end}"), hint)


def _waits(life: Life, state: str) -> Finding:
    message = f"nothing surely ends the wait in {show(state)}: {_why(life, state)}"
    hint = "give it an `after` with a target and without a guard"
    return Finding(life.at(state), "unbounded-wait", message, _story(life, state, "and waits for ever"), hint)


def _why(life: Life, state: str) -> str:
    """The one sentence of what is missing."""
    run, timers = life.state(state).run, life.planned(state).timers
    if timers:
        names = ", ".join(timer.event for timer in timers)
        choices = [life.choices[state][timer.event] for timer in timers if timer.event in life.choices[state]]
        if any(choice.is_sure and all(way.target for way in choice.ways) for choice in choices):
            return f"if what {names} does fails, `failed` does not surely lead on"
        return f"{names} may pass without leading on"
    if not run:
        return "it has no `after`, no `idle` and no `run`"
    if not is_run_bounded(life, state):
        return "its `run` may last for ever"
    event = "done" if not is_left(life, state, "done") else "failed"
    return f"its `run` ends, but {show(event)} does not lead on"


def _runs(life: Life, state: str) -> Finding:
    message = f"the `run` of {show(state)} may last for ever, and no time limit surely ends it"
    hint = "give each step a `timeout`, or the state an `after` with a target and without a guard"
    return Finding(life.at(state), "unbounded-wait", message, _story(life, state, "and runs until `stop`"), hint)


def _story(life: Life, state: str, end: str) -> Story:
    story = to_state(life, state)
    return Story(story.start, story.moves, end=end)
