"""Puts the tables into README.md and docs/performance.md, between their markers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .scenario import ROOT
from .tables import of_all, of_bars

BEGIN: Final = "<!-- benchmarks: written by `make bench` -->"
END: Final = "<!-- /benchmarks -->"
PAGES: Final = {"README.md": of_bars, "docs/performance.md": of_all}


def filled(text: str, table: str) -> str:
    """text with table between its markers. Raises ValueError if they are not there."""
    head, middle, rest = text.partition(BEGIN)
    _, closing, tail = rest.partition(END)
    if not middle or not closing:
        raise ValueError(f"a page needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}"


def current(results: Mapping[str, Any], root: Path = ROOT) -> dict[str, str]:
    """What the pages have to say, by name."""
    return {
        name: filled((root / name).read_text(encoding="utf-8"), table(dict(results))) for name, table in PAGES.items()
    }


def write(results: Mapping[str, Any], root: Path = ROOT) -> None:
    for name, text in current(results, root).items():
        (root / name).write_text(text, encoding="utf-8")
