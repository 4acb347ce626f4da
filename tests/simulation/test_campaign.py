"""The simulator itself: its histories are the same each time, what breaks is found, made small and told."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from engine import session
from engine.simulation.script import draw
from engine.simulation.story import Story
from server.cli import steward
from server.simulation.campaign import ENOUGH, Report, campaign, play, play_all, smallest
from server.simulation.house import small

ROOT: Final = Path(__file__).parents[2]
HOUSE: Final = small()
IS_LONG: Final = bool(os.environ.get("LONG_FORMS"))
TWICE: Final = 10_000 if IS_LONG else 40


def test_a_short_campaign_holds() -> None:
    """Every invariant that is checked, over histories that nobody chose."""
    report = play_all(HOUSE, range(1, 81))
    assert [(result.script.seed, result.broken) for result in report.broken] == []
    assert report.histories == 80
    assert len(report.reached) > 10
    assert not report.failed


def test_a_seed_tells_the_same_history_again() -> None:
    """Or no failure could be looked at twice; another process has other hashes, addresses and clocks."""
    code = (
        f"from server.simulation import campaign, house; print(campaign.play_all(house.small(), range({TWICE})).digest)"
    )
    elsewhere = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        stdout=subprocess.PIPE,
        text=True,
    )
    here = play_all(HOUSE, range(TWICE))
    assert here.digest == play_all(HOUSE, range(TWICE)).digest
    assert elsewhere.communicate()[0].strip() == here.digest
    assert here.histories == TWICE


def test_another_seed_tells_another_history() -> None:
    assert len({play(HOUSE, draw(seed, HOUSE.places)).digest for seed in range(20)}) == 20


def test_a_story_changes_nothing() -> None:
    """What is told is what happens without anybody listening."""
    story = Story()
    script = draw(7, HOUSE.places)
    assert play(HOUSE, script, story).digest == play(HOUSE, script).digest
    assert any("goes from initializing to active on done" in line for line in story.lines)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that tells outcomes before they are durable."""
    monkeypatch.setattr(session, "_settle_after", lambda commit, item, outcome: item.settle(outcome))


@pytest.mark.usefixtures("hasty")
def test_what_breaks_is_found_and_made_small() -> None:
    """M2 planted: the first seed that shows it, then nothing but what it takes to show it."""
    report = play_all(HOUSE, range(300))
    assert report.broken, "it is not found"
    result = report.broken[0]
    assert result.broken[0].number in ("L2", "L3", "L5")
    script = smallest(HOUSE, result)
    assert len(script.steps) + len(script.faults) < len(result.script.steps) + len(result.script.faults)
    assert play(HOUSE, script).broken[0].number == result.broken[0].number


def test_a_fault_that_is_never_reached_fails_a_campaign() -> None:
    """Who is never hit has shown nothing."""
    report = Report(histories=ENOUGH, reached=Counter({"process dies": 3}))
    assert "store stalls" in report.never_reached(HOUSE)
    assert "process dies" not in report.never_reached(HOUSE)
    assert Report(histories=ENOUGH - 1).never_reached(HOUSE) == []


def test_a_campaign_ends_with_what_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    whole = campaign(lambda: HOUSE, range(10), 1, lambda report: told.append(report.histories))
    assert (whole.histories, told) == (10, [10])


def run(*words: str) -> Any:
    return CliRunner().invoke(steward, ["simulate", *words], prog_name="steward")


def test_the_command_replays_a_seed_as_a_story() -> None:
    first, again = run("--seed", "7", "--trace"), run("--seed", "7", "--trace")
    assert first.exit_code == 0, first.output
    assert first.output == again.output
    assert "is created, in initializing" in first.output


def test_the_command_tells_the_same_as_data() -> None:
    found = json.loads(run("--histories", "5", "--seed", "1", "--json").output)
    assert found["histories"] == 5
    assert found["broken"] == found["never_reached"] == []


@pytest.mark.usefixtures("hasty")
def test_the_command_fails_with_the_seed() -> None:
    failed = run("--histories", "300", "--seed", "0", "--shrink", "--trace")
    assert failed.exit_code == 1
    assert "BROKEN L" in failed.output
    assert "replay it: steward simulate --seed" in failed.output


JAMS: Final = """\
lifecycle: 1
name: jams
machines:
  stay:
    initial: open
    events: {go: {from: [client, admin]}, retry: {from: [admin]}}
    transitions: {go: leaving, failed: leaving}
    cleanup: [{release: gate, do: shut, timeout: 2s, force: slam}]
    states:
      open: {run: [take], after: {10s: leaving}}
      leaving: {run: [cleanup], transitions: {go: [], done: gone, failed: jammed}}
      jammed: {quarantine: true, transitions: {retry: leaving}}
      gone: {final: true}
"""
JAMMING: Final = """\
from engine.registry import action, probe


@action(acquires="gate")
def take(ctx):
    ctx.resources.hold("gate", "the gate", "handle")


@action()
def shut(ctx):
    raise LookupError("no key")


@action()
def slam(ctx):
    pass


@probe("gate")
def is_shut(resource):
    return False
"""


@pytest.fixture
def jams(tmp_path: Path) -> Path:
    """A directory with a session that can never end: M7."""
    (tmp_path / "a life.yaml").write_text(JAMS)
    (tmp_path / "jamming_handlers.py").write_text(JAMMING)
    (tmp_path / "own.toml").write_text('handlers = ["jamming_handlers"]\n')
    return tmp_path


def test_what_is_printed_replays_with_the_files_that_were_given(jams: Path) -> None:
    """Else the replay plays the small lifecycle, in which nothing breaks."""
    failed = run("--lifecycle", str(jams / "a life.yaml"), "--config", str(jams / "own.toml"), "--seed", "1")
    assert "BROKEN M7" in failed.output
    words = shlex.split(failed.output.split("replay it: ")[1])
    again = run(*words[2:])
    assert again.exit_code == 1
    assert "BROKEN M7" in again.output


def test_handlers_that_fail_of_themselves_are_counted(jams: Path) -> None:
    """Nothing breaks when a handler fails, which is what invariants are for; who wrote it wants to hear of it."""
    words = ("--lifecycle", str(jams / "a life.yaml"), "--config", str(jams / "own.toml"), "--seed", "1")
    shown = run(*words, "--shrink", "--trace").output
    assert "!! shut fails without a fault: LookupError('no key')" in shown
    (own,) = json.loads(run(*words, "--json").output)["failed_without_fault"]
    assert (own["handler"], own["error"]) == ("shut", "LookupError")
    assert f"\nown handlers failed without a fault: shut x{own['count']} LookupError\n" in shown


def test_a_story_of_what_leaks_names_it_once_and_says_what_was_left_out(jams: Path) -> None:
    """An administrator asks twelve times for the same: it is told once, with the resource and why it is there."""
    words = ("--lifecycle", str(jams / "a life.yaml"), "--config", str(jams / "own.toml"), "--seed", "1")
    told = run(*words, "--shrink", "--trace").output.splitlines()
    assert re.fullmatch(r"seed 1, shrunk: (\d+) of \1 faults and (\d+) of \2 steps are left out", told[0])
    (leaks,) = {line.split(";")[1] for line in told if "as failed: cleanup leaked" in line}
    assert re.fullmatch(r" still there: gate the gate \(.*raised.*\)", leaks)
    assert sum("asks" in line and "for retry" in line for line in told) <= 2
    assert any(re.search(r"… these \d+ lines 1\d times in all", line) for line in told)


def test_a_seed_that_is_no_number_is_said_to_be() -> None:
    refused = run("--seed", "x")
    assert refused.exit_code == 2
    assert "'x' is not a valid number" in refused.output


def test_a_file_that_is_not_readable_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "life.yaml").write_text("lifecycle: [")
    failed = run("--lifecycle", str(tmp_path / "life.yaml"))
    assert failed.exit_code == 2, failed.output
