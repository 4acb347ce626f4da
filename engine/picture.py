"""What a drawing of a machine says, before any notation: nodes, edges and notes made of lines of text.

Everything is in the file's order, so the same spec gives the same picture to the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from .spec import (
    BUILT_IN_RESOURCES,
    CONDITIONS,
    OWN_EVENTS,
    STEP_TIMEOUT_S,
    CleanupEntry,
    Guard,
    Limits,
    Machine,
    Reference,
    Spec,
    State,
    Step,
    Timer,
    Transition,
)
from .units import BYTES, show_duration

LINE_CHARS_MAX: Final = 64  # a wider node pushes the others off the page

Shape = Literal["plain", "activity", "final", "quarantine", "anywhere", "note"]
Style = Literal["asked", "own", "time"]


@dataclass(frozen=True, slots=True)
class Node:
    """One box. title None: a note, which has lines only."""

    name: str
    shape: Shape
    title: str | None
    lines: tuple[str, ...] = ()
    is_initial: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow with every transition of one style between two nodes.

    asked: someone outside the actor sent the event; own: the actor or the engine did; time: a timer.
    """

    source: str
    target: str
    style: Style
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


ANYWHERE: Final = "Anywhere"  # like the notes' names in capitals, which no state of a lifecycle file has


def machine_picture(machine: Machine) -> Picture:
    """States, what they do by themselves, and every way between them; clean-up, limits and health as notes."""
    states = [_state_node(machine, name) for name in machine.states]
    anywhere = [_anywhere_node(machine)] if machine.transitions else []
    title = f"{machine.kind}: {_one_line(machine.description)}" if machine.description else machine.kind
    return Picture(title, (*states, *anywhere, *_notes(machine)), _edges(machine))


def ownership_picture(spec: Spec) -> Picture:
    """Which kind owns which, how many at most, and within which limits."""
    nodes = tuple(
        Node(kind, "plain", kind, (*_wrap(machine.description), *_limit_lines(machine.limits)), kind in spec.roots)
        for kind, machine in spec.machines.items()
    )
    edges = tuple(
        Edge(kind, owned, "asked", (f"owns at most {most}",))
        for kind, machine in spec.machines.items()
        for owned, most in machine.owns.items()
    )
    return Picture(f"{_one_line(spec.name)}: who owns whom", nodes, edges)


def _state_node(machine: Machine, name: str) -> Node:
    state = machine.states[name]
    return Node(name, _shape(state), name, tuple(_state_lines(state)), name == machine.initial)


def _shape(state: State) -> Shape:
    if state.final:
        return "final"
    if state.quarantine:
        return "quarantine"
    return "activity" if state.run else "plain"


def _state_lines(state: State) -> Iterator[str]:
    yield from _wrap(state.description)
    for number, step in enumerate(state.run, 1):
        yield f"run ({number}) {show_step(step)}"
    if state.defer:
        yield from _wrap(f"defers {', '.join(state.defer)}")
    refused = [event for event, rows in state.transitions.items() if not rows]
    if refused:
        yield from _wrap(f"refuses {', '.join(refused)}")
    yield from (label for event, rows in _triggers(state) for target, label in _labels(event, rows) if target is None)


def _anywhere_node(machine: Machine) -> Node:
    lines = (label for event, rows in machine.transitions.items() for to, label in _labels(event, rows) if to is None)
    refused = [event for event, rows in machine.transitions.items() if not rows]
    said = [f"refuses {', '.join(refused)}"] if refused else []
    return Node(ANYWHERE, "anywhere", "any state that does not list the event", (*said, *lines))


def _notes(machine: Machine) -> Iterator[Node]:
    cleanup = [f"({number}) {_entry(entry)}" for number, entry in enumerate(_cleanup_order(machine), 1)]
    yield Node("Cleanup", "note", None, ("clean-up, in this order", *cleanup))
    if limits := _limit_lines(machine.limits):
        yield Node("Limits", "note", None, limits)
    if health := machine.health:
        checks = ", ".join(show_reference(check) for check in health.checks)
        often = f"health, every {show_duration(health.every_s)}; ill after {health.unhealthy_after} in a row"
        yield Node("Health", "note", None, (often, *_wrap(checks)))


def _cleanup_order(machine: Machine) -> Iterable[CleanupEntry]:
    """The file's entries, and the built-in kinds it leaves out where the engine puts them."""
    listed = {entry.release for entry in machine.cleanup}
    missing = [CleanupEntry(release=kind) for kind in BUILT_IN_RESOURCES if kind not in listed]
    first = [entry for entry in missing if entry.release == "children"]
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
    if not given:
        return ()
    shown = [f"{name} {_size(value) if name == 'memory' else value}" for name, value in given.items()]
    return tuple(_wrap(f"at most: {', '.join(shown)}"))


def _edges(machine: Machine) -> tuple[Edge, ...]:
    """In the order of the file, transitions of one style between the same two nodes on one arrow."""
    found: dict[tuple[str, str, Style], list[str]] = {}
    for source, event, rows in _all_triggers(machine):
        for target, label in _labels(event, rows):
            if target is not None:
                found.setdefault((source, target, _style(event)), []).append(label)
    return tuple(Edge(*ends, tuple(labels)) for ends, labels in found.items())


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
    return "own" if event in (*OWN_EVENTS, *CONDITIONS) else "asked"


def _labels(event: str, rows: tuple[Transition, ...]) -> Iterator[tuple[str | None, str]]:
    """(target, text) of each row. A number says in which order a list is asked."""
    for number, row in enumerate(rows, 1):
        order = f" ({number})" if len(rows) > 1 else ""
        when = f" [{show_guard(row.when)}]" if row.when else ""
        do = f" / {', '.join(show_step(step) for step in row.do)}" if row.do else ""
        yield row.to, f"{event}{order}{when}{do}"


def show_step(step: Step) -> str:
    """`start_agents within 10s, 3 attempts`: the name, its arguments and what bounds it."""
    bound = "" if step.timeout_s in (None, STEP_TIMEOUT_S) else f" within {show_duration(step.timeout_s or 0.0)}"
    again = f", {step.retry.attempts} attempts" if step.retry else ""
    return f"{show_reference(step.ref)}{bound}{again}"


def show_guard(guard: Guard) -> str:
    """`not a and (b or c)`, parenthesised where the file's nesting needs it."""
    if guard.ref is not None:
        return show_reference(guard.ref)
    if guard.op == "not":
        return f"not {_operand(guard.items[0])}"
    word = " and " if guard.op == "all" else " or "
    return word.join(_operand(item) for item in guard.items)


def _operand(guard: Guard) -> str:
    is_joined = guard.op in ("all", "any") and len(guard.items) > 1
    return f"({show_guard(guard)})" if is_joined else show_guard(guard)


def show_reference(ref: Reference) -> str:
    """`name`, `name(value)` or `name(argument=value, …)`, as the file gave them."""
    if ref.has_argument:
        return f"{ref.name}({_value(ref.argument)})"
    if not ref.args:
        return ref.name
    return f"{ref.name}({', '.join(f'{name}={_value(value)}' for name, value in ref.args.items())})"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_value(item)}' for key, item in value.items())}}}"
    names = {True: "true", False: "false", None: "null"}
    return names[value] if isinstance(value, bool | None) else _one_line(str(value))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _size(count: int) -> str:
    unit = next(unit for unit in reversed(BYTES) if count % BYTES[unit] == 0)
    return f"{count // BYTES[unit]}{unit}"


def _wrap(text: str) -> Iterator[str]:
    """text in lines of at most LINE_CHARS_MAX characters where it has spaces to break at."""
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > LINE_CHARS_MAX:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
    if line:
        yield line
