"""What a state may hold: final, quarantined, cleaning up, deferring, running."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from ..spec import Machine, State, is_full_cleanup
from .diagnostics import Finding
from .document import Path, numbered, show
from .walk import Listed, listed, listed_in, state_path

LEAVERS_SHOWN_MAX: Final = 20  # of one state; states times events could be millions
_FINAL_HAS_NONE: Final = ("run", "after", "idle", "defer", "transitions", "quarantine")
_QUARANTINE_HAS_NONE: Final = ("run", "after", "idle", "defer")


def state_findings(machine: Machine, *, is_root: bool) -> Iterator[Finding]:
    for name, state in machine.states.items():
        path = state_path(machine, name)
        yield from _final(path, state)
        yield from _done(path, state)
        yield from _run(path, state)
        yield from _defer(path, state)
        yield from _asked(path, state, is_root)
        if state.quarantine:
            yield from _quarantine(machine, path, name, state, is_root)
        if _cleans_up(state):
            yield from _cleanup(machine, path, name, state)
    yield from _quarantine_entries(machine)


def _cleans_up(state: State) -> bool:
    return any(is_full_cleanup(step) for step in state.run)


def _may_clean_up(state: State) -> bool:
    """Also where a step is broken, which may have been the clean-up."""
    return _cleans_up(state) or any(not step.ref.name for step in state.run)


def _final(path: Path, state: State) -> Iterator[Finding]:
    if not state.final:
        return
    for key in _FINAL_HAS_NONE:
        if getattr(state, key):
            yield Finding((*path, key), f"a final state has no `{key}`; nothing happens after the end", "final-state")


def _done(path: Path, state: State) -> Iterator[Finding]:
    if "done" in state.transitions and not state.run and not state.final:
        hint = "give the state a `run`, or take the line out"
        yield Finding((*path, "transitions", "done"), "no `run` here that could be done", "done-without-run", hint)


def _run(path: Path, state: State) -> Iterator[Finding]:
    if state.after or state.final or state.quarantine:
        return
    for index, step in enumerate(state.run):
        if step.timeout_s is None and step.ref.name and not is_full_cleanup(step):
            at = numbered((*path, "run"), index, len(state.run))
            message = f"{show(step.ref.name)} may run for ever"
            yield Finding(at, message, "unbounded-run", "give it a `timeout`, or the state an `after`")


def _asked(path: Path, state: State, is_root: bool) -> Iterator[Finding]:
    for key, timers in (("after", state.after), ("idle", state.idle)):
        for timer in (one for one in timers if one.option):
            at = (*path, key, timer.text, "option")
            if not is_root:
                message = "only a session is created by somebody who can ask; this kind is owned by another"
                yield Finding(at, message, "roots-only", "take `option` out")
            if 0 < timer.most_s < timer.seconds:
                message = f"at most is shorter than the {timer.text} that hold when nobody asks"
                yield Finding((*at, timer.option), message, "bad-duration")


def _defer(path: Path, state: State) -> Iterator[Finding]:
    for event in state.defer:
        if event in state.transitions:
            message = f"{show(event)} is deferred and listed under `transitions` as well"
            yield Finding((*path, "defer", event), message, "defer-handled", "keep one of them")


def _quarantine(machine: Machine, path: Path, name: str, state: State, is_root: bool) -> Iterator[Finding]:
    if not is_root:
        message = f"{machine.kind} is owned by another kind; what it cannot release passes to its parent"
        yield Finding((*path, "quarantine"), message, "quarantine-state", "quarantine is for roots")
    for key in _QUARANTINE_HAS_NONE:
        if getattr(state, key):
            yield Finding((*path, key), f"a quarantine state has no `{key}`; it waits for a person", "quarantine-state")
    for event, transitions in state.transitions.items():
        declared = machine.events.get(event)
        if transitions and (declared is None or declared.senders not in (("admin",), ())):
            message = f"{show(event)} does not come from admin alone"
            yield Finding((*path, "transitions", event), message, "quarantine-event")
    if not any(row.to not in (None, name) for rows in state.transitions.values() for row in rows):
        yield Finding(
            path, f"no event leaves {show(name)}", "quarantine-exit", "list an event from admin with a target"
        )


def _quarantine_entries(machine: Machine) -> Iterator[Finding]:
    """Whoever waits for a person has tried everything else first."""
    for row in listed(machine):
        if row.state is not None and _may_clean_up(machine.states[row.state]):
            continue
        for path, transition in row.numbered():
            target = machine.states.get(transition.to or "")
            if target is not None and target.quarantine and transition.to != row.state:
                message = (
                    f"{show(transition.to or '')} is quarantine, entered only from a state that runs the full cleanup"
                )
                yield Finding((*path, "to"), message, "quarantine-entry")


def _cleanup(machine: Machine, path: Path, name: str, state: State) -> Iterator[Finding]:
    """Cut short, a clean-up would leave things behind that nobody looks for any more."""
    for row in listed_in(machine, name, state):
        if row.event not in ("done", "failed") and _has_target(row):
            what = show(row.event) if row.event else "a time limit"
            message = f"{what} would leave {show(name)} while it cleans up"
            yield Finding(row.path, message, "cleanup-left", "only `done` and `failed` may")
    for event in islice(_leaving(machine, name, state), LEAVERS_SHOWN_MAX):
        message = f"the machine's {show(event)} would leave {show(name)} while it cleans up"
        yield Finding(path, message, "cleanup-left", f"list `{event}: []` here")


def _leaving(machine: Machine, name: str, state: State) -> Iterator[str]:
    """Events of the machine's own list that reach the state and lead elsewhere."""
    for event, transitions in machine.transitions.items():
        if event in state.transitions or event in state.defer or event in ("done", "failed"):
            continue
        if any(row.to != name and row.to in machine.states for row in transitions):
            yield event


def _has_target(row: Listed) -> bool:
    return any(transition.to is not None for transition in row.transitions)
