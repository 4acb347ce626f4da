"""One mistake at a time, put into a valid file: what is said about it, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.errors import SpecError
from engine.language.diagnostics import CODES
from engine.loader import parse_spec
from engine.registry import Registry


@dataclass(frozen=True)
class Mistake:
    """old, at its first place in files/valid.yaml, is replaced by new; said is what follows `lifecycle.yaml:`."""

    name: str
    old: str
    new: str
    said: tuple[str, ...]


def read_mistakes() -> list[Mistake]:
    """files/mistakes.txt: a block each of `# name`, `- old`, `+ new` and `= said` lines."""
    blocks = (FILES / "mistakes.txt").read_text().strip("\n").split("\n\n")
    return [read_mistake(block.split("\n")) for block in blocks]


def read_mistake(lines: list[str]) -> Mistake:
    marked = {mark: [line[2:] for line in lines if line[:1] == mark] for mark in "#-+="}
    return Mistake(marked["#"][0], "\n".join(marked["-"]), "\n".join(marked["+"]), tuple(marked["="]))


FILES = Path(__file__).parent / "files"
MISTAKES = read_mistakes()


def said_about(text: str, registry: Registry) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        parse_spec(text.encode(), registry)
    assert caught.value.is_readable
    return tuple(str(item).removeprefix("lifecycle.yaml:") for item in caught.value.diagnostics)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_named_where_it_is(mistake: Mistake, valid: str, registry: Registry) -> None:
    """An author finds the place by line and column, and what would work from the hint."""
    assert mistake.old in valid
    assert said_about(valid.replace(mistake.old, mistake.new, 1), registry) == mistake.said


def test_the_file_without_mistakes_is_accepted(valid: str, registry: Registry) -> None:
    """Otherwise the table above would show nothing."""
    assert parse_spec(valid.encode(), registry).name == "shop"


def test_every_mistake_of_a_file_is_reported_in_one_run(valid: str, registry: Registry) -> None:
    """Nobody should have to run the check once for each mistake."""
    text = valid
    for old, new in (
        ("lifecycle: 1", "lifecycle: 9"),
        ("payload: {cents: int,", "payload: {cents: money,"),
        ("every: 10s", "every: 10"),
        ("cancel: ending", "cancel: endng"),
        ("defer: [arrived]", "defer: [arived]"),
        ("name: shop", "name: shop\nname: stop"),
        ("run: [cleanup], transitions", "rum: [cleanup], transitions"),
        ("gone: {final: true}", "gone: {final: !!bool true, after: {1s: gone}}"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    codes = [line.rpartition("[")[2].rstrip("]") for line in said_about(text, registry)]
    assert codes == [
        "bad-version",
        "duplicate-key",
        "bad-payload-type",
        "bad-duration",
        "unknown-state",
        "unknown-event",
        "unknown-key",
        "done-without-run",
        "custom-tag",
    ]


def test_a_mistake_in_an_aliased_part_is_reported_once(valid: str, registry: Registry) -> None:
    """An alias repeats the text for the machine, not for the author who has one line to mend."""
    said = said_about(valid.replace("            - ending\n", "            - endng\n", 1), registry)
    assert [line.split(" ")[0] for line in said] == ["38:15:"]


def test_every_code_of_a_readable_file_is_shown() -> None:
    """A code nobody has seen is a promise nobody has kept."""
    shown = {line.rpartition("[")[2].rstrip("]") for mistake in MISTAKES for line in mistake.said}
    unreadable = tuple(CODES)[:11]
    assert (unreadable[0], unreadable[-1]) == ("missing-file", "unknown-alias")
    assert set(CODES) - set(unreadable) == shown
