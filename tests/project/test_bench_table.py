"""The benchmarks' pages say what was measured: tables and pictures are those of benchmarks/results.json."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import lives, pages, pictures, results
from benchmarks.__main__ import chosen
from benchmarks.harness import judged, measure
from benchmarks.scenario import HERE, ROOT, Bar, Measure, Scenario, Side
from benchmarks.scenarios import SCENARIOS
from benchmarks.sides import growth
from benchmarks.sides.lives import bare_life, life, manager_of
from benchmarks.svg import BarOf, bars
from benchmarks.tables import of_all, of_bars
from engine.journal.memory import MemoryJournal

KEPT = results.load()


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_page_shows_what_was_measured(page: str) -> None:
    """Otherwise a figure is quoted that nothing has measured; `python -m benchmarks --write` mends it."""
    assert (ROOT / page).read_text(encoding="utf-8") == pages.current(KEPT)[page]


def test_pictures_show_what_was_measured() -> None:
    """And none is left over from before."""
    stored = {file.name: file.read_text(encoding="utf-8") for file in pictures.FOLDER.glob("*.svg")}
    assert stored == pictures.drawn(KEPT)


def test_every_benchmark_was_measured_with_all_its_sides_and_bars() -> None:
    """A side that could not be measured is a row that says so; none is silently left out."""
    for scenario in SCENARIOS:
        stored = KEPT["scenarios"][scenario.number]
        assert [side["name"] for side in stored["sides"]] == [side.name for side in scenario.sides], scenario.name
        assert [bar["text"] for bar in stored["bars"]] == [bar.text for bar in scenario.bars], scenario.name
        assert stored["versions"]
        assert stored["date"]


def test_figures_are_of_enough_rounds_with_their_spread() -> None:
    """One round on a shared machine says nothing."""
    found = [
        cell for one in KEPT["scenarios"].values() for side in one["sides"] for cell in side.get("values", {}).values()
    ]
    assert found
    assert all(len(cell["rounds"]) >= 5 and cell["low"] <= cell["median"] <= cell["high"] for cell in found)


def test_what_is_missed_or_not_measured_is_said() -> None:
    """A table that shows only what went well is advertising."""
    told = of_bars(KEPT) + of_all(KEPT)
    missed = [bar for one in KEPT["scenarios"].values() for bar in one["bars"] if bar["is_met"] is False]
    assert told.count("**no**") == len(missed)
    for one in KEPT["scenarios"].values():
        for side in one["sides"]:
            assert side["name"] in told


@pytest.mark.parametrize(
    "bar, median, is_met",
    [
        (Bar("half", "n", "ours", "theirs", at_least=0.5), 0.5, True),
        (Bar("more", "n", "ours", "theirs", at_least=0.6), 0.5, False),
        (Bar("few", "n", "ours", at_most=3), 3.0, True),
        (Bar("fewer", "n", "ours", at_most=2), 3.0, False),
        (Bar("nobody", "n", "ours", "absent", at_least=1), None, None),
    ],
)
def test_a_bar_judges_the_median_of_the_rounds_ratios(bar: Bar, median: float | None, is_met: bool | None) -> None:
    """A ratio is taken within a round, where both sides met the same machine; what is missing is neither."""
    values = {"ours": {"n": [1.0, 3.0, 40.0]}, "theirs": {"n": [2.0, 6.0, 8.0]}}
    found = judged(values, bar)
    assert (found["median"], found["is_met"]) == (median, is_met)


def test_sides_play_in_turns_and_one_that_fails_is_named() -> None:
    """With the reason; the others are measured all the same."""
    script = "from benchmarks.worker import serve; serve(lambda: {'n': 2})"
    scenario = Scenario(
        "P0",
        "none",
        "None",
        (
            Side("well", "ours", (sys.executable, "-c", script)),
            Side("dies", "peer", (sys.executable, "-c", "raise SystemExit('no such luck')")),
            Side("lacks", "peer", (sys.executable, "-c", ""), "node"),
        ),
        (Measure("n", "n", "count"),),
        (Bar("some", "n", "well", at_least=1),),
        about="",
    )
    run = measure(scenario, 2, {"node": "there is no node"}, lambda text: None)
    plain: dict[str, Any] = results.plain(run)
    assert run.values == {"well": {"n": [2.0, 2.0]}}
    assert "no such luck" in run.missing["dies"]
    assert plain["sides"][2]["missing"] == "there is no node"
    assert plain["bars"][0]["is_met"] is True


def test_bars_are_as_long_as_their_logarithm() -> None:
    """Equal factors, equal distances."""
    picture = bars("x", [BarOf(str(n), "ours", 10.0**n, 10.0**n, 10.0**n, "") for n in (1, 2, 3)])
    widths = [float(text.split('width="')[1].split('"')[0]) for text in picture.splitlines() if "#2f6fdb" in text]
    assert widths[0] - widths[1] == pytest.approx(widths[1] - widths[2], abs=2)


def test_what_the_page_says_to_type_is_what_make_does() -> None:
    """Measuring takes minutes; that the names are known and the words arrive is looked at here."""
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    for line in sorted({*re.findall(r"^make bench.*$", page, re.MULTILINE), *re.findall(r"`(make bench .*?)`", page)}):
        # Also where make runs the tests: its own flags, and the directories it tells of, are none of this one's.
        environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
        command = [*shlex.split(line), "-n", "-o", ".venv/.setup-done"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, env=environment)
        words = shlex.split(done.stdout.decode().splitlines()[-1])
        only = words[words.index("--only") + 1]
        assert words[1:3] == ["-m", "benchmarks"], line
        assert chosen([name for name in only.split(",") if name]), line
        assert ("--check" in words) == ("CHECK=1" in line)


def test_the_peers_lock_names_no_place() -> None:
    """It has to install from whatever registry its user has configured."""
    lock = json.loads((HERE / "peers/package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, one in lock["packages"].items() if "resolved" in one] == []
    assert all("integrity" in one for name, one in lock["packages"].items() if name)
    pins = (HERE / "peers.txt").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("#") or "==" in line for line in pins)


@pytest.mark.parametrize("life_file", sorted(lives.HERE.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_benchmarks_lives_are_lives(life_file: Path) -> None:
    """They are held to the language like everybody's, so a change of it is noticed before the next measurement."""
    assert lives.machines(life_file.stem)


async def test_what_is_measured_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event, one timer, one look and one whole life beside its reference: what takes minutes would rot unseen."""
    for name in ("EVENTS", "TIMERS", "LOOKS"):
        monkeypatch.setattr(growth, name, 3)
    crowd = growth.Crowd(2)
    await crowd.fill()
    assert await crowd.events() == 3
    assert await crowd.timers() == 3
    assert await crowd.monitor() == 4
    await crowd.manager.shutdown(1)
    manager = manager_of(MemoryJournal(), None)
    await manager.start()
    await life(manager, 0)
    await bare_life(0)
    await manager.shutdown(1)
