"""`steward check` and `steward diagram`: a lifecycle file read, its mistakes told, what it says drawn."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.diagram import dot, mermaid, ownership_dot, ownership_mermaid, write
from engine.errors import Diagnostic, RegistryError, SpecError
from engine.loader import load_spec
from engine.registry import Registry
from engine.spec import Spec

from .config import Settings


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


def load_handlers(settings: Settings) -> Registry:
    """Raises RegistryError. Modules beside the place where steward was called are found too."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return Registry.of(*settings.handlers)


def diagnose(settings: Settings) -> Finding:
    file = settings.lifecycle
    try:
        return Finding(file, 0, spec=load_spec(file, load_handlers(settings)))
    except SpecError as error:
        return Finding(file, 1 if error.is_readable else 2, diagnostics=error.diagnostics)
    except (RegistryError, OSError) as error:
        return Finding(file, 2, error=str(error))


def draw(spec: Spec, form: str, kind: str | None, output: Path | None) -> Iterator[str]:
    """The pictures as text, or the paths they were written to. Raises OSError."""
    if output is not None and kind is None:
        yield from (str(path) for path in write(spec, output))
        return
    machine_text, ownership_text = (dot, ownership_dot) if form == "dot" else (mermaid, ownership_mermaid)
    kinds = spec.machines if kind is None else [kind]
    texts = {name: machine_text(spec.machines[name]) for name in kinds}
    if kind is None:
        texts["who-owns-whom"] = ownership_text(spec)
    for name, text in texts.items():
        if output is None:
            yield text
            continue
        output.mkdir(parents=True, exist_ok=True)
        path = output / f"{name}.{'dot' if form == 'dot' else 'mmd'}"
        path.write_text(text)
        yield str(path)
