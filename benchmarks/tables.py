"""results.json as tables for people: a short one of the bars, and every side of every benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .units import ratio, spread

NOT_MEASURED = "not measured"


def of_bars(results: dict[str, Any]) -> str:
    """One line a bar: what, ours, measured against, reached or not."""
    rows = [row for number, one in results["scenarios"].items() for row in _bar_rows(number, one)]
    return _table(("", "what", "bar", "measured (least to most of the rounds)", "reached"), rows)


def _bar_rows(number: str, scenario: dict[str, Any]) -> Iterator[Sequence[str]]:
    for position, bar in enumerate(scenario["bars"]):
        head = ("", "") if position else (number, scenario["title"])
        yield (*head, bar["text"], _judged(scenario, bar), _met(bar))


def _judged(scenario: dict[str, Any], bar: dict[str, Any]) -> str:
    if bar["median"] is None:
        return NOT_MEASURED
    if bar["against"] is None:
        unit = next(one["unit"] for one in scenario["measures"] if one["key"] == bar["measure"])
        return spread(bar, unit)
    return f"{ratio(bar['median'])} x ({ratio(bar['low'])} to {ratio(bar['high'])})"


def _met(bar: dict[str, Any]) -> str:
    return {True: "yes", False: "**no**", None: NOT_MEASURED}[bar["is_met"]]


def of_all(results: dict[str, Any]) -> str:
    """A section for each benchmark."""
    return "\n\n".join("\n\n".join(_section(number, one)) for number, one in results["scenarios"].items())


def _section(number: str, scenario: dict[str, Any]) -> Iterator[str]:
    yield f"### {number}: {scenario['title']}"
    yield f"{scenario['about']} `make bench ONLY={scenario['name']}`"
    heads = ("", *(one["title"] for one in scenario["measures"]), "")
    yield _table(heads, [_side_row(scenario, side) for side in scenario["sides"]])
    versions = ", ".join(f"{name} {version}" for name, version in scenario["versions"].items())
    yield f"{scenario['date']}, {_machine(scenario['machine'])}; {versions}. {scenario['note']}".strip()


def _machine(machine: dict[str, Any]) -> str:
    return f"{machine['cpus']} cores, {machine['system']}"


def _side_row(scenario: dict[str, Any], side: dict[str, Any]) -> Sequence[str]:
    name = f"**{side['name']}**" if side["role"] == "ours" else side["name"]
    if "missing" in side:
        blanks = [""] * (len(scenario["measures"]) - 1)
        return (name, NOT_MEASURED, *blanks, side["missing"].replace("|", "/"))
    cells = [_cell(side["values"].get(one["key"]), one["unit"]) for one in scenario["measures"]]
    return (name, *cells, side["note"])


def _cell(found: dict[str, Any] | None, unit: str) -> str:
    return "" if found is None else spread(found, unit)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def for_terminal(scenario: dict[str, Any]) -> str:
    """One scenario right after it was measured, in columns."""
    rows = [("", *(one["title"] for one in scenario["measures"]))]
    rows += [tuple(cell.replace("**", "") for cell in _side_row(scenario, side)[:-1]) for side in scenario["sides"]]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines += [f"  reached: {_met(bar).strip('*')}: {bar['text']}: {_judged(scenario, bar)}" for bar in scenario["bars"]]
    missing = [f"  not measured: {one['name']}: {one['missing']}" for one in scenario["sides"] if "missing" in one]
    return "\n".join([*lines, *missing])
