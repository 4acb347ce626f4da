"""`steward check`: a lifecycle file read, its mistakes told, and what can be proved of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import Diagnostic, RegistryError, SpecError, StewardError
from engine.language.diagnostics import CODES
from engine.language.sentences import unknown
from engine.loader import load
from engine.proofs.explain import ACCEPTABLE, EXPLANATIONS
from engine.proofs.prove import Proved, prove
from engine.registry import Registry
from engine.spec import Spec

from .config import Settings
from .loading import load_handlers

log = logging.getLogger("steward.checking")


@dataclass(frozen=True, slots=True)
class Finding:
    """A file's spec, or why there is none. exit_code: 0 clean, 1 problems, 2 not readable. proved: None if nobody
    asked for proofs."""

    file: Path
    exit_code: int
    spec: Spec | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    error: str = ""
    proved: Proved | None = None

    def plain(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "ok": self.exit_code == 0,
            "error": self.error or None,
            "diagnostics": [asdict(item) for item in self.diagnostics],
            "findings": [one.plain() for one in self.proved.findings] if self.proved is not None else [],
            "bounds": [one.plain() for one in self.proved.lengths] if self.proved is not None else [],
        }

    def lines(self) -> Iterator[str]:
        yield from (str(item) for item in self.diagnostics)
        if self.error:
            yield self.error
        open_findings = self.proved.open if self.proved is not None else ()
        for one in open_findings:
            yield from one.lines()
        if open_findings:
            yield f"{_count(len(open_findings), 'finding')} in {self.file}; --explain CODE says more"
        elif self.spec is not None:
            kinds = ", ".join(f"{kind} ({len(machine.states)} states)" for kind, machine in self.spec.machines.items())
            yield f"{self.file}: no problems; machines: {kinds}"
        elif self.diagnostics:
            yield f"{_count(len(self.diagnostics), 'problem')} in {self.file}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"


def advice(error: SpecError, naming: str = "--lifecycle FILE") -> str:
    """What helps who has no file (yet). naming: how the command is given another one."""
    if any(item.code == "missing-file" for item in error.diagnostics):
        return (
            "\n`steward init DIR` makes a project with a lifecycle file; "
            f"{naming}, or lifecycle in steward.toml, names another"
        )
    return ""


def diagnose(settings: Settings, *, proves: bool = False) -> Finding:
    """proves: also what no single line shows."""
    file = settings.lifecycle
    try:
        registry = load_handlers(settings)
        loaded = load(file, registry)
        proved = prove(loaded.spec, registry, loaded.places, loaded.name) if proves else None
        return Finding(file, 1 if proved is not None and proved.open else 0, spec=loaded.spec, proved=proved)
    except SpecError as error:
        code = 1 if error.is_readable else 2
        return Finding(
            file, code, diagnostics=error.diagnostics, error=advice(error, naming="FILE behind the command").strip()
        )
    except (RegistryError, OSError) as error:
        return Finding(file, 2, error=str(error))


def sound_spec(file: Path, registry: Registry) -> Spec:
    """What a server may run: a file of which no problem is proved. Warnings go to the log.

    Raises SpecError, or StewardError with each problem and the way to it.
    """
    loaded = load(file, registry)
    proved = prove(loaded.spec, registry, loaded.places, loaded.name)
    problems = [line for one in proved.open if not one.is_warning for line in one.lines()]
    if problems:
        raise StewardError("\n".join([f"{file} is not served, for this is proved of it:", *problems]))
    for one in proved.open:
        log.warning("%s", one.diagnostic)
    return loaded.spec


def bounds(found: Finding) -> Iterator[str]:
    """When each kind is at its end, and for how long its states hear nothing."""
    for one in found.proved.lengths if found.proved is not None else ():
        yield ""
        yield from one.lines()


def no_code(code: str) -> str:
    return unknown("code", code, [*EXPLANATIONS, *CODES])


def explained(code: str) -> str:
    """What a code means; "" if there is none of that name."""
    if (known := EXPLANATIONS.get(code)) is not None:
        sort = "a warning, which the file may accept" if code in ACCEPTABLE else "a problem"
        return f"{code}: {known.short} ({sort})\n\n{known.text}"
    return f"{code}: {CODES[code]}" if code in CODES else ""
