"""A spec drawn: as DOT for Graphviz and as Mermaid for pages that render it, both plain text and deterministic.

Shape, not only colour, tells states apart: a component works (it has a `run`), a double ellipse is an end, an octagon
(in Mermaid a hexagon) waits for a person, a dot points at the initial state. Thick arrows were asked for by someone
outside the actor, thin ones are its own, dashed ones are time.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from .picture import Edge, Node, Picture, Shape, Style, machine_picture, ownership_picture
from .spec import Machine, Spec

OWNERSHIP: Final = "who-owns-whom"  # beside the machines' own files; no kind can have a hyphen
MADE: Final = "made by `steward diagram` from the lifecycle file; change that, not this"

DOT_SHAPES: Final[Mapping[Shape, str]] = MappingProxyType(
    {
        "plain": 'shape=box, style="rounded,filled", fillcolor="#ffffff"',
        "activity": 'shape=component, style=filled, fillcolor="#e3effb"',
        "final": 'shape=ellipse, peripheries=2, style=filled, fillcolor="#e4e4e4"',
        "quarantine": 'shape=octagon, style=filled, fillcolor="#fbdcd7"',
        "anywhere": 'shape=box, style="rounded,dashed"',
        "note": 'shape=note, style=filled, fillcolor="#fdf6d8", fontsize=10',
    }
)
DOT_STYLES: Final[Mapping[Style, str]] = MappingProxyType(
    {
        "asked": 'style=solid, penwidth=2, color="#1f4e79"',
        "own": 'style=solid, penwidth=1, color="#404040"',
        "time": 'style=dashed, penwidth=1, color="#8a5a00"',
    }
)
MERMAID_SHAPES: Final[Mapping[Shape, tuple[str, str]]] = MappingProxyType(
    {
        "plain": ("(", ")"),
        "activity": ("[[", "]]"),
        "final": ("(((", ")))"),
        "quarantine": ("{{", "}}"),
        "anywhere": ("([", "])"),
        "note": (">", "]"),
    }
)
MERMAID_ARROWS: Final[Mapping[Style, str]] = MappingProxyType({"asked": "==>", "own": "-->", "time": "-.->"})
MERMAID_CLASSES: Final = (
    "classDef plain fill:#ffffff,stroke:#404040,color:#000000",
    "classDef activity fill:#e3effb,stroke:#1f4e79,color:#000000",
    "classDef final fill:#e4e4e4,stroke:#404040,color:#000000",
    "classDef quarantine fill:#fbdcd7,stroke:#a02c1c,color:#000000",
    "classDef anywhere fill:#ffffff,stroke:#404040,color:#000000,stroke-dasharray:4 3",
    "classDef note fill:#fdf6d8,stroke:#b8a040,color:#000000,text-align:left",
    "classDef start fill:#000000,stroke:#000000,color:#000000",
)
# What ends a label or begins something else inside one; Mermaid writes a character as #NN;.
MERMAID_SPECIAL: Final = frozenset('"#&;<>`')


def dot(machine: Machine) -> str:
    """The machine in DOT."""
    return _dot(machine_picture(machine))


def mermaid(machine: Machine) -> str:
    """The machine as a Mermaid flowchart, whose nodes have shapes; Mermaid's state diagrams have one for all."""
    return _mermaid(machine_picture(machine))


def ownership_dot(spec: Spec) -> str:
    return _dot(ownership_picture(spec))


def ownership_mermaid(spec: Spec) -> str:
    return _mermaid(ownership_picture(spec))


def files(spec: Spec) -> dict[str, str]:
    """File name -> text of everything that `diagrams/` holds: each machine and who owns whom, in both notations."""
    found = {f"{OWNERSHIP}.dot": ownership_dot(spec), f"{OWNERSHIP}.mmd": ownership_mermaid(spec)}
    for kind, machine in spec.machines.items():
        found |= {f"{kind}.dot": dot(machine), f"{kind}.mmd": mermaid(machine)}
    return found


def write(spec: Spec, directory: Path) -> list[Path]:
    """Write files(spec) into directory and remove drawings of machines that are gone; return what was written.

    directory is made if it is not there. Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    texts = files(spec)
    for path in stale(spec, directory):
        path.unlink()
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in texts]


def stale(spec: Spec, directory: Path) -> list[Path]:
    """Drawings in directory that this project made of machines the spec no longer has."""
    known = files(spec)
    drawn = (path for path in sorted(directory.glob("*")) if path.suffix in (".dot", ".mmd") and path.name not in known)
    return [path for path in drawn if MADE in path.read_text(encoding="utf-8", errors="replace")]


def outdated(spec: Spec, directory: Path) -> list[str]:
    """Names of files in directory that `write` would change, make or remove, sorted."""
    differing = [name for name, text in files(spec).items() if _read(directory / name) != text]
    return sorted([*differing, *(path.name for path in stale(spec, directory))])


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _dot(picture: Picture) -> str:
    return "".join(f"{line}\n" for line in _dot_lines(picture))


def _dot_lines(picture: Picture) -> Iterator[str]:
    yield f"// {MADE}"
    yield "digraph {"
    yield f"  graph [label={_quoted(picture.title)}, labelloc=t, fontname=Helvetica, fontsize=16]"
    yield '  node [fontname=Helvetica, fontsize=12, margin="0.15,0.1"]'
    yield "  edge [fontname=Helvetica, fontsize=10]"
    for node in picture.nodes:
        yield f"  {_quoted(node.name)} [label=<{_dot_label(node)}>, {DOT_SHAPES[node.shape]}]"
    for node in picture.nodes:
        if node.is_initial:
            yield '  Start [label="", shape=point, width=0.18]'
            yield f"  Start -> {_quoted(node.name)}"
    for edge in picture.edges:
        yield f"  {_quoted(edge.source)} -> {_quoted(edge.target)} [{_dot_edge(edge)}]"
    yield "}"


def _dot_label(node: Node) -> str:
    title = f"<b>{html.escape(node.title)}</b><br/>" if node.title else ""
    return title + "".join(f'{html.escape(line)}<br align="left"/>' for line in node.lines)


def _dot_edge(edge: Edge) -> str:
    # \\l ends a line and puts it to the left, so it is added after the escaping.
    text = "".join(f" {_escaped(label)}\\l" for label in edge.labels)
    return f'label="{text}", {DOT_STYLES[edge.style]}'


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _mermaid(picture: Picture) -> str:
    return "".join(f"{line}\n" for line in _mermaid_lines(picture))


def _mermaid_lines(picture: Picture) -> Iterator[str]:
    yield f"%% {MADE}"
    yield "flowchart TB"
    for node in picture.nodes:
        before, after = MERMAID_SHAPES[node.shape]
        yield f'  {_mermaid_id(node.name)}{before}"{_mermaid_label(node)}"{after}:::{node.shape}'
    for node in picture.nodes:
        if node.is_initial:
            yield "  Start((start)):::start"
            yield f"  Start --> {_mermaid_id(node.name)}"
    for edge in picture.edges:
        text = "<br/>".join(_entities(label) for label in edge.labels)
        arrow = f'{MERMAID_ARROWS[edge.style]}|"{text}"|'
        yield f"  {_mermaid_id(edge.source)} {arrow} {_mermaid_id(edge.target)}"
    for line in MERMAID_CLASSES:
        yield f"  {line}"


def _mermaid_id(name: str) -> str:
    """A state may be called `end` or `class`, which Mermaid keeps for itself."""
    return f"s_{name}"


def _mermaid_label(node: Node) -> str:
    title = [f"<b>{_entities(node.title)}</b>"] if node.title else []
    return "<br/>".join([*title, *(_entities(line) for line in node.lines)])


def _entities(text: str) -> str:
    return "".join(f"#{ord(char)};" if char in MERMAID_SPECIAL else char for char in text)
