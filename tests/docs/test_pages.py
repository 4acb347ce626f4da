"""What docs/ says is so: every file a reader is asked to write and every command they are asked to type is tried."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner
from pages import LANGUAGES, Block, PageError, Walk, blocks, commands, pattern

from server.cli import steward

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
# These have tests of their own: tests/language/test_reference.py, tests/project/test_{protocol,handlers}_page.py,
# tests/agents/test_teams_page.py.
ELSEWHERE: Final = {"language.md", "protocol.md", "handlers.md", "teams.md"}
PAGES: Final = sorted(path for path in DOCS.rglob("*.md") if path.name not in ELSEWHERE)


def name_of(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_works_as_written(page: Path, tmp_path: Path) -> None:
    """Somebody who follows it from its top gets what it shows."""
    Walk(tmp_path / "here", tmp_path / "tools").follow(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is(page: Path) -> None:
    """A block that nobody runs goes stale unseen; `shown` is said on purpose."""
    found = blocks(page.read_text(encoding="utf-8"))
    silent = [block.line for block in found if not block.marker and block.language in LANGUAGES]
    assert silent == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Within the repository; other sites are not ours to test."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def flags_of(command: str) -> set[str]:
    return set(re.findall(r"(?<=[\s,])--?[a-z][a-z-]*", command))


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=name_of)
def test_a_command_that_is_only_shown_exists(page: Path) -> None:
    """Of bash blocks the help has to know the command and every flag."""
    text = page.read_text(encoding="utf-8")
    shown = [line for block in blocks(text) if block.language == "bash" for line in block.text.splitlines()]
    for line in shown:
        found = re.search(r"(?:^|/)steward ([a-z]+)(.*)", line)
        if found is not None:
            helped = CliRunner().invoke(steward, [found[1], "--help"], prog_name="steward")
            assert helped.exit_code == 0, line
            assert flags_of(found[2]) - flags_of(helped.output) == set(), line


def test_a_page_that_lies_is_found(tmp_path: Path) -> None:
    """The runner itself: a wrong output, a wrong exit code and a diff that does not apply are each told."""
    lies = (
        "<!-- run -->\n```console\n$ echo one\ntwo\n```\n",
        "<!-- run -->\n```console\n$ false\n```\n",
        "<!-- file: a -->\n```text\nx\n```\n<!-- edit: a -->\n```diff\n-y\n+z\n```\n",
        "```console\n$ echo nobody says what this is\n```\n",
    )
    for number, lie in enumerate(lies):
        with pytest.raises(PageError, match="line"):
            Walk(tmp_path / str(number), tmp_path / f"tools{number}").follow(lie)


def test_what_is_left_open_is_left_open() -> None:
    """… within a line, and for any lines."""
    assert re.fullmatch(pattern("a … c\n…\nend"), "a b c\none\ntwo\nend")
    assert not re.fullmatch(pattern("a … c"), "a b\nc")


def test_commands_and_what_they_print_are_told_apart() -> None:
    text = "$ one \\\n    --two\nprinted\n$ three\n"
    assert list(commands(text)) == [("one \\\n    --two", "printed\n"), ("three", "")]
    assert next(blocks("x\n<!-- run -->\n```console\n$ a\n```\n")) == Block(3, "run", "console", "$ a\n")
