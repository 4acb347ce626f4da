"""Whatever a machine's actions acquire has a way to be let go and a probe that sees whether it is gone."""

from __future__ import annotations

from collections.abc import Iterator

from ..registry import Registry
from ..spec import BUILT_IN_RESOURCES, CleanupEntry, Machine
from .builtins import is_built_in
from .diagnostics import Finding, meant
from .document import Path, numbered, show
from .walk import Call, calls


def resource_findings(machine: Machine, registry: Registry) -> Iterator[Finding]:
    acquired = _acquired(machine, registry)
    yield from _unreleased(machine, acquired, registry)
    yield from _entries(machine, acquired, _knows_all(machine, registry))
    for call in calls(machine):
        yield from _built_in_place(machine, call)


def _acquired(machine: Machine, registry: Registry) -> dict[str, Call]:
    """Kind of resource to the first call that acquires it."""
    acquired: dict[str, Call] = {}
    for call in calls(machine):
        handler = registry.get("action", call.step.ref.name)
        for kind in sorted(handler.mark.acquires) if handler is not None else ():
            acquired.setdefault(kind, call)
    return acquired


def _knows_all(machine: Machine, registry: Registry) -> bool:
    """Whether every action is registered; one that is not may be the one that acquires what seems never acquired."""
    names = {call.step.ref.name for call in calls(machine)}
    return all(is_built_in("action", name) or registry.get("action", name) is not None for name in names)


def _unreleased(machine: Machine, acquired: dict[str, Call], registry: Registry) -> Iterator[Finding]:
    released = {entry.release for entry in machine.cleanup}
    for kind, call in acquired.items():
        if kind in BUILT_IN_RESOURCES:
            continue
        name = call.step.ref.name
        if kind not in released and "" not in released:
            message = f"{show(name)} acquires {show(kind)}, and the clean-up of {machine.kind} does not release it"
            yield Finding(call.path, message, "no-release", f"add {{release: {kind}, do: …}} to `cleanup`")
        if registry.get("probe", kind) is None:
            message = f"{show(name)} acquires {show(kind)}, and no probe is registered for it"
            yield Finding(call.path, message, "no-probe", f'write one: @probe("{kind}")')


def _entries(machine: Machine, acquired: dict[str, Call], knows_all: bool) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, entry in enumerate(machine.cleanup):
        path = numbered((machine.kind, "cleanup"), index, len(machine.cleanup))
        if not entry.release:
            continue
        if entry.release in seen:
            yield Finding((*path, "release"), f"{show(entry.release)} has an entry already", "duplicate-item")
        seen.add(entry.release)
        yield from _entry(machine, path, entry, acquired, knows_all)


def _entry(
    machine: Machine, path: Path, entry: CleanupEntry, acquired: dict[str, Call], knows_all: bool
) -> Iterator[Finding]:
    if entry.release in BUILT_IN_RESOURCES:
        if entry.release == "children" and not machine.owns:
            yield Finding((*path, "release"), f"{machine.kind} owns no kind, so it has no children", "no-child")
        return
    if knows_all and entry.release not in acquired:
        message = f"no action of {machine.kind} acquires {show(entry.release)}"
        yield Finding(
            (*path, "release"), message, "never-acquired", meant(entry.release, {*acquired, *BUILT_IN_RESOURCES})
        )
    if entry.do is None:
        hint = f"write {{release: {entry.release}, do: …}}; only built-in kinds need no action"
        yield Finding(path, f"the clean-up of {show(entry.release)} needs the key 'do'", "missing-key", hint)


def _built_in_place(machine: Machine, call: Call) -> Iterator[Finding]:
    if call.step.ref.name == "cleanup" and call.place != "run":
        hint = "give it a state of its own"
        yield Finding(call.path, "`cleanup` is a step of `run`: it takes longer than a `do` may", "cleanup-place", hint)
    if call.step.ref.name == "write_off" and not _is_admins(machine, call):
        yield Finding(call.path, "`write_off` belongs in the `do` of an event from admin alone", "write-off-place")


def _is_admins(machine: Machine, call: Call) -> bool:
    event = machine.events.get(call.event)
    return call.place == "do" and event is not None and event.senders in (("admin",), ())
