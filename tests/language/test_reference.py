"""docs/language.md says what the code does."""

from __future__ import annotations

import re

import pytest

from engine.errors import SpecError
from engine.language import reference
from engine.loader import parse_spec
from engine.registry import Registry, action, guard, probe


def test_the_pages_are_those_the_code_would_write() -> None:
    """`python -m engine.language.reference --write` renews them."""
    assert list(reference.outdated()) == []


def test_every_table_has_its_place() -> None:
    """A table that is generated and shown nowhere helps nobody."""
    shown = [reference.blocks_in(page.read_text("utf-8")) for page in (reference.DOCS_FILE, reference.CHECK_FILE)]
    assert set().union(*shown) == set(reference.BLOCKS)


def test_renewing_twice_changes_nothing() -> None:
    """Otherwise the check would never be content."""
    once = reference.renewed(reference.DOCS_FILE.read_text("utf-8"))
    assert reference.renewed(once) == once


def test_check_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It runs where the work tree must stay as it is."""
    before = reference.DOCS_FILE.read_text("utf-8")
    assert reference.main(["--check"]) == 0
    assert capsys.readouterr().out == ""
    assert reference.DOCS_FILE.read_text("utf-8") == before


def test_the_example_is_refused_as_the_page_says() -> None:
    """The first thing a reader tries must be true."""
    page = reference.DOCS_FILE.read_text("utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    said = re.search(r"```text\n(.*?)\n```", page, re.DOTALL)
    assert example is not None
    assert said is not None
    with pytest.raises(SpecError) as caught:
        parse_spec(example[1].encode(), shop())
    assert str(caught.value) == said[1]


def shop() -> Registry:
    @guard()
    def at_least(ctx: object, *, cents: int) -> bool:
        return True

    @action(acquires="desk")
    def open_desk(ctx: object) -> None: ...

    @action()
    def close_desk(ctx: object) -> None: ...

    @action()
    def clear_desk(ctx: object) -> None: ...

    @action()
    def book(ctx: object) -> None: ...

    @probe("desk")
    def desk_is_gone(resource: object) -> bool:
        return True

    return Registry.of(at_least, open_desk, close_desk, clear_desk, book, desk_is_gone)
