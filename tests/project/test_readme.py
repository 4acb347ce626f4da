"""What the README and the reference pages of docs/ say is so: commands, the picture and links."""

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

from engine.loader import parse_spec
from engine.registry import Registry
from server.config import HANDLER_MODULES

ROOT: Final = Path(__file__).parents[2]
# The reference. Pages that are run from end to end have tests of their own.
NAMES: Final = ("README.md", "docs/language.md", "docs/protocol.md", "docs/handlers.md")
PAGES: Final = {ROOT / name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
README: Final = PAGES[ROOT / "README.md"]
COMMAND_S: Final = 60.0
STEWARD: Final = (sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())")
# Commands that end by themselves and change nothing are run; of the others the help has to know every word.
RUN: Final = {"check", "diagram"}
# Run for real by tests/e2e/test_plain_client.py.
CLIENT: Final = ".venv/bin/python examples/clients/plain.py ws://127.0.0.1:8080/v1/ws "


def blocks(language: str, page: str = README) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    found = [block for page in PAGES.values() for shell in ("bash", "sh", "console") for block in blocks(shell, page)]
    return [line for block in found for line in block.splitlines() if line.strip()]


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
    known = ("make ", ".venv/bin/steward ", "git ", CLIENT)
    assert [line for line in commands() if not line.startswith(known)] == []
    assert shutil.which("git")


def test_what_make_run_and_make_play_call_exists() -> None:
    """`make run` and `make play` are the two commands; the fresh-clone check runs the first for real."""
    recipes = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"exec \$\(BIN\)/steward (\w+)", recipes) == ["serve", "play"]


def test_the_readme_shows_the_session_machine() -> None:
    """That it is the one of the file is held by test_diagrams.py."""
    assert "](diagrams/session.svg)" in README


def test_the_edit_of_the_tour_is_one_that_can_be_made() -> None:
    """Step 5: the words to change stand there once, and the file still passes with the new ones."""
    state, old, new = re.findall(r"in\s`(\w+)`, change `(\w+)` to `(\w+)`", README)[0]
    text = (ROOT / "lifecycle.yaml").read_text(encoding="utf-8")
    assert text.count(f" {old}:") == 1
    registry = Registry.of(*HANDLER_MODULES)
    edited = parse_spec(text.replace(f" {old}:", f" {new}:").encode(), registry).machines["session"].states[state]
    assert new in [timer.text for timer in edited.after]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Within the repository; other sites are not ours to test."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES[page])
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def test_every_page_is_found_from_the_readme() -> None:
    """A page that nothing leads to is not read."""
    assert [page.name for page in PAGES if page.name != "README.md" and f"](docs/{page.name})" not in README] == []


def test_the_changelog_names_this_version() -> None:
    """A release without a word on what changed is one nobody dares to take."""
    version = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[0]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
