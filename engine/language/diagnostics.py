"""Collecting every mistake of a file: stable codes, places, and what the author probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ..errors import Diagnostic
from .document import Path, Place, ScalarNode, Spot, show

NAMES_SHOWN_MAX: Final = 8  # longer lists of choices do not help anyone
NAME_SHOWN_MAX: Final = 64
NAMES_COMPARED_MAX: Final = 500  # a file of nothing but mistakes must not take minutes to refuse

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # The file is not a document that could be checked.
        "missing-file": "there is no such file, or it cannot be read",
        "too-large": "the file is larger than 1 MiB",
        "not-utf8": "the file is not UTF-8 text",
        "bad-character": "NUL or another control character, as itself or as an escape",
        "yaml-syntax": "the text is not YAML",
        "several-documents": "more than one YAML document in a file",
        "too-deep": "more than 50 levels of nesting, aliases written out",
        "too-many-nodes": "more than 50,000 nodes, aliases written out",
        "too-many-aliases": "more than 1,000 aliases",
        "alias-cycle": "an alias inside the node it stands for",
        "unknown-alias": "an alias without an anchor before it",
        # YAML that is read differently by different readers.
        "duplicate-key": "a key written twice in one mapping; other readers let one of them win silently",
        "duplicate-anchor": "an anchor name used twice",
        "merge-key": "the merge key `<<`; the language has no inheritance",
        "custom-tag": "a tag (`!…`); values are plain data",
        "wrong-key": "a list or a mapping as a key",
        "ambiguous-scalar": "plain text that YAML 1.1 reads as something else: `on`, `yes`, `1:30`, a date, `0x1f`",
        # Form.
        "wrong-type": "a list where a name belongs, a number where text belongs, an empty list, and the like",
        "unknown-key": "a key the language does not have here",
        "missing-key": "a key that is needed here",
        "bad-version": "a version of the language that this release does not read",
        "bad-name": "a name that is not lower-case letters, digits and underscores",
        "bad-number": "a number outside its range",
        "bad-duration": "not a duration such as 250ms, 30s, 5m, 8h, 1d, not longer than zero, or a most below it",
        "bad-size": "not a size such as 64KB or 256MB",
        "bad-payload-type": "not a payload type",
        "duplicate-item": "the same name twice in a list",
        # Names.
        "unknown-state": "a state the machine does not have",
        "unknown-event": "an event neither declared nor the engine's own",
        "unknown-kind": "a machine that is not in the file",
        "unknown-sender": "not one of client, admin, parent, child",
        "unknown-handler": "no handler of this name is registered",
        "unknown-resource": "a kind of resource the machine's clean-up does not list",
        "wrong-role": "a handler of another role: an action as a guard, and so on",
        "wrong-argument": "arguments that the handler does not take",
        "unknown-code": "an `accept` of what is no warning of `steward check`",
        "reserved-event": "an event declared under a name that belongs to the engine",
        # Ownership.
        "owned-twice": "a kind that two kinds own; ownership is a tree",
        "ownership-cycle": "a kind that owns itself, directly or through others",
        "roots-only": "a limit that counts roots, or an `option` of a time limit, on a kind that is owned",
        "no-parent": "an event from a parent, on a kind nobody owns",
        "no-child": "children where the kind owns none",
        "stop-unhandled": "an owned kind with a state that does not take `stop`",
        # States.
        "final-state": "a final state that does something, or is also quarantine",
        "initial-state": "an initial state that is final or quarantine",
        "done-without-run": "`done` in a state without `run`",
        "failed-unhandled": "a state where a handler can fail and nothing takes `failed`",
        "unbounded-run": "a step of `run` without `timeout` in a state without `after`",
        "defer-handled": "an event that a state both defers and lists",
        "quarantine-state": "a quarantine state that does something, or on a kind that is owned",
        "quarantine-event": "a quarantine state left by anything but events from admin alone",
        "quarantine-exit": "a quarantine state that no event leaves",
        "quarantine-entry": "quarantine entered from a state that does not run the full cleanup",
        "cleanup-left": "a state of the full cleanup left by anything but `done` and `failed`",
        "renamed-state": "a renamed state that is still there",
        # Resources.
        "cleanup-place": "`cleanup` outside `run`",
        "write-off-place": "`write_off` anywhere but in the `do` of an event from admin alone",
        "no-release": "a kind of resource that is acquired and has no clean-up entry",
        "no-probe": "a kind of resource without a probe that could see whether it is gone",
        "never-acquired": "a clean-up entry for a kind that no action of the machine acquires",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake before its place is looked up. path is that of the expanded file, without `machines`."""

    path: Path
    message: str
    code: str
    hint: str = ""


class Findings:
    """The mistakes of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: list[Diagnostic] = []

    def add(self, at: Place, path: Path, message: str, code: str, hint: str = "") -> None:
        """Note one mistake, unless the loader has already said what is wrong with that scalar."""
        assert code in CODES, f"the code {code!r} is not in the table"
        if isinstance(at, ScalarNode) and at.is_reported:
            return
        self._found.append(Diagnostic(self.file, at.line, at.column, show_path(path), message, code, hint))

    def sorted(self) -> tuple[Diagnostic, ...]:
        """In the file's order; a mistake in a node with aliases is reported once, where it is written."""
        seen: dict[tuple[int, int, str, str], Diagnostic] = {}
        for item in self._found:
            seen.setdefault((item.line, item.column, item.code, item.message), item)
        return tuple(sorted(seen.values(), key=lambda item: (item.line, item.column)))

    def __len__(self) -> int:
        return len(self._found)


class Places:
    """Where the parts of the expanded file were written; of a part that was not, the nearest that holds it."""

    def __init__(self) -> None:
        self._spots: dict[Path, Place] = {}

    def put(self, path: Path, at: Place) -> None:
        self._spots[path] = at

    def __getitem__(self, path: Path) -> Place:
        for length in range(len(path), -1, -1):
            if (spot := self._spots.get(path[:length])) is not None:
                return spot
        return Spot()


def show_path(path: Path) -> str:
    """On one line and readable, whatever an author used as a key."""
    parts = path[1:] if path[:1] == ("machines",) and len(path) > 1 else path
    return ".".join(_readable(part) for part in parts)


def _readable(name: str) -> str:
    return name if name.isprintable() and len(name) < NAME_SHOWN_MAX else show(name)


def meant(name: str, known: Collection[str]) -> str:
    """A hint for a name that is not known: the nearest one, else the choices if they are few."""
    if len(known) > NAMES_COMPARED_MAX:
        return ""
    names = sorted(known)
    if near := difflib.get_close_matches(name[:80], names, 1, 0.6):
        return f"did you mean {show(near[0])}?"
    if 0 < len(names) <= NAMES_SHOWN_MAX:
        return f"known here: {', '.join(map(_readable, names))}"
    return ""
