"""A spec drawn: which pictures there are, their texts in DOT and Mermaid, and the folder that holds them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..spec import Machine, Spec
from . import dot as dot_notation
from . import mermaid as mermaid_notation
from .palette import STYLE
from .picture import OWNERSHIP, Picture, machine_picture, ownership_picture

MADE: Final = "made by `steward diagram` from the lifecycle file; change that, not this"
SUFFIXES: Final = {"dot": ".dot", "mermaid": ".mmd", "svg": ".svg", "png": ".png"}

Render = Callable[[str], bytes]


def names(spec: Spec) -> tuple[str, ...]:
    """What can be drawn: each machine by its kind, and who owns whom."""
    return (*spec.machines, OWNERSHIP)


def picture(spec: Spec, name: str) -> Picture:
    """name: one of names(spec)."""
    return ownership_picture(spec) if name == OWNERSHIP else machine_picture(spec.machines[name])


def states(spec: Spec, name: str) -> tuple[str, ...]:
    """What can be highlighted in a picture: a machine's states; of who owns whom, the kinds."""
    return tuple(spec.machines) if name == OWNERSHIP else tuple(spec.machines[name].states)


def text(spec: Spec, name: str, form: str, highlight: str | None = None) -> str:
    """form: dot or mermaid. highlight: one of states(spec, name)."""
    return notation(form)(picture(spec, name), MADE, highlight)


def notation(form: str) -> Callable[[Picture, str, str | None], str]:
    """What writes a picture in a form."""
    return mermaid_notation.mermaid if form == "mermaid" else dot_notation.dot


def dot(machine: Machine, highlight: str | None = None) -> str:
    """The machine in DOT."""
    return dot_notation.dot(machine_picture(machine), MADE, highlight)


def mermaid(machine: Machine, highlight: str | None = None) -> str:
    """The machine as a Mermaid flowchart."""
    return mermaid_notation.mermaid(machine_picture(machine), MADE, highlight)


def files(spec: Spec) -> dict[str, str]:
    """File name -> text of everything in `diagrams/` that is the same wherever it is made."""
    return {f"{name}{SUFFIXES[form]}": text(spec, name, form) for name in names(spec) for form in ("dot", "mermaid")}


def write(spec: Spec, directory: Path, render: Render | None = None) -> list[Path]:
    """Write files(spec) into directory and remove drawings of machines that are gone; return what was written.

    render: DOT -> SVG; with it an SVG beside each, drawn again only if its DOT or its style has changed: another
    release of Graphviz, or other fonts, would give other bytes for the same picture. directory is made if it is not
    there. Raises OSError, and what render raises.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for path in stale(spec, directory):
        path.unlink()
    written = []
    for name, content in files(spec).items():
        path = directory / name
        path.write_text(content, encoding="utf-8")
        written.append(path)
        if render is not None and path.suffix == ".dot":
            written.append(_write_svg(path.with_suffix(".svg"), content, render))
    return written


def _write_svg(path: Path, source: str, render: Render) -> Path:
    if _drawn_from(path) != digest(source):
        path.write_bytes(render(source))
    return path


def digest(source: str) -> str:
    """Of a DOT text and the style sheet that its SVG gets; an SVG carries that of what it was made from."""
    return hashlib.sha256(f"{source}{STYLE}".encode()).hexdigest()[:32]


def _drawn_from(path: Path) -> str | None:
    found = re.search(r'data-source="([0-9a-f]+)"', _read(path) or "")
    return found[1] if found else None


def stale(spec: Spec, directory: Path) -> list[Path]:
    """Drawings in directory that this project made of machines the spec no longer has."""
    known = {Path(name).stem for name in files(spec)}
    drawn = (path for path in sorted(directory.glob("*")) if path.suffix in (".dot", ".mmd", ".svg"))
    return [path for path in drawn if path.stem not in known and _is_ours(path)]


def _is_ours(path: Path) -> bool:
    return MADE in (_read(path) or "") or _drawn_from(path) is not None


def outdated(spec: Spec, directory: Path) -> list[str]:
    """Names of files in directory that `write` would change, make or remove, sorted.

    An SVG is looked at only if it is there: it takes Graphviz to make one.
    """
    texts = files(spec)
    differing = [name for name, content in texts.items() if _read(directory / name) != content]
    drawn = {name: directory / f"{Path(name).stem}.svg" for name in texts if name.endswith(".dot")}
    old = [path.name for name, path in drawn.items() if path.is_file() and _drawn_from(path) != digest(texts[name])]
    return sorted([*differing, *old, *(path.name for path in stale(spec, directory))])


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
