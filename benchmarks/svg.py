"""Two sorts of pictures, as SVG written by hand: bars on a logarithmic scale, and curves. No library is worth it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 860
LEFT: Final = 250  # for the names of bars
RIGHT: Final = 120
BAR: Final = 24
NAME_WIDTH: Final = 190  # of a curve, at its end
NAME_HEIGHT: Final = 16
COLOURS: Final = {"ours": "#2f6fdb", "reference": "#8a8f98", "peer": "#c9a24b"}
LINES: Final = ("#2f6fdb", "#c0563b", "#3b8f5a", "#8a5bb5", "#8a8f98")
STYLE: Final = "font: 13px system-ui, sans-serif; fill: #222"


@dataclass(frozen=True)
class BarOf:
    """One bar. label: its value as people read it. low, high: the spread, drawn as a line."""

    name: str
    role: str
    value: float
    low: float
    high: float
    label: str


def bars(title: str, rows: Sequence[BarOf]) -> str:
    """The longest first; the axis is logarithmic, so equal distances are equal factors."""
    rows = sorted(rows, key=lambda row: -row.value)
    low = 10 ** math.floor(math.log10(min(row.low for row in rows)))
    high = 10 ** math.ceil(math.log10(max(row.high for row in rows)))

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(value / low) / max(1.0, math.log10(high / low))

    height = 60 + BAR * len(rows)
    body = [_text(12, 24, title, weight="600")]
    body += [_rule(x(10.0**power), height) for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    for number, row in enumerate(rows):
        y = 40 + BAR * number
        body.append(_text(LEFT - 8, y + 15, row.name, anchor="end", weight="600" if row.role == "ours" else "400"))
        body.append(_box(LEFT, y + 3, max(1.0, x(row.value) - LEFT), BAR - 7, COLOURS[row.role]))
        body.append(_line([(x(row.low), y + 11.5), (x(row.high), y + 11.5)], "#222", 1.5))
        body.append(_text(x(row.high) + 8, y + 15, row.label))
    return _document(height, body)


@dataclass(frozen=True)
class Axis:
    """How far, with which marks: (value, what is written there). Logarithmic if is_log."""

    title: str
    low: float
    high: float
    marks: Sequence[tuple[float, str]]
    is_log: bool = False

    def place(self, value: float) -> float:
        """0 … 1 along the axis."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def curves(title: str, across: Axis, up: Axis, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    height, left, bottom, top = 380, 80, 60, 60
    wide, high = WIDTH - left - 200, height - bottom - top

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return left + wide * across.place(point[0]), height - bottom - high * up.place(point[1])

    body = [_text(12, 24, title, weight="600"), _text(left, 48, up.title)]
    body.append(_text(left + wide, height - 14, across.title, anchor="end"))
    for value, text in up.marks:
        x, y = at((across.low, value))
        body += [_line([(x, y), (left + wide, y)], "#e3e5e8", 1), _text(x - 8, y + 4, text, anchor="end")]
    for value, text in across.marks:
        x, y = at((value, up.low))
        body += [_line([(x, y), (x, y + 5)], "#8a8f98", 1), _text(x, y + 20, text, anchor="middle")]
    labels: list[tuple[float, float]] = []
    for number, (name, points) in enumerate(lines.items()):
        colour, placed = LINES[number % len(LINES)], [at(point) for point in points]
        labels.append(_free((placed[-1][0] + 10, placed[-1][1] + 4), labels))
        body += [_line(placed, colour, 2.5), _text(*labels[-1], name, colour=colour)]
    return _document(height, body)


def _free(wanted: tuple[float, float], taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """As near below wanted as no other name is in the way."""
    x, y = wanted
    while any(abs(x - other) < NAME_WIDTH and abs(y - height) < NAME_HEIGHT for other, height in taken):
        y += 1
    return x, y


def _document(height: float, body: Sequence[str]) -> str:
    return "\n".join([*_head(height), *body, "</svg>", ""])


def _head(height: float) -> Iterator[str]:
    size = f'width="{WIDTH}" height="{height:g}" viewBox="0 0 {WIDTH} {height:g}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="{STYLE}">'
    yield _box(0, 0, WIDTH, height, "#ffffff")


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "400", colour: str = "#222") -> str:
    look = f'text-anchor="{anchor}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(text)}</text>'


def _line(points: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'


def _rule(x: float, height: float) -> str:
    return _line([(x, 36), (x, height - 18)], "#e3e5e8", 1)
