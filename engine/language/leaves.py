"""Reading the ends of the tree: names, numbers, durations, payload types. Each gives None for what it had to refuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ..spec import LANGUAGE_VERSION, SENDERS
from ..units import DURATION_S_MAX, TooLong, parse_duration, parse_size, show_duration
from .diagnostics import Findings, Places, meant
from .document import ListNode, MapNode, Node, Path, Place, ScalarNode, describe, numbered, show
from .forms import FIELD_PATTERN, NAME_PATTERN, Key
from .payload import TYPE_NAMES, compile_type

_NAME: Final = re.compile(NAME_PATTERN)
_FIELD: Final = re.compile(FIELD_PATTERN)


@dataclass(frozen=True, slots=True)
class Reading:
    """One file being read: where its mistakes and its places go."""

    findings: Findings
    places: Places

    def note(self, at: Place, path: Path, message: str, code: str, hint: str = "") -> None:
        self.findings.add(at, path, message, code, hint)

    def wrong(self, node: Node, path: Path, wanted: str, hint: str = "") -> None:
        self.note(node, path, f"must be {wanted}, not {describe(node)}", "wrong-type", hint)


def text(reading: Reading, node: Node, path: Path, key: Key) -> str | None:
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        return node.value
    reading.wrong(node, path, "text", "quote it" if isinstance(node, ScalarNode) and node.text else "")
    return None


def word(reading: Reading, node: Node, path: Path, wanted: str = "a name") -> str | None:
    """A name that is used here and declared elsewhere, so only its existence matters."""
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value:
        return node.value
    reading.wrong(node, path, wanted)
    return None


def name(reading: Reading, node: Node, path: Path, key: Key) -> str | None:
    return word(reading, node, path)


def flag(reading: Reading, node: Node, path: Path, key: Key) -> bool | None:
    if isinstance(node, ScalarNode) and isinstance(node.value, bool):
        return node.value
    reading.wrong(node, path, "true or false")
    return None


def count(reading: Reading, node: Node, path: Path, key: Key) -> int | None:
    if not isinstance(node, ScalarNode) or not isinstance(node.value, int) or isinstance(node.value, bool):
        reading.wrong(node, path, "a whole number")
        return None
    if not key.least <= node.value <= key.most:
        message = f"must be from {key.least:,} to {key.most:,}, not {node.text}"
        reading.note(node, path, message, "bad-number")
        return None
    return node.value


def duration(reading: Reading, node: Node, path: Path, key: Key) -> float | None:
    return seconds(reading, node, path)


def seconds(reading: Reading, node: Node, path: Path) -> float | None:
    if not isinstance(node, ScalarNode):
        reading.wrong(node, path, "a duration")
        return None
    try:
        found = parse_duration(node.text)
    except TooLong:
        longest = show_duration(DURATION_S_MAX)
        reading.note(node, path, f"{show(node.text)} is too long", "bad-duration", f"the longest is {longest}")
        return None
    except ValueError:
        hint = "write a number with its unit: 250ms, 30s, 5m, 8h or 1d"
        reading.note(node, path, f"{show(node.text)} is not a duration", "bad-duration", hint)
        return None
    if found <= 0:
        reading.note(node, path, "must be longer than zero", "bad-duration")
        return None
    return found


def size(reading: Reading, node: Node, path: Path, key: Key) -> int | None:
    if not isinstance(node, ScalarNode):
        reading.wrong(node, path, "a size")
        return None
    try:
        return parse_size(node.text)
    except ValueError:
        hint = "write a number with its unit: 512B, 64KB, 256MB or 1GB"
        reading.note(node, path, f"{show(node.text)} is not a size", "bad-size", hint)
        return None


def version(reading: Reading, node: Node, path: Path, key: Key) -> int | None:
    if isinstance(node, ScalarNode) and node.value == LANGUAGE_VERSION and not isinstance(node.value, bool):
        return LANGUAGE_VERSION
    message = f"this release reads version {LANGUAGE_VERSION} of the language, not {describe(node)}"
    reading.note(node, path, message, "bad-version")
    return None


def names(reading: Reading, node: Node, path: Path, key: Key) -> tuple[str, ...] | None:
    if not isinstance(node, ListNode):
        reading.wrong(node, path, "a list of names")
        return None
    found: dict[str, Node] = {}
    for index, item in enumerate(node.items):
        given = word(reading, item, numbered(path, index, len(node.items)))
        if given is not None and given in found:
            reading.note(item, (*path, given), f"{show(given)} is in the list already", "duplicate-item")
        elif given is not None:
            found[given] = item
            reading.places.put((*path, given), item)
    return tuple(found)


def senders(reading: Reading, node: Node, path: Path, key: Key) -> tuple[str, ...] | None:
    given = names(reading, node, path, key)
    if given is None:
        return None
    if not given and isinstance(node, ListNode) and not node.items:
        reading.note(node, path, "nobody may send this event", "wrong-type", f"known here: {', '.join(SENDERS)}")
    for sender in given:
        if sender not in SENDERS:
            at = (*path, sender)
            reading.note(reading.places[at], at, f"no sender {show(sender)}", "unknown-sender", meant(sender, SENDERS))
    return tuple(sender for sender in given if sender in SENDERS) or None


def payload(reading: Reading, node: Node, path: Path, key: Key) -> dict[str, str]:
    types: dict[str, str] = {}
    for field, value in pairs(reading, node, path, "field: type"):
        at = (*path, field.text)
        if not _FIELD.fullmatch(field.text):
            reading.note(field, at, f"{show(field.text)} is not a field name", "bad-name")
        try:
            types[field.text] = compile_type(_type_text(value)).type
        except ValueError as error:
            reading.note(value, at, str(error), "bad-payload-type", _type_hint(value))
    return types


def _type_text(node: Node) -> str:
    """`[str]` is a list to YAML; here it is a type."""
    if isinstance(node, ScalarNode):
        return node.text
    if isinstance(node, ListNode) and len(node.items) == 1:
        return f"[{_type_text(node.items[0])}]"
    raise ValueError(f"{describe(node)} is not a payload type")


def _type_hint(node: Node) -> str:
    while isinstance(node, ListNode) and len(node.items) == 1:
        node = node.items[0]
    if not isinstance(node, ScalarNode):
        return "a list of T is [T]"
    base = node.text.partition("|")[0].strip("[] ")
    return meant(base, TYPE_NAMES) if base not in TYPE_NAMES else "T | None may be left out; [T] is a list"


def pairs(reading: Reading, node: Node, path: Path, wanted: str) -> Iterator[tuple[ScalarNode, Node]]:
    """The pairs of an open mapping, the place of each noted; nothing if it is none."""
    if not isinstance(node, MapNode):
        reading.wrong(node, path, f"a mapping of {wanted}")
        return
    for key, value in node.pairs:
        reading.places.put((*path, key.text), key)
        yield key, value


def declared(reading: Reading, node: Node, path: Path, noun: str) -> Iterator[tuple[str, Node, Path]]:
    """The pairs of a mapping whose keys are names the author gives."""
    for key, value in pairs(reading, node, path, f"{noun} names"):
        at = (*path, key.text)
        if not _NAME.fullmatch(key.text):
            hint = "lower-case letters, digits and _, a letter first, at most 63"
            reading.note(key, at, f"{show(key.text)} is no name for {noun}", "bad-name", hint)
        yield key.text, value, at


Reader = Callable[[Reading, Node, Path, Key], object]
