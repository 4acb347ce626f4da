"""Going through a machine: its transitions and its calls of handlers, each with its path in the expanded file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..spec import Machine, State, Step, Transition
from .document import Path, numbered


@dataclass(frozen=True, slots=True)
class Listed:
    """What one event or timer does. state None: the machine's own list. event is empty for a timer."""

    path: Path
    state: str | None
    event: str
    transitions: tuple[Transition, ...]

    def numbered(self) -> Iterator[tuple[Path, Transition]]:
        for index, transition in enumerate(self.transitions):
            yield numbered(self.path, index, len(self.transitions)), transition


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an action. state None: clean-up, or a machine-level transition."""

    path: Path
    place: Literal["run", "do", "cleanup"]
    state: str | None
    event: str
    step: Step


def state_path(machine: Machine, state: str) -> Path:
    return (machine.kind, "states", state)


def listed(machine: Machine) -> Iterator[Listed]:
    """Every list of transitions, the machine's first."""
    for event, transitions in machine.transitions.items():
        yield Listed((machine.kind, "transitions", event), None, event, transitions)
    for name, state in machine.states.items():
        yield from listed_in(machine, name, state)


def listed_in(machine: Machine, name: str, state: State) -> Iterator[Listed]:
    at = state_path(machine, name)
    for event, transitions in state.transitions.items():
        yield Listed((*at, "transitions", event), name, event, transitions)
    for key, timers in (("after", state.after), ("idle", state.idle)):
        for timer in timers:
            yield Listed((*at, key, timer.text), name, "", timer.transitions)


def calls(machine: Machine) -> Iterator[Call]:
    """Every call of an action."""
    for row in listed(machine):
        for path, transition in row.numbered():
            for at, step in _numbered((*path, "do"), transition.do):
                yield Call(at, "do", row.state, row.event, step)
    for name, state in machine.states.items():
        for at, step in _numbered((*state_path(machine, name), "run"), state.run):
            yield Call(at, "run", name, "", step)
    for index, entry in enumerate(machine.cleanup):
        path = numbered((machine.kind, "cleanup"), index, len(machine.cleanup))
        for key, way in (("do", entry.do), ("force", entry.force)):
            if way is not None:
                yield Call((*path, key), "cleanup", None, "", way)


def _numbered(path: Path, steps: tuple[Step, ...]) -> Iterator[tuple[Path, Step]]:
    for index, step in enumerate(steps):
        yield numbered(path, index, len(steps)), step
