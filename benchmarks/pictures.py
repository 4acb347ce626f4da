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


def _even(title: str, most: float, form: str) -> Axis:
    """From nothing to most, with a mark at every fifth of it."""
    marks = [most * part / 5 for part in range(6)]
    return Axis(title, 0, most, [(mark, format(mark, form)) for mark in marks])


def _storm(scenario: Mapping[str, Any]) -> str:
    lines = {side["name"]: [(x, y) for x, y in side["curve"]] for side in scenario["sides"] if "curve" in side}
    if not lines:
        return ""
    last = max(points[-1][0] for points in lines.values())
    most = max(points[-1][1] for points in lines.values())
    across = Axis(
        "seconds since the first dial", 0, last, [(last * part / 5, f"{last * part / 5:.2g}") for part in range(6)]
    )
    up = Axis(
        "clients that have everything they missed",
        0,
        most,
        [(most * part / 5, f"{most * part / 5:.0f}") for part in range(6)],
    )
    return curves("A storm: all sessions cut at once, each misses 20 messages", across, up, lines)


def _growth(scenario: Mapping[str, Any]) -> str:
    """Each cost relative to what it is with the fewest sessions: flat is what is wanted."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for measure in (one for one in scenario["measures"] if one["unit"] == "s"):
        points = [(side["at"], found["median"]) for side, found in _measured(scenario, measure["key"])]
        if len(points) > 1:
            lines[measure["title"]] = [(at, value / points[0][1]) for at, value in points]
    if not lines:
        return ""
    ends = [at for points in lines.values() for at, _ in points]
    most = max(2.0, *(value for points in lines.values() for _, value in points))
    marks = [(float(at), f"{at:,}") for at in (100, 1_000, 10_000, 100_000)]
    across = Axis("live sessions (logarithmic)", min(ends), max(ends), marks, is_log=True)
    halves = [(n / 2, f"{n / 2:g}") for n in range(int(most * 2) + 1)]
    up = Axis("processor time of one, relative to 100 sessions", 0, most, halves)
    return curves("What one of many costs", across, up, lines)


PICTURES: Final[Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]]] = {
    "P1": ("events", _events),
    "P5": ("storm", _storm),
    "P8": ("growth", _growth),
}
