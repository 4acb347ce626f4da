"""Nodes to engine/spec.py models: every short form is written out, every mistake of form is noted.

What is broken is replaced by a blank that later checks step over, so one mistake hides no other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from ..proofs.explain import ACCEPTABLE
from ..spec import (
    CleanupEntry,
    EventDecl,
    Guard,
    Health,
    Limits,
    Machine,
    Model,
    Reference,
    Retry,
    Spec,
    State,
    Step,
    Timed,
    Timer,
    Transition,
)
from . import forms, leaves
from .builtins import with_named_argument
from .diagnostics import Findings, Places, meant
from .document import ListNode, MapNode, Node, Path, ScalarNode, describe, numbered, plain, show
from .forms import BLANK_REFERENCE, BLANK_STEP, Form, Key
from .leaves import Reading, declared, pairs, seconds, word

Built = TypeVar("Built", bound=Model)
BLANK_GUARD: Final = Guard(op="ref", ref=BLANK_REFERENCE)
_OPERATORS: Final = ("all", "any", "not")
_STEP_KEYS: Final = frozenset(key.name for key in forms.STEP.keys)


def expand(root: Node, findings: Findings, places: Places) -> Spec:
    """The spec of a composed file. Where findings grew, parts of it are blanks."""
    places.put((), root)
    return _build(Spec, Reading(findings, places), root, (), forms.FILE)


def _build(model: type[Built], reading: Reading, node: Node, path: Path, form: Form, **given: Any) -> Built:
    return model(**(_values(reading, node, path, form) | given))


def _values(reading: Reading, node: Node, path: Path, form: Form) -> dict[str, Any]:
    """Field name to value for one form, with every unknown, broken and missing key noted."""
    values: dict[str, Any] = dict(form.blanks)
    if not isinstance(node, MapNode):
        reading.wrong(node, path, f"{form.noun}: a mapping with {', '.join(key.name for key in form.keys)}")
        return values
    for name, value in node.pairs:
        at = (*path, name.text)
        key = form.key(name.text)
        if key is None:
            hint = meant(name.text, [key.name for key in form.keys])
            reading.note(name, at, f"{form.noun} has no key {show(name.text)}", "unknown-key", hint)
            continue
        reading.places.put(at, value)
        read = READERS[key.type](reading, value, at, key)
        if read is not None:
            values[key.target] = read
    for key in form.keys:
        if key.is_required and node.get(key.name) is None:
            reading.note(reading.places[path], path, f"{form.noun} needs the key '{key.name}'", "missing-key")
    return values


def _machines(reading: Reading, node: Node, path: Path, key: Key) -> dict[str, Machine]:
    found = {}
    for kind, value, _ in declared(reading, node, path, "a machine"):
        reading.places.put((kind,), reading.places[(*path, kind)])
        found[kind] = _build(Machine, reading, value, (kind,), forms.MACHINE, kind=kind)
    if not found and isinstance(node, MapNode):
        reading.note(node, path, "there is no machine", "missing-key")
    return found


def _states(reading: Reading, node: Node, path: Path, key: Key) -> dict[str, State]:
    return {
        name: _build(State, reading, value, at, forms.STATE)
        for name, value, at in declared(reading, node, path, "a state")
    }


def _events(reading: Reading, node: Node, path: Path, key: Key) -> dict[str, EventDecl]:
    return {
        name: _build(EventDecl, reading, value, at, forms.EVENT)
        for name, value, at in declared(reading, node, path, "an event")
    }


def _owns(reading: Reading, node: Node, path: Path, key: Key) -> dict[str, int]:
    return {
        kind.text: leaves.count(reading, most, (*path, kind.text), key) or 1
        for kind, most in pairs(reading, node, path, "kind: how many at most")
    }


def _renamed(reading: Reading, node: Node, path: Path, key: Key) -> dict[str, dict[str, str]]:
    return {
        kind.text: {
            old.text: word(reading, new, (*path, kind.text, old.text), "a state") or ""
            for old, new in pairs(reading, states, (*path, kind.text), "old state: new state")
        }
        for kind, states in pairs(reading, node, path, "kind: renamed states")
    }


def _accept(reading: Reading, node: Node, path: Path, key: Key) -> dict[str, str]:
    """Only warnings, each with a reason: what is accepted in silence is forgotten."""
    found = {}
    for code, value in pairs(reading, node, path, "code: reason"):
        at = (*path, code.text)
        if code.text not in ACCEPTABLE:
            message = f"{show(code.text)} is no warning that could be accepted"
            reading.note(code, at, message, "unknown-code", meant(code.text, ACCEPTABLE))
        found[code.text] = word(reading, value, at, "the reason, as text") or ""
    return found


def _transitions(reading: Reading, node: Node, path: Path, key: Key) -> dict[str, tuple[Transition, ...]]:
    return {
        event.text: _choices(reading, value, (*path, event.text))
        for event, value in pairs(reading, node, path, "event: transition")
    }


def _timers(reading: Reading, node: Node, path: Path, key: Key) -> tuple[Timer, ...]:
    timers = []
    for name, value in pairs(reading, node, path, "duration: transition"):
        at = (*path, name.text)
        choices, asked = _timed(reading, value, at)
        if not choices:
            reading.note(value, at, "a time limit that does nothing", "wrong-type", "give it a target")
        timers.append(Timer(seconds=seconds(reading, name, at) or 1.0, text=name.text, transitions=choices, **asked))
    return tuple(timers)


def _timed(reading: Reading, node: Node, path: Path) -> tuple[tuple[Transition, ...], dict[str, Any]]:
    """What a timer takes, and which option sets another length."""
    if not isinstance(node, MapNode):
        return _choices(reading, node, path), {}
    timed = _build(Timed, reading, node, path, forms.TIMED)
    option, most_s = next(iter(timed.option.items()), ("", 0.0))
    return (Transition(to=timed.to, when=timed.when, do=timed.do),), {"option": option, "most_s": most_s}


def _option(reading: Reading, node: Node, path: Path, key: Key) -> dict[str, float]:
    """`{name: most}`, one of them."""
    found = list(pairs(reading, node, path, "option: the longest it may ask for"))
    if len(found) != 1:
        if isinstance(node, MapNode):
            reading.note(node, path, "must be one option: {name: most}", "wrong-type")
        return {}
    option, most = found[0]
    if not re.fullmatch(forms.NAME_PATTERN, option.text):
        reading.note(option, path, f"{show(option.text)} is no name of an option", "bad-name")
    return {option.text: seconds(reading, most, (*path, option.text)) or 0.0}


def _choices(reading: Reading, node: Node, path: Path) -> tuple[Transition, ...]:
    """One transition or a list of them, in order."""
    if not isinstance(node, ListNode):
        return (_transition(reading, node, path),)
    count = len(node.items)
    return tuple(_transition(reading, item, numbered(path, index, count)) for index, item in enumerate(node.items))


def _transition(reading: Reading, node: Node, path: Path) -> Transition:
    if isinstance(node, MapNode):
        return _build(Transition, reading, node, path, forms.TRANSITION)
    at = (*path, "to")
    reading.places.put(at, node)
    return Transition(to=word(reading, node, path, "a state, {to, when, do}, or a list of those"))


def _steps(reading: Reading, node: Node, path: Path, key: Key) -> tuple[Step, ...]:
    items = node.items if isinstance(node, ListNode) else (node,)
    if not items:
        reading.note(node, path, "needs at least one step", "wrong-type")
        return (BLANK_STEP,)
    return tuple(_step(reading, item, numbered(path, index, len(items)), key) for index, item in enumerate(items))


def _step(reading: Reading, node: Node, path: Path, key: Key) -> Step:
    """`name`, `{name: arguments}` or `{do, with, timeout, retry}`. Its place is that of the action's name."""
    if not isinstance(node, MapNode) or not any(name.text in _STEP_KEYS for name, _ in node.pairs):
        return Step(ref=_reference(reading, node, path))
    reading.places.put(path, node)
    values = _values(reading, node, path, forms.STEP)
    reading.places.put(path, reading.places[(*path, "do")])
    arguments: Node | None = values.pop("arguments", None)
    if arguments is not None:
        values["ref"] = _with_arguments(reading, values["ref"], arguments, path)
    return Step(**values)


def _with_arguments(reading: Reading, ref: Reference, node: Node, path: Path) -> Reference:
    if ref.args or ref.has_argument:
        reading.note(node, (*path, "with"), "the arguments are given in `do` already", "wrong-type")
        return ref
    return _called(reading, ref.name, node, path)


def _reference(reading: Reading, node: Node, path: Path) -> Reference:
    """`name` or `{name: arguments}`. Its place is that of the name."""
    reading.places.put(path, node)
    if isinstance(node, ScalarNode):
        return Reference(name=word(reading, node, path, "a handler") or "")
    if not isinstance(node, MapNode) or len(node.pairs) != 1 or not node.pairs[0][0].text:
        hint = "write name, or {name: {argument: value}}"
        reading.note(node, path, f"must be one handler, not {describe(node)}", "wrong-type", hint)
        return BLANK_REFERENCE
    name, arguments = node.pairs[0]
    reading.places.put(path, name)
    return _called(reading, name.text, arguments, path)


def _called(reading: Reading, name: str, arguments: Node, path: Path) -> Reference:
    if not isinstance(arguments, MapNode):
        return with_named_argument(Reference(name=name, argument=plain(arguments), has_argument=True))
    for key, value in arguments.pairs:
        reading.places.put((*path, key.text), value)
    return Reference(name=name, args=plain(arguments))


def _guard(reading: Reading, node: Node, path: Path) -> Guard:
    reading.places.put(path, node)
    operator = node.pairs[0][0].text if isinstance(node, MapNode) and len(node.pairs) == 1 else ""
    if not isinstance(node, MapNode) or operator not in _OPERATORS:
        return Guard(op="ref", ref=_reference(reading, node, path))
    value = node.pairs[0][1]
    at = (*path, operator)
    if operator == "not":
        return Guard(op="not", items=(_guard(reading, value, at),))
    if not isinstance(value, ListNode) or not value.items:
        reading.note(value, at, f"must be a list of guards, not {describe(value)}", "wrong-type")
        return BLANK_GUARD
    count = len(value.items)
    items = tuple(_guard(reading, item, numbered(at, index, count)) for index, item in enumerate(value.items))
    return Guard(op="all" if operator == "all" else "any", items=items)


def _references(reading: Reading, node: Node, path: Path, key: Key) -> tuple[Reference, ...] | None:
    if not isinstance(node, ListNode):
        reading.wrong(node, path, "a list of checks")
        return None
    count = len(node.items)
    return tuple(_reference(reading, item, numbered(path, index, count)) for index, item in enumerate(node.items))


def _cleanup(reading: Reading, node: Node, path: Path, key: Key) -> tuple[CleanupEntry, ...]:
    if not isinstance(node, ListNode):
        reading.wrong(node, path, "a list of clean-up entries")
        return (CleanupEntry(release=""),)
    count = len(node.items)
    return tuple(_cleanup_entry(reading, item, numbered(path, index, count)) for index, item in enumerate(node.items))


def _cleanup_entry(reading: Reading, node: Node, path: Path) -> CleanupEntry:
    reading.places.put(path, node)
    if isinstance(node, ScalarNode):
        return CleanupEntry(release=word(reading, node, path, "a kind of resource") or "")
    return _build(CleanupEntry, reading, node, path, forms.CLEANUP)


READERS: Final[Mapping[str, leaves.Reader]] = MappingProxyType(
    {
        "text": leaves.text,
        "name": leaves.name,
        "names": leaves.names,
        "flag": leaves.flag,
        "count": leaves.count,
        "duration": leaves.duration,
        "size": leaves.size,
        "version": leaves.version,
        "senders": leaves.senders,
        "payload": leaves.payload,
        "machines": _machines,
        "states": _states,
        "events": _events,
        "owns": _owns,
        "renamed": _renamed,
        "transitions": _transitions,
        "accept": _accept,
        "timers": _timers,
        "option": _option,
        "steps": _steps,
        "step": _step,
        "references": _references,
        "cleanup": _cleanup,
        "arguments": lambda reading, node, path, key: node,
        "reference": lambda reading, node, path, key: _reference(reading, node, path),
        "guard": lambda reading, node, path, key: _guard(reading, node, path),
        "retry": lambda reading, node, path, key: _build(Retry, reading, node, path, forms.RETRY),
        "limits": lambda reading, node, path, key: _build(Limits, reading, node, path, forms.LIMITS),
        "health": lambda reading, node, path, key: _build(Health, reading, node, path, forms.HEALTH),
    }
)
