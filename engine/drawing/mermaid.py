"""A picture in Mermaid, for pages that draw it themselves: a flowchart, whose nodes have shapes.

Mermaid's state diagrams have one shape for all states. Trouble, which is dotted in DOT, has a round head here: a
flowchart's one broken line is time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from .palette import LIGHT
from .picture import Edge, Node, Note, Picture, Shape, Style
from .wording import wrapped

SHAPES: Final[Mapping[Shape, tuple[str, str]]] = MappingProxyType(
    {
        "plain": ("(", ")"),
        "activity": ("[[", "]]"),
        "final": ("(((", ")))"),
        "quarantine": ("{{", "}}"),
        "anywhere": ("([", "])"),
    }
)
ARROWS: Final[Mapping[Style, str]] = MappingProxyType(
    {"asked": "==>", "own": "-->", "time": "-.->", "trouble": "--o", "found": "==>"}
)
CLASSES: Final = (
    *(
        f"classDef {shape} fill:{LIGHT[shape]},stroke:{LIGHT[f'{shape}-line']},color:{LIGHT['ink']}"
        for shape in ("plain", "activity", "final", "quarantine", "lit")
    ),
    f"classDef anywhere fill:{LIGHT['paper']},stroke:{LIGHT['plain-line']},color:{LIGHT['ink']},stroke-dasharray:4 3",
    f"classDef note fill:{LIGHT['paper']},stroke:{LIGHT['rule']},color:{LIGHT['ink']},text-align:left",
    f"classDef start fill:{LIGHT['own']},stroke:{LIGHT['own']},color:{LIGHT['own']}",
)
# What ends a label or begins something else inside one; Mermaid writes a character as #NN;.
SPECIAL: Final = frozenset('"#&;<>`')


def mermaid(picture: Picture, made: str, highlight: str | None = None) -> str:
    """made: a comment for the first line. highlight: the name of a node."""
    return "".join(f"{line}\n" for line in _lines(picture, made, highlight))


def _lines(picture: Picture, made: str, highlight: str | None) -> Iterator[str]:
    yield f"%% {made}"
    yield "flowchart TB"
    for node in picture.nodes:
        before, after = SHAPES[node.shape]
        look = "lit" if node.name == highlight else node.shape
        yield f'  {_id(node.name)}{before}"{_node(node)}"{after}:::{look}'
    for node in picture.nodes:
        if node.is_initial:
            yield "  Start((start)):::start"
            yield f"  Start --> {_id(node.name)}"
    for number, edge in enumerate(picture.edges, sum(node.is_initial for node in picture.nodes)):
        yield f'  {_id(edge.source)} {ARROWS[edge.style]}|"{_edge(edge)}"| {_id(edge.target)}'
        if edge.style == "found":
            yield f"  linkStyle {number} stroke:{LIGHT['found']},stroke-width:4px"
    for number, note in enumerate(picture.notes, 1):
        yield f'  Note{number}["{_note(note)}"]:::note'
    for line in CLASSES:
        yield f"  {line}"


def _id(name: str) -> str:
    """A state may be called `end` or `class`, which Mermaid keeps for itself."""
    return f"s_{name}"


def _node(node: Node) -> str:
    lines = (*wrapped(node.about), *node.lines)
    return "<br/>".join([f"<b>{_entities(node.title)}</b>", *map(_entities, lines)])


def _edge(edge: Edge) -> str:
    return "<br/>".join(_entities(label.text) for label in edge.labels)


def _note(note: Note) -> str:
    lines = (f"({number}) {line}" if note.is_order else line for number, line in enumerate(note.lines, 1))
    return "<br/>".join([f"<b>{_entities(note.title)}</b>", *map(_entities, lines)])


def _entities(text: str) -> str:
    return "".join(f"#{ord(char)};" if char in SPECIAL else char for char in text)
