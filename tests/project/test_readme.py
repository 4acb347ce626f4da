"""What the README says is so: its commands, its picture and its links."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.loader import load_spec
from engine.registry import Registry
from engine.spec import Machine
from server.config import HANDLER_MODULES

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND_S: Final = 60.0
STEWARD: Final = (sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())")
# Commands that end by themselves and change nothing are run; of the others the help has to know every word.
RUN: Final = {"check", "diagram"}


def blocks(language: str) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line.strip()]


def steward(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*STEWARD, *words], cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_S)


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("make ")])
def test_a_make_target_exists(command: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert command.split()[1] in targets


@pytest.mark.e2e
@pytest.mark.parametrize("command", [line for line in commands() if line.startswith(".venv/bin/steward ")])
def test_a_steward_command_works_as_written(command: str, tmp_path: Path) -> None:
    """A reader types what stands there; a flag that was renamed would be their first impression."""
    subcommand, *words = shlex.split(command)[1:]
    if subcommand in RUN:
        done = steward(subcommand, *(str(tmp_path) if word == "diagrams" else word for word in words))
        assert done.returncode == 0, done.stderr
    else:
        done = steward(subcommand, "--help")
        assert done.returncode == 0, done.stderr
        assert [word for word in words if (word.startswith("-") or word.isupper()) and word not in done.stdout] == []


def test_no_other_command_is_asked_of_a_reader() -> None:
    """Everything in a bash block is checked by one of the tests here, or is git, which they have."""
    known = ("make ", ".venv/bin/steward ", "git ")
    assert [line for line in commands() if not line.startswith(known)] == []
    assert shutil.which("git")


def test_what_make_run_and_make_play_call_exists() -> None:
    """`make run` and `make play` are the two commands; the fresh-clone check runs the first for real."""
    recipes = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"exec \$\(BIN\)/steward (\w+)", recipes) == ["serve", "play"]


@pytest.fixture(scope="module")
def session() -> Machine:
    return load_spec(ROOT / "lifecycle.yaml", Registry.of(*HANDLER_MODULES)).machines["session"]


def ways(machine: Machine) -> set[tuple[str, str, str]]:
    """(source, target, event) of every transition, those of the machine from each state they hold in."""
    found = set()
    for name, state in machine.states.items():
        events = {*state.transitions, *machine.transitions}
        rows = [(event, row) for event in events for row in machine.rows(name, event) or ()]
        rows += [(f"after {timer.text}", row) for timer in state.after for row in timer.transitions]
        rows += [(f"idle {timer.text}", row) for timer in state.idle for row in timer.transitions]
        found |= {(name, row.to, event) for event, row in rows if row.to}
    return found


def test_the_picture_shows_ways_that_exist(session: Machine) -> None:
    """It leaves ways out to be readable; it may not invent one."""
    arrows = set(re.findall(r"^\s*(\w+) --> (\w+): (.+)$", next(blocks("mermaid")), re.MULTILINE))
    assert arrows
    assert arrows - ways(session) == set()


def test_the_picture_shows_every_state(session: Machine) -> None:
    drawn = set(re.findall(r"\w+", next(blocks("mermaid"))))
    assert set(session.states) - drawn == set()


def test_the_picture_begins_and_ends_where_the_session_does(session: Machine) -> None:
    picture = next(blocks("mermaid"))
    assert re.findall(r"\[\*\] --> (\w+)", picture) == [session.initial]
    ends = {name for name, state in session.states.items() if state.final}
    assert set(re.findall(r"(\w+) --> \[\*\]", picture)) == ends


def test_links_lead_somewhere() -> None:
    """Within the repository; other sites are not ours to test."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", README)
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []


def test_the_changelog_names_this_version() -> None:
    """A release without a word on what changed is one nobody dares to take."""
    version = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[0]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
