"""results.json as pictures in benchmarks/pictures: who handles how many events, how costs grow, how a storm passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from .scenario import HERE
from .svg import Axis, BarOf, bars, curves
from .units import shown

FOLDER: Final = HERE / "pictures"


def drawn(results: Mapping[str, Any]) -> dict[str, str]:
    """File name -> SVG, of everything that was measured."""
    found: dict[str, str] = {}
    for number, (name, draw) in PICTURES.items():
        if number in results["scenarios"] and (picture := draw(results["scenarios"][number])):
            found[f"{name}.svg"] = picture
    return found


def write(results: Mapping[str, Any], folder: Path = FOLDER) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in drawn(results).items():
        (folder / name).write_text(text, encoding="utf-8")


def _measured(scenario: Mapping[str, Any], key: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for side in scenario["sides"]:
        if found := side.get("values", {}).get(key):
            yield side, found


def _events(scenario: Mapping[str, Any]) -> str:
    rows = [
        BarOf(side["name"], side["role"], found["median"], found["low"], found["high"], shown(found["median"], "/s"))
        for side, found in _measured(scenario, "events_s")
    ]
    return bars("Events a second, one actor: a guard and two async callbacks (logarithmic)", rows) if rows else ""


PICTURES: Final[Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]]] = {
    "P1": ("events", _events),
}
__all__ = ["FOLDER", "Axis", "curves", "drawn", "write"]
