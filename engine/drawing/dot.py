"""A picture in DOT, for Graphviz: laid out to be hung on a wall, with names that a page can take hold of.

Shape, not only colour, tells states apart: bars at both sides mean that the state works (it has a `run`), a double
line that it is an end, an octagon that it waits for a person, and a dot points at the initial state. Lines too: thick
was asked for by someone outside the actor, thin is its own, dashed is time, dotted is trouble.

In SVG a state is `id="KIND-state-NAME" class="state state-NAME SHAPE"` with `lit` where it is highlighted, and an
arrow `class="way STYLE from-NAME to-NAME on-EVENT …"`, with a hyphen for each space (`on-after-30s`).
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from .palette import LIGHT
from .picture import Edge, Label, Node, Note, Picture, Shape, Style
from .wording import LINE_CHARS_MAX, wrapped

# Its widths are known to every Graphviz, the WebAssembly build too, and are those of Liberation Sans, which stands in
# for it on Linux. Graphviz takes a Helvetica that is missing for a wider font, and then nothing fits.
FONT: Final = "Arial"
LABEL_CHARS_MAX: Final = 30  # of an arrow's label; dot keeps room for it between two states
NOTE_CHARS_MAX: Final = 60
BAR_POINTS: Final = 6

SHAPES: Final[Mapping[Shape, str]] = MappingProxyType(
    {
        "plain": 'shape=box, style="rounded,filled"',
        "activity": "shape=box, style=filled, margin=0",
        "final": 'shape=ellipse, style=filled, peripheries=2, margin="0.02,0"',
        "quarantine": 'shape=octagon, style=filled, margin="0,0.06"',
        "anywhere": 'shape=box, style="rounded,dashed"',
    }
)
LINES: Final[Mapping[Style, str]] = MappingProxyType(
    {
        "asked": "style=solid, penwidth=2.4",
        "own": "style=solid, penwidth=1.1",
        "time": "style=dashed, penwidth=1.3",
        "trouble": "style=dotted, penwidth=2.2",
        "found": "style=solid, penwidth=4",
    }
)

LEGEND: Final[Mapping[Style, str]] = MappingProxyType(
    {
        "asked": "asked for from outside",
        "own": "its own doing",
        "time": "time",
        "trouble": "trouble, and the way out of it",
    }
)
SAMPLES: Final = {"asked": ("solid", 3), "own": ("solid", 1), "time": ("dashed", 1), "trouble": ("dotted", 2)}
SHAPE_WORDS: Final = (
    "bars at the sides: it works there",
    "double line: an end; octagon: a person decides",
    "[guard] / action; (1) is asked before (2)",
)


def dot(picture: Picture, made: str, highlight: str | None = None) -> str:
    """made: a comment for the first line. highlight: the name of a node."""
    return "".join(f"{line}\n" for line in _lines(picture, made, highlight))


def _lines(picture: Picture, made: str, highlight: str | None) -> Iterator[str]:
    yield f"// {made}"
    yield f"digraph {_quoted(picture.name)} {{"
    yield f'  graph [fontname={FONT}, fontsize=11, fontcolor="{LIGHT["ink"]}", bgcolor="{LIGHT["paper"]}", pad=0.3]'
    yield f"  graph [label=<{_title(picture)}>, labelloc=t, labeljust=l, nodesep=0.4, ranksep=0.5]"
    yield f'  node [fontname={FONT}, fontsize=11, fontcolor="{LIGHT["ink"]}", margin="0.12,0.07", height=0.4]'
    yield f"  edge [fontname={FONT}, fontsize=10, arrowsize=0.8]"
    for node in picture.nodes:
        if node.is_initial:
            yield f"  {_start(picture)}"
            yield f"  Start -> {_quoted(node.name)} [{_line('own')}]"
        yield f"  {_quoted(node.name)} [{_node(picture, node, node.name == highlight)}]"
    for edge in picture.edges:
        yield f"  {_quoted(edge.source)} -> {_quoted(edge.target)} [{_edge(edge)}]"
    yield from _notes(picture)
    yield "}"


def _title(picture: Picture) -> str:
    about = _text(*wrapped(picture.about, 90), colour="muted", points=12)
    return _table(_row(f'<font point-size="22"><b>{_escaped(picture.title)}</b></font>'), _row(about), padding=3)


def _start(picture: Picture) -> str:
    ink = LIGHT["own"]
    return (
        f'Start [id={_quoted(f"{picture.name}-start")}, class=start, label="", shape=circle, style=filled, '
        f'width=0.2, height=0.2, fixedsize=true, fillcolor="{ink}", color="{ink}"]'
    )


def _node(picture: Picture, node: Node, is_lit: bool) -> str:
    marks = [mark for mark, is_so in (("initial", node.is_initial), ("lit", is_lit)) if is_so]
    classes = ["state", f"state-{node.name}", node.shape, *marks]
    role = "lit" if is_lit else node.shape
    fill = LIGHT["lit" if is_lit else "paper" if node.shape == "anywhere" else role]
    line = LIGHT["plain-line" if role == "anywhere" else f"{role}-line"]
    width = 4 if is_lit else 2 if node.shape == "quarantine" else 1.2
    return (
        f"id={_quoted(f'{picture.name}-state-{node.name}')}, class={_quoted(' '.join(classes))}, {SHAPES[node.shape]}, "
        f'fillcolor="{fill}", color="{line}", penwidth={width:g}, label=<{_node_label(node, line)}>'
    )


def _node_label(node: Node, line: str) -> str:
    about = _text(*wrapped(node.about), colour="muted", points=10)
    lines = _text(*(part for text in node.lines for part in _hanging(text)), points=10)
    inner = _table(
        _row(f'<font point-size="14"><b>{_escaped(node.title)}</b></font>', "center" if not node.lines else "left"),
        _row(about, "center" if not node.lines else "left"),
        _row(lines),
    )
    if node.shape != "activity":
        return inner
    bar = f'<td width="{BAR_POINTS}" fixedsize="false" bgcolor="{line}"></td>'
    body = f'<td cellpadding="7">{inner}</td>'
    return f'<table border="0" cellborder="0" cellspacing="0" cellpadding="0"><tr>{bar}{body}{bar}</tr></table>'


def _edge(edge: Edge) -> str:
    events = dict.fromkeys(event.replace(" ", "-") for label in edge.labels for event in label.events)
    classes = ["way", edge.style, f"from-{edge.source}", f"to-{edge.target}", *(f"on-{event}" for event in events)]
    # The padding keeps the text off its own arrow, which runs along the label's left side.
    label = _table(_row("".join(_label(item, edge.style) for item in edge.labels)), padding=4)
    return f"class={_quoted(' '.join(classes))}, {_line(edge.style)}, label=<{label}>"


def _line(style: Style) -> str:
    return f'{LINES[style]}, color="{LIGHT[style]}", fontcolor="{LIGHT[style]}"'


def _label(label: Label, style: Style) -> str:
    # One piece of text with its place in the order: of two, the second would begin where a guess of widths puts it.
    named = ", ".join(label.events) + (f" {label.order}" if label.order else "")
    events = [f"<b>{_escaped(line)}</b>" for line in wrapped(named, LABEL_CHARS_MAX)]
    guard = [_escaped(line) for line in wrapped(f"[{label.guard}]" if label.guard else "", LABEL_CHARS_MAX)]
    do = [_escaped(line) for line in wrapped(f"/ {label.do}" if label.do else "", LABEL_CHARS_MAX)]
    lines = "".join(f'{line}<br align="left"/>' for line in (*events, *guard, *do))
    return f'<font color="{LIGHT[style]}">{lines}</font>'


def _notes(picture: Picture) -> Iterator[str]:
    """The notes side by side under everything else. An invisible edge holds them below the last end."""
    if not picture.notes:
        return
    notes = "".join(f'<td valign="top" align="left" balign="left">{_note(note)}</td>' for note in picture.notes)
    frame = f'border="1" sides="t" color="{LIGHT["rule"]}" cellborder="0" cellspacing="0" cellpadding="9"'
    table = f"<table {frame}><tr>{notes}{_legend()}</tr></table>"
    yield f"  {{ rank=sink; Notes [id={_quoted(f'{picture.name}-notes')}, class=notes, shape=plain, label=<{table}>] }}"
    for node in [node for node in picture.nodes if node.shape == "final"][-1:]:
        yield f"  {_quoted(node.name)} -> Notes [style=invis, weight=0]"


def _note(note: Note) -> str:
    numbered = [f"{number}. {line}" if note.is_order else line for number, line in enumerate(note.lines, 1)]
    lines = [part for line in numbered for part in _hanging(line, NOTE_CHARS_MAX)]
    return f"<b>{_escaped(note.title)}</b><br/>{_text(*lines, points=10)}"


def _legend() -> str:
    """Samples drawn with the borders of cells; a table cannot hold an arrow."""
    title = '<tr><td colspan="2" align="left"><b>how to read it</b></td></tr>'
    lines = "".join(f"<tr>{_sample(style)}{_words(text)}</tr>" for style, text in LEGEND.items())
    shapes = "".join(f"<tr><td></td>{_words(text)}</tr>" for text in SHAPE_WORDS)
    table = f'<table border="0" cellborder="0" cellspacing="0" cellpadding="0">{title}{lines}{shapes}</table>'
    return f'<td valign="top" align="left">{table}</td>'


def _sample(style: Style) -> str:
    kind, width = SAMPLES[style]
    line = f'<td sides="b" border="{width}" style="{kind}" color="{LIGHT[style]}" width="28" height="6"></td>'
    rows = f'<tr>{line}<td width="8"></td></tr><tr><td height="4"></td></tr>'
    return f'<td><table border="0" cellborder="0" cellspacing="0">{rows}</table></td>'


def _words(text: str) -> str:
    return f'<td align="left">{_text(text, points=10)}</td>'


def _hanging(text: str, chars_max: int = LINE_CHARS_MAX) -> Iterator[str]:
    """text wrapped, with what follows the first line set in."""
    for number, line in enumerate(wrapped(text, chars_max)):
        yield f"\u2003{line}" if number else line


def _table(*rows: str, padding: int = 2) -> str:
    return f'<table border="0" cellborder="0" cellspacing="0" cellpadding="{padding}">{"".join(rows)}</table>'


def _row(content: str, align: str = "left") -> str:
    """Nothing for no content, which a table could not hold."""
    return f'<tr><td align="{align}" balign="{align}">{content}</td></tr>' if content else ""


def _text(*lines: str, colour: str = "ink", points: int = 11) -> str:
    if not lines:
        return ""
    return f'<font color="{LIGHT[colour]}" point-size="{points}">{"<br/>".join(map(_escaped, lines))}</font>'


def _escaped(text: str) -> str:
    return html.escape(text)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
