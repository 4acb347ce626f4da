"""What a proof came to: findings with their stories, those that the file accepts, and bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import Diagnostic
from ..language.diagnostics import Places, show_path
from ..language.document import Path
from ..spec import Spec
from .explain import EXPLANATIONS
from .stories import Story


@dataclass(frozen=True, slots=True)
class Finding:
    """Something proved wrong. path: its place in the expanded file; path[0] is the kind."""

    path: Path
    code: str
    message: str
    story: Story | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A finding with its line. reason: why the file accepts it, if it does."""

    finding: Finding
    diagnostic: Diagnostic
    reason: str = ""

    @property
    def is_warning(self) -> bool:
        return EXPLANATIONS[self.finding.code].is_warning

    def lines(self) -> Iterator[str]:
        yield str(self.diagnostic) + (f" accepted: {self.reason}" if self.reason else "")
        if self.finding.story is not None:
            yield f"    {self.finding.story}"

    def plain(self) -> dict[str, Any]:
        one = self.diagnostic
        return {
            "file": one.file,
            "line": one.line,
            "column": one.column,
            "path": one.path,
            "message": one.message,
            "code": one.code,
            "hint": one.hint,
            "severity": "warning" if self.is_warning else "problem",
            "accepted": self.reason or None,
            "story": str(self.finding.story) if self.finding.story is not None else None,
        }


def placed(findings: Iterable[Finding], spec: Spec, places: Places, file: str) -> tuple[Placed, ...]:
    """In the file's order, each once, with what the file accepts marked; an acceptance that accepts nothing is a
    finding itself."""
    given = dict(_acceptances(spec))
    used: set[Path] = set()
    found: dict[tuple[int, int, str, str], Placed] = {}
    for finding in findings:
        at = _acceptance_of(finding, given)
        if at is not None:
            used.add(at)
        one = _place(finding, places, file, given.get(at or (), ""))
        key = one.diagnostic.line, one.diagnostic.column, finding.code, finding.message
        found.setdefault(key, one)
    for path in given.keys() - used:
        message = f"there is no {path[-1]!r} to accept here"
        one = _place(Finding(path, "accepts-nothing", message, hint="take the line out"), places, file, "")
        found[one.diagnostic.line, one.diagnostic.column, one.finding.code, message] = one
    return tuple(sorted(found.values(), key=lambda one: (one.diagnostic.line, one.diagnostic.column, one.finding.code)))


def _place(finding: Finding, places: Places, file: str, reason: str) -> Placed:
    at = places[finding.path]
    path = show_path(finding.path)
    return Placed(
        finding, Diagnostic(file, at.line, at.column, path, finding.message, finding.code, finding.hint), reason
    )


def _acceptances(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Each `accept: {code: reason}` with its path."""
    for kind, machine in spec.machines.items():
        for code, reason in machine.accept.items():
            yield (kind, "accept", code), reason
        for name, state in machine.states.items():
            for code, reason in state.accept.items():
                yield (kind, "states", name, "accept", code), reason


def _acceptance_of(finding: Finding, given: Mapping[Path, str]) -> Path | None:
    """The state's own, else the machine's. Only warnings can be accepted."""
    if not EXPLANATIONS[finding.code].is_warning:
        return None
    kind = finding.path[0]
    holders: list[Path] = [(kind, "accept", finding.code)]
    if finding.path[1:2] == ("states",) and len(finding.path) > 2:
        holders.insert(0, (kind, "states", finding.path[2], "accept", finding.code))
    return next((holder for holder in holders if holder in given), None)
