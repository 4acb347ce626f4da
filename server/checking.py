"""`steward check`: a lifecycle file read, its mistakes told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import Diagnostic, RegistryError, SpecError
from engine.loader import load_spec
from engine.spec import Spec

from .config import Settings
from .loading import load_handlers


@dataclass(frozen=True, slots=True)
class Finding:
    """A file's spec, or why there is none. exit_code: 0 clean, 1 problems, 2 not readable."""

    file: Path
    exit_code: int
    spec: Spec | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    error: str = ""

    def plain(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "ok": self.spec is not None,
            "error": self.error or None,
            "diagnostics": [asdict(item) for item in self.diagnostics],
        }

    def lines(self) -> Iterator[str]:
        yield from (str(item) for item in self.diagnostics)
        if self.error:
            yield self.error
        if self.spec is not None:
            kinds = ", ".join(f"{kind} ({len(machine.states)} states)" for kind, machine in self.spec.machines.items())
            yield f"{self.file}: no problems; machines: {kinds}"
        elif self.diagnostics:
            count = len(self.diagnostics)
            yield f"{count} problem{'s' if count > 1 else ''} in {self.file}"


def advice(error: SpecError) -> str:
    """What helps who has no file (yet)."""
    if any(item.code == "missing-file" for item in error.diagnostics):
        return (
            "\n`steward init DIR` makes a project with a lifecycle file; "
            "--lifecycle FILE, or lifecycle in steward.toml, names another"
        )
    return ""


def diagnose(settings: Settings) -> Finding:
    file = settings.lifecycle
    try:
        return Finding(file, 0, spec=load_spec(file, load_handlers(settings)))
    except SpecError as error:
        code = 1 if error.is_readable else 2
        return Finding(file, code, diagnostics=error.diagnostics, error=advice(error).strip())
    except (RegistryError, OSError) as error:
        return Finding(file, 2, error=str(error))
