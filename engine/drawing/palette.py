"""The colours of the pictures, each with its twin for dark pages, and the style sheet that swaps them in an SVG.

Graphviz writes colours as attributes. A rule for each colour overrides them where style sheets are known; elsewhere,
and on paper, the light ones stay. No two roles share a light colour, or one rule would change both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Theme = Mapping[str, str]

LIGHT: Final[Theme] = MappingProxyType(
    {
        "paper": "#ffffff",
        "ink": "#1b1f24",
        "muted": "#57606a",
        "rule": "#d0d7de",
        "plain": "#f6f8fa",
        "plain-line": "#424a53",
        "activity": "#e2effc",
        "activity-line": "#1d5f9e",
        "final": "#e4e7ea",
        "final-line": "#30363d",
        "quarantine": "#fde1dc",
        "quarantine-line": "#a8200d",
        "lit": "#ffdf7e",
        "lit-line": "#b35c00",
        "asked": "#0b4f9e",
        "own": "#3a424b",
        "time": "#835400",
        "trouble": "#b4231a",
        "found": "#d1002c",
    }
)
DARK: Final[Theme] = MappingProxyType(
    {
        "paper": "#14171c",
        "ink": "#eef1f4",
        "muted": "#a8b1bb",
        "rule": "#3a424c",
        "plain": "#1e232a",
        "plain-line": "#aab4bf",
        "activity": "#12324f",
        "activity-line": "#6cb0f2",
        "final": "#343b44",
        "final-line": "#d4dae0",
        "quarantine": "#4f1a14",
        "quarantine-line": "#ff9a8c",
        "lit": "#4d3800",
        "lit-line": "#ffbf3f",
        "asked": "#7fb8ff",
        "own": "#c0c8d1",
        "time": "#e8b04a",
        "trouble": "#ff8f80",
        "found": "#ff5c7a",
    }
)
ROOT: Final = "steward-picture"  # class of the <svg>


def _variables(theme: Theme) -> str:
    return ";".join(f"--steward-{role}:{colour}" for role, colour in theme.items())


def _style() -> str:
    light, dark = _variables(LIGHT), _variables(DARK)
    rules = [
        f'.{ROOT} [{attribute}="{colour}"]{{{attribute}:var(--steward-{role})}}'
        for role, colour in LIGHT.items()
        for attribute in ("fill", "stroke")
    ]
    # What a page marks by a class alone looks like what Graphviz was told to highlight: a state, the last arrow taken.
    lit = "fill:var(--steward-lit);stroke:var(--steward-lit-line);stroke-width:4"
    marks = [
        f".{ROOT} .lit>:is(path,polygon,ellipse):first-of-type{{{lit}}}",
        f".{ROOT} .way.last path{{stroke:var(--steward-lit-line);stroke-width:4}}",
        f".{ROOT} .way.last polygon{{fill:var(--steward-lit-line);stroke:var(--steward-lit-line)}}",
        f".{ROOT} .way.last text{{fill:var(--steward-lit-line)}}",
    ]
    # The halo keeps a label readable where an arrow passes under it.
    halo = (
        f".{ROOT} .edge text{{paint-order:stroke;stroke:var(--steward-paper);stroke-width:1.8px;stroke-linejoin:round}}"
    )
    return "\n".join(
        [
            f".{ROOT}{{{light};max-width:100%;height:auto}}",
            f"@media screen and (prefers-color-scheme:dark){{.{ROOT}{{{dark}}}}}",
            *rules,
            *marks,
            f".{ROOT} text{{font-family:Arial,'Liberation Sans',Helvetica,sans-serif}}",
            halo,
        ]
    )


# A page that shows the SVG inline may set the variables (`--steward-paper` …) itself.
STYLE: Final = _style()
# For a page with a switch of its own: its choice, on the root element, goes before the reader's.
CHOSEN: Final = "\n".join(
    f"[data-theme={name}] .{ROOT}{{{_variables(theme)}}}" for name, theme in (("light", LIGHT), ("dark", DARK))
)
