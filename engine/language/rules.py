"""The rules of the language that names and types alone do not show, one machine at a time.

Reachability, waits and loops are proved elsewhere: those need the graph, these need only to look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ..registry import Registry
from ..spec import ENGINE_EVENTS, Machine, Spec, State, is_ending
from .diagnostics import Finding
from .document import show
from .resource_rules import resource_findings
from .state_rules import state_findings
from .walk import state_path

Rule = Callable[[Machine, bool], Iterator[Finding]]  # whether the machine is a root


def broken_rules(spec: Spec, registry: Registry) -> Iterator[Finding]:
    """A finding for each rule that a part of the spec breaks."""
    cycles = tuple(_ownership_cycles(spec))
    yield from cycles
    yield from _owned_twice(spec)
    roots = spec.machines if cycles else spec.roots  # a cycle has no root: what follows from that would be noise
    for machine in spec.machines.values():
        for rule in RULES if cycles else (*RULES, *OWNERSHIP_RULES):
            yield from rule(machine, machine.kind in roots)
        yield from state_findings(machine, is_root=machine.kind in roots)
        yield from resource_findings(machine, registry)


def _owned_twice(spec: Spec) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for machine in spec.machines.values():
        for kind in machine.owns:
            first = owners.setdefault(kind, machine.kind)
            if first != machine.kind:
                message = f"{show(kind)} is owned by {first} already; ownership is a tree"
                yield Finding((machine.kind, "owns", kind), message, "owned-twice")


def _ownership_cycles(spec: Spec) -> Iterator[Finding]:
    """Following first owners upwards from each kind; a kind met again on the same way up owns itself."""
    owner = {kind: machine.kind for machine in reversed(list(spec.machines.values())) for kind in machine.owns}
    seen: set[str] = set()
    for start in spec.machines:
        way: dict[str, None] = {}
        kind: str | None = start
        while kind is not None and kind not in seen and kind not in way:
            way[kind] = None
            kind = owner.get(kind)
        if kind is not None and kind in way:
            names = [*list(way)[list(way).index(kind) :], kind]
            message = f"{kind} owns itself: {' ← '.join(names)}"
            yield Finding((owner[kind], "owns", kind), message, "ownership-cycle")
        seen.update(way)


def _reserved(machine: Machine, is_root: bool) -> Iterator[Finding]:
    for name in machine.events:
        if name in ENGINE_EVENTS:
            path = (machine.kind, "events", name)
            yield Finding(path, f"{show(name)} is an event of the engine", "reserved-event", "choose another name")


def _senders(machine: Machine, is_root: bool) -> Iterator[Finding]:
    for name, event in machine.events.items():
        path = (machine.kind, "events", name)
        if "parent" in event.senders and is_root:
            yield Finding((*path, "from", "parent"), f"no kind owns {machine.kind}, so it has no parent", "no-parent")
        if "child" in event.senders and not machine.owns:
            yield Finding((*path, "from", "child"), f"{machine.kind} owns no kind, so it has no child", "no-child")


def _limits(machine: Machine, is_root: bool) -> Iterator[Finding]:
    if is_root:
        return
    for name in ("live", "live_per_user"):
        if getattr(machine.limits, name) is not None:
            hint = "how many of a child there may be stands in its owner's `owns`"
            yield Finding(
                (machine.kind, "limits", name), f"{machine.kind} is owned by another kind", "roots-only", hint
            )


def _initial(machine: Machine, is_root: bool) -> Iterator[Finding]:
    state = machine.states.get(machine.initial)
    if state is not None and (state.final or state.quarantine):
        kind = "final" if state.final else "quarantine"
        yield Finding(
            (machine.kind, "initial"), f"{show(machine.initial)} is {kind}; nothing would begin", "initial-state"
        )


def _stop(machine: Machine, is_root: bool) -> Iterator[Finding]:
    """A parent that ends waits for its children, so none may be in a state where `stop` does not reach it."""
    if is_root:
        return
    for name, state in machine.states.items():
        if not is_ending(state) and not _takes_stop(machine, name):
            message = f"{machine.kind} is owned, and `stop` does not surely leave {show(name)}"
            hint = "list `stop` with a target and without a guard, here or under the machine's transitions"
            yield Finding(state_path(machine, name), message, "stop-unhandled", hint)


def _takes_stop(machine: Machine, state: str) -> bool:
    return any(row.when is None and row.to is not None for row in machine.rows(state, "stop") or ())


def _failed(machine: Machine, is_root: bool) -> Iterator[Finding]:
    for name, state in machine.states.items():
        if state.final or state.quarantine or not _can_fail(machine, name, state):
            continue
        if not machine.rows(name, "failed"):
            hint = "list it here or under the machine's transitions"
            yield Finding(state_path(machine, name), "nothing takes `failed` here", "failed-unhandled", hint)


def _can_fail(machine: Machine, name: str, state: State) -> bool:
    """Whether a handler can run here for an event of the actor's own, so nobody outside is told of its failure."""
    if state.run or state.after or state.idle:
        return True
    return any(machine.rows(name, event) for event in ENGINE_EVENTS if event != "failed")


RULES: Final[tuple[Rule, ...]] = (_reserved, _initial, _failed)
OWNERSHIP_RULES: Final[tuple[Rule, ...]] = (_senders, _limits, _stop)
