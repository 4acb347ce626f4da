"""What a drawing of a machine says, before any notation: nodes, edges and notes made of lines of text.

Everything is in the file's order, so the same spec gives the same picture to the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..spec import (
    BUILT_IN_RESOURCES,
    CONDITIONS,
    OWN_EVENTS,
    CleanupEntry,
    Limits,
    Machine,
    Spec,
    State,
    Timer,
    Transition,
)
from ..units import show_duration
from .wording import one_line, show_guard, show_reference, show_size, show_step

# Events that tell of something gone wrong, or of what is done about it after a restart.
TROUBLE: Final = frozenset({"failed", "child_ended", "unhealthy", "limit_exceeded", "restored", "reloaded"})

Shape = Literal["plain", "activity", "final", "quarantine", "anywhere"]
Style = Literal["asked", "own", "time", "trouble", "found"]


@dataclass(frozen=True, slots=True)
class Node:
    """One box. about: what the author says of it; lines: what it does by itself."""

    name: str
    shape: Shape
    title: str
    about: str = ""
    lines: tuple[str, ...] = ()
    is_initial: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """Transitions that differ in their event only. order: which place the list gives them, "" when it has one entry."""

    events: tuple[str, ...]
    order: str = ""
    guard: str = ""
    do: str = ""

    @property
    def text(self) -> str:
        order, guard, do = (
            self.order and f" {self.order}",
            self.guard and f" [{self.guard}]",
            self.do and f" / {self.do}",
        )
        return f"{', '.join(self.events)}{order}{guard}{do}"


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow with every transition of one style between two nodes.

    asked: someone outside the actor sent the event; own: the actor or the engine did; time: a timer; trouble: the
    engine, because something went wrong; found: what `steward check` tells of.
    """

    source: str
    target: str
    style: Style
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """What holds for the whole machine, beside the drawing. is_order: the lines are steps, one after the other."""

    title: str
    lines: tuple[str, ...]
    is_order: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """name: a machine's kind, or OWNERSHIP; of the drawing as a whole."""

    name: str
    title: str
    about: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    notes: tuple[Note, ...] = ()


ANYWHERE: Final = "Anywhere"  # in capitals, which no state of a lifecycle file has
OWNERSHIP: Final = "who-owns-whom"  # no kind can have a hyphen


def machine_picture(machine: Machine) -> Picture:
    """States, what they do by themselves, and every way between them; clean-up, limits and health as notes."""
    states = [_state_node(machine, name) for name in machine.states]
    anywhere = [_anywhere_node(machine)] if machine.transitions else []
    about = one_line(machine.description)
    return Picture(machine.kind, machine.kind, about, (*states, *anywhere), _edges(machine), tuple(_notes(machine)))


def outline(picture: Picture) -> dict[str, Any]:
    """Its boxes and arrows as JSON, for who draws them smaller: what is a box or an arrow, and of which sort, is
    decided here only. An arrow whose source is None begins in any state that does not list the event itself.
    """
    nodes = [
        {"name": node.name, "shape": node.shape, "is_initial": node.is_initial}
        for node in picture.nodes
        if node.name != ANYWHERE
    ]
    edges = [
        {
            "source": None if edge.source == ANYWHERE else edge.source,
            "target": edge.target,
            "style": edge.style,
            "events": list(dict.fromkeys(event for label in edge.labels for event in label.events)),
        }
        for edge in picture.edges
    ]
    return {"nodes": nodes, "edges": edges}


def ownership_picture(spec: Spec) -> Picture:
    """Which kind owns which and how many at most, and what each holds and has to let go."""
    nodes = tuple(
        Node(kind, "plain", kind, one_line(machine.description), tuple(_belongings(machine)), kind in spec.roots)
        for kind, machine in spec.machines.items()
    )
    edges = tuple(
        Edge(kind, owned, "asked", (Label((f"owns at most {most}",)),))
        for kind, machine in spec.machines.items()
        for owned, most in machine.owns.items()
    )
    return Picture(OWNERSHIP, one_line(spec.name), "who owns whom, and what each has to let go", nodes, edges)


def _belongings(machine: Machine) -> Iterator[str]:
    for note in _notes(machine):
        if note.is_order:
            yield f"{note.title}:"
            yield from (f"{number}. {line}" for number, line in enumerate(note.lines, 1))
        else:
            yield f"{note.title}: {', '.join(note.lines)}"


def _state_node(machine: Machine, name: str) -> Node:
    state = machine.states[name]
    about = one_line(state.description)
    return Node(name, _shape(state), name, about, tuple(_state_lines(state)), name == machine.initial)


def _shape(state: State) -> Shape:
    if state.final:
        return "final"
    if state.quarantine:
        return "quarantine"
    return "activity" if state.run else "plain"


def _state_lines(state: State) -> Iterator[str]:
    for number, step in enumerate(state.run, 1):
        yield f"run ({number}) {show_step(step)}"
    if state.defer:
        yield f"defers {', '.join(state.defer)}"
    refused = [event for event, rows in state.transitions.items() if not rows]
    if refused:
        yield f"refuses {', '.join(refused)}"
    rows = (found for event, rows in _triggers(state) for found in _labels(event, rows))
    yield from (label.text for label in _merged(label for target, label in rows if target is None))


def _anywhere_node(machine: Machine) -> Node:
    found = (label for event, rows in machine.transitions.items() for to, label in _labels(event, rows) if to is None)
    refused = [event for event, rows in machine.transitions.items() if not rows]
    said = [f"refuses {', '.join(refused)}"] if refused else []
    lines = (*said, *(label.text for label in _merged(found)))
    return Node(ANYWHERE, "anywhere", "any state", "that does not list the event itself", lines)


def _notes(machine: Machine) -> Iterator[Note]:
    yield Note("clean-up", tuple(_entry(entry) for entry in _cleanup_order(machine)), is_order=True)
    if limits := _limit_lines(machine.limits):
        yield Note("at most", limits)
    if health := machine.health:
        checks = ", ".join(show_reference(check) for check in health.checks)
        often = f"every {show_duration(health.every_s)}; ill after {health.unhealthy_after} in a row"
        yield Note("health", (checks, often))


def _cleanup_order(machine: Machine) -> Iterable[CleanupEntry]:
    """The file's entries, and the built-in kinds it leaves out where the engine puts them.

    Children are left out where the kind owns none: there is nothing to see.
    """
    listed = {entry.release for entry in machine.cleanup}
    missing = [CleanupEntry(release=kind) for kind in BUILT_IN_RESOURCES if kind not in listed]
    first = [entry for entry in missing if entry.release == "children" and machine.owns]
    last = [entry for entry in missing if entry.release != "children"]
    return (*first, *machine.cleanup, *last)


def _entry(entry: CleanupEntry) -> str:
    if entry.release == "children":
        return "children: stop all and wait for their ends"
    if entry.do is None:
        return entry.release
    forced = f", else {show_reference(entry.force.ref)}" if entry.force else ""
    return f"{entry.release}: {show_reference(entry.do.ref)} within {show_duration(entry.timeout_s)}{forced}"


def _limit_lines(limits: Limits) -> tuple[str, ...]:
    given = {name: value for name, value in limits.model_dump().items() if value is not None}
    return tuple(
        f"{name.replace('_', ' ')} {show_size(value) if name == 'memory' else value}" for name, value in given.items()
    )


def _edges(machine: Machine) -> tuple[Edge, ...]:
    """In the order of the file, transitions of one style between the same two nodes on one arrow."""
    found: dict[tuple[str, str, Style], list[Label]] = {}
    for source, event, rows in _all_triggers(machine):
        for target, label in _labels(event, rows):
            if target is not None:
                found.setdefault((source, target, _style(event)), []).append(label)
    return tuple(Edge(*ends, _merged(labels)) for ends, labels in found.items())


def _merged(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Events that lead somewhere in the same way are named together."""
    found: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for label in labels:
        same = (label.order, label.guard, label.do)
        found[same] = (*found.get(same, ()), *label.events)
    return tuple(Label(events, *same) for same, events in found.items())


def _all_triggers(machine: Machine) -> Iterator[tuple[str, str, tuple[Transition, ...]]]:
    for name, state in machine.states.items():
        for event, rows in _triggers(state):
            yield name, event, rows
    for event, rows in machine.transitions.items():
        yield ANYWHERE, event, rows


def _triggers(state: State) -> Iterator[tuple[str, tuple[Transition, ...]]]:
    yield from state.transitions.items()
    yield from _timer_rows("after", state.after)
    yield from _timer_rows("idle", state.idle)


def _timer_rows(word: str, timers: tuple[Timer, ...]) -> Iterator[tuple[str, tuple[Transition, ...]]]:
    for timer in timers:
        yield f"{word} {timer.text}", timer.transitions


def _style(event: str) -> Style:
    if event.startswith(("after ", "idle ")):
        return "time"
    if event in TROUBLE:
        return "trouble"
    return "own" if event in (*OWN_EVENTS, *CONDITIONS) else "asked"


def _labels(event: str, rows: tuple[Transition, ...]) -> Iterator[tuple[str | None, Label]]:
    """(target, label) of each row. A number says in which order a list is asked."""
    for number, row in enumerate(rows, 1):
        order = f"({number})" if len(rows) > 1 else ""
        guard = show_guard(row.when) if row.when else ""
        yield row.to, Label((event,), order, guard, ", ".join(show_step(step) for step in row.do))
