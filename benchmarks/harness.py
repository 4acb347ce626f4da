"""Rounds in turns: every side plays once, then every side once more, because machines drift; the ratios count."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from .process import Process, SideFailed
from .scenario import Bar, Scenario

Values = dict[str, dict[str, list[float]]]  # side -> measure -> one value a round


class Run:
    """One scenario, measured: values by side and measure, curves of the last round, what was not measured and why."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.values: Values = {}
        self.curves: dict[str, list[list[float]]] = {}
        self.missing: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def note(self, side: str, answer: Mapping[str, Any]) -> None:
        row = self.values.setdefault(side, {})
        for measure in self.scenario.measures:
            if measure.key in answer:
                row.setdefault(measure.key, []).append(float(answer[measure.key]))
        if "curve" in answer:
            self.curves[side] = answer["curve"]


def measure(scenario: Scenario, rounds: int, lacking: Mapping[str, str], say: Callable[[str], None]) -> Run:
    """Play rounds. lacking: why peers of a sort cannot be used. A side that fails is `not measured`, and why."""
    run = Run(scenario)
    with ExitStack() as stack:
        stack.enter_context(scenario.around())
        sides = dict(_started(run, lacking, stack, say))
        for number in range(rounds):
            say(f"  round {number + 1} of {rounds}")
            for name, process in list(sides.items()):
                try:
                    run.note(name, process.play(scenario.round_s))
                except SideFailed as failure:
                    run.missing[name] = str(failure)
                    run.values.pop(name, None)
                    del sides[name]
    return run


def _started(
    run: Run, lacking: Mapping[str, str], stack: ExitStack, say: Callable[[str], None]
) -> Iterator[tuple[str, Process]]:
    for side in run.scenario.sides:
        if side.needs in lacking:
            run.missing[side.name] = lacking[side.needs]
            continue
        say(f"  starting: {side.name}")
        try:
            process = stack.enter_context(Process(side, run.scenario.ready_s))
        except (SideFailed, OSError) as failure:
            run.missing[side.name] = str(failure)
            continue
        run.versions |= process.versions
        yield side.name, process


def ratios(values: Mapping[str, Mapping[str, list[float]]], bar: Bar) -> list[float]:
    """What the bar judges, one number a round; empty if a side was not measured."""
    ours = values.get(bar.side, {}).get(bar.measure, [])
    if bar.against is None:
        return ours
    theirs = values.get(bar.against, {}).get(bar.measure, [])
    return [one / other for one, other in zip(ours, theirs, strict=False) if other]


def judged(values: Mapping[str, Mapping[str, list[float]]], bar: Bar) -> dict[str, Any]:
    """A bar with its median and spread over the rounds; is_met None: not measured."""
    plain: dict[str, Any] = {"text": bar.text, "side": bar.side, "against": bar.against, "measure": bar.measure}
    plain |= {"at_least": bar.at_least, "at_most": bar.at_most}
    found = ratios(values, bar)
    if not found:
        return {**plain, "median": None, "low": None, "high": None, "is_met": None}
    median = statistics.median(found)
    spread = {"median": median, "low": min(found), "high": max(found)}
    return {**plain, **{name: _rounded(value) for name, value in spread.items()}, "is_met": bar.holds(median)}


def _rounded(value: float) -> float:
    """Four digits: more would only make the file change."""
    return float(f"{value:.4g}")


def summed_up(values: list[float]) -> dict[str, Any]:
    return {
        "median": _rounded(statistics.median(values)),
        "low": _rounded(min(values)),
        "high": _rounded(max(values)),
        "rounds": [_rounded(value) for value in values],
    }
