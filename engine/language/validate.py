"""Every name a spec uses is one it declares or the registry has, and every argument fits its handler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..errors import ArgumentError
from ..registry import Registry, Role
from ..spec import BUILT_IN_RESOURCES, ENGINE_EVENTS, Guard, Machine, Reference, Spec
from .builtins import built_in_names, check_arguments, is_built_in
from .diagnostics import Finding, meant
from .document import Path, numbered, show
from .walk import calls, listed, state_path

_ROLES: Final[dict[Role, str]] = {"guard": "a guard", "action": "an action", "check": "a check", "probe": "a probe"}


def unresolved_names(spec: Spec, registry: Registry) -> Iterator[Finding]:
    """A finding for each name and argument that means nothing."""
    for machine in spec.machines.values():
        yield from _states(machine)
        yield from _events(machine)
        yield from _kinds(spec, machine)
        for role, path, ref in _references(machine):
            yield from _handler(registry, role, path, ref)
            yield from _built_in(machine, role, path, ref)
    yield from _renamed(spec)


def _states(machine: Machine) -> Iterator[Finding]:
    targets = [(*path, "to") for row in listed(machine) for path, _ in row.numbered()]
    names = [transition.to for row in listed(machine) for transition in row.transitions]
    for path, state in [((machine.kind, "initial"), machine.initial), *zip(targets, names, strict=True)]:
        yield from _state(machine, path, state)


def _state(machine: Machine, path: Path, state: str | None) -> Iterator[Finding]:
    """Nothing where the machine has no states at all: that has been said."""
    if state and machine.states and state not in machine.states:
        yield Finding(path, f"no state {show(state)}", "unknown-state", meant(state, machine.states))


def _events(machine: Machine) -> Iterator[Finding]:
    known = {*machine.events, *ENGINE_EVENTS}
    for row in listed(machine):
        if not row.event or row.event in known:
            continue
        if row.event.startswith(("after ", "idle ")):
            hint = f"write it under `{row.event.split()[0]}` of the state"
        else:
            hint = meant(row.event, known) or "declare it under `events`"
        yield Finding(row.path, f"no event {show(row.event)}", "unknown-event", hint)
    for name, state in machine.states.items():
        for event in state.defer:
            if event not in machine.events:
                yield _undeferrable((*state_path(machine, name), "defer", event), machine, event)


def _undeferrable(path: Path, machine: Machine, event: str) -> Finding:
    if event in ENGINE_EVENTS:
        message = f"{show(event)} is the engine's own; only events from outside can wait"
        return Finding(path, message, "unknown-event", meant("", machine.events))
    return Finding(path, f"no event {show(event)}", "unknown-event", meant(event, machine.events))


def _kinds(spec: Spec, machine: Machine) -> Iterator[Finding]:
    for kind in machine.owns:
        if kind not in spec.machines:
            yield Finding(
                (machine.kind, "owns", kind), f"no machine {show(kind)}", "unknown-kind", meant(kind, spec.machines)
            )


def _renamed(spec: Spec) -> Iterator[Finding]:
    for kind, states in spec.renamed.items():
        machine = spec.machines.get(kind)
        if machine is None:
            yield Finding(("renamed", kind), f"no machine {show(kind)}", "unknown-kind", meant(kind, spec.machines))
            continue
        for old, new in states.items():
            path = ("renamed", kind, old)
            if old in machine.states:
                yield Finding(path, f"{show(old)} is still a state of {kind}", "renamed-state")
            yield from _state(machine, path, new)  # placed at the old name; the new one stands right behind it


def _references(machine: Machine) -> Iterator[tuple[Role, Path, Reference]]:
    """Every handler the machine names, with the role it must have there."""
    for row in listed(machine):
        for path, transition in row.numbered():
            if transition.when is not None:
                yield from _guards(transition.when, (*path, "when"))
    for call in calls(machine):
        yield "action", call.path, call.step.ref
    checks = machine.health.checks if machine.health is not None else ()
    for index, check in enumerate(checks):
        yield "check", numbered((machine.kind, "health", "checks"), index, len(checks)), check


def _guards(guard: Guard, path: Path) -> Iterator[tuple[Role, Path, Reference]]:
    if guard.ref is not None:
        yield "guard", path, guard.ref
    for index, item in enumerate(guard.items):
        yield from _guards(item, numbered((*path, guard.op), index, len(guard.items)))


def _handler(registry: Registry, role: Role, path: Path, ref: Reference) -> Iterator[Finding]:
    if not ref.name:
        return
    if not _is_known(registry, role, ref.name):
        yield _unknown_handler(registry, role, path, ref.name)
        return
    try:
        check_arguments(registry, role, ref)
    except ArgumentError as error:
        for argument, problem in error.problems:
            at = (*path, argument) if argument else path
            yield Finding(at, f"{ref.name}: {problem.removeprefix(ref.name + ' ')}", "wrong-argument")


def _is_known(registry: Registry, role: Role, name: str) -> bool:
    return is_built_in(role, name) or registry.get(role, name) is not None


def _unknown_handler(registry: Registry, role: Role, path: Path, name: str) -> Finding:
    for other, noun in _ROLES.items():
        if _is_known(registry, other, name):
            return Finding(path, f"{show(name)} is {noun}, not {_ROLES[role]}", "wrong-role")
    hint = meant(name, {*registry.names(role), *built_in_names(role)})
    return Finding(path, f"no {role} {show(name)}", "unknown-handler", hint)


def _built_in(machine: Machine, role: Role, path: Path, ref: Reference) -> Iterator[Finding]:
    """What the arguments of built-in handlers name."""
    if (role, ref.name) == ("guard", "entered_below") and isinstance(state := ref.args.get("state"), str):
        yield from _state(machine, (*path, "state"), state)
    if (role, ref.name) == ("action", "cleanup") and isinstance(only := ref.args.get("only"), list | tuple):
        known = {*BUILT_IN_RESOURCES, *(entry.release for entry in machine.cleanup)}
        for kind in only if "" not in known else ():
            if isinstance(kind, str) and kind not in known:
                message = f"the clean-up of {machine.kind} has no entry {show(kind)}"
                yield Finding((*path, "only"), message, "unknown-resource", meant(kind, known))
