"""`steward diagram`: pictures of a lifecycle file for a terminal or a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.drawing import render
from engine.drawing.diagram import SUFFIXES, names, states, text, write
from engine.errors import StewardError
from engine.proofs.drawing import draw
from engine.spec import Spec

from .checking import Finding

IMAGES: Final = ("svg", "png")
WRITTEN: Final = ("dot", "mermaid", "svg")  # if no form is asked for; a PNG is neither small nor the same everywhere


class DrawError(StewardError):
    """What was asked for cannot be drawn. exit_code: 2 for what was asked wrongly."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Wanted:
    """form and machine None: whatever fits the place."""

    spec: Spec
    form: str | None
    machine: str | None
    highlight: str | None

    def names(self) -> tuple[str, ...]:
        """The pictures that are meant. Raises DrawError."""
        known = names(self.spec)
        if self.machine is not None and self.machine not in known:
            raise DrawError(f"no machine {self.machine!r}; there are: {', '.join(known)}", 2)
        if self.highlight is not None:
            self._check_highlight(self.highlight)
        return known if self.machine is None else (self.machine,)

    def _check_highlight(self, state: str) -> None:
        homes = [name for name in self.spec.machines if state in states(self.spec, name)]
        if self.machine is None:
            having = f": {', '.join(homes)}" if homes else "; no machine has that state"
            raise DrawError(f"--highlight {state} needs --machine KIND{having}", 2)
        if state not in (known := states(self.spec, self.machine)):
            raise DrawError(f"no state {state!r} in {self.machine}; there are: {', '.join(known)}", 2)


def drawn(wanted: Wanted) -> bytes:
    """What goes to standard output. Raises DrawError."""
    form = wanted.form or "mermaid"
    found = wanted.names()
    if form in IMAGES and len(found) > 1:
        raise DrawError(f"{form} is one picture: say which with --machine KIND, or where to put all with -o DIR", 2)
    if form == "png" and sys.stdout.isatty():
        raise DrawError("a terminal cannot show a PNG: send it to a file, or say -o DIR", 2)
    return b"".join(_image(wanted, name, form) for name in found)


def written(wanted: Wanted, output: Path, warn: Callable[[str], None]) -> Iterator[str]:
    """Write the pictures into output; the paths. Raises DrawError or OSError."""
    found = wanted.names()
    if wanted.form is None and wanted.machine is None:
        yield from _everything(wanted.spec, output, warn)
        return
    output.mkdir(parents=True, exist_ok=True)
    for name in found:
        for form in WRITTEN if wanted.form is None else (wanted.form,):
            path = output / f"{name}{SUFFIXES[form]}"
            path.write_bytes(_image(wanted, name, form))
            yield str(path)


def _everything(spec: Spec, output: Path, warn: Callable[[str], None]) -> Iterator[str]:
    """What is asked for by nobody in particular is made as far as it can be."""
    try:
        paths = write(spec, output, render.svg)
    except render.NoGraphvizError as error:
        warn(f"no SVG was drawn: {error}")
        paths = write(spec, output)
    except render.RenderError as error:
        raise DrawError(str(error)) from None
    yield from map(str, paths)


def write_story(found: Finding, output: Path) -> str:
    """Draw the first finding that has a way to get there; what was drawn. Raises DrawError or OSError."""
    form = next((form for form, suffix in SUFFIXES.items() if suffix == output.suffix), None)
    if form is None:
        raise DrawError(f"{output} is no name of a picture: it ends in {', '.join(SUFFIXES.values())}", 2)
    told = found.proved.open if found.proved is not None else ()
    one = next((one for one in told if one.finding.story is not None), None)
    if one is None or found.spec is None:
        return f"{output} was not drawn: there is no finding with a way to get there"
    notation = "mermaid" if form == "mermaid" else "dot"
    source = draw(found.spec, one.finding, notation)
    output.write_bytes(source.encode() if form not in IMAGES else _rendered(source, one.finding.path[0], form))
    return f"{output}: {one.diagnostic.code} in line {one.diagnostic.line}"


def _image(wanted: Wanted, name: str, form: str) -> bytes:
    if form not in IMAGES:
        return text(wanted.spec, name, form, wanted.highlight).encode()
    return _rendered(text(wanted.spec, name, "dot", wanted.highlight), name, form)


def _rendered(source: str, name: str, form: str) -> bytes:
    try:
        return render.svg(source) if form == "svg" else render.png(source)
    except render.NoGraphvizError as error:
        raise DrawError(f"{error}; --format dot and --format mermaid need nothing") from None
    except render.RenderError as error:
        raise DrawError(f"{name}: {error}") from None
