"""docs/protocol.md and docs/operating.md have the tables that the code would write."""

from __future__ import annotations

import pytest

from server import reference


def test_the_page_is_the_one_the_code_would_write(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m server.reference --write` renews it."""
    assert reference.main(["--check"]) == 0, capsys.readouterr().out


def test_every_table_has_its_place() -> None:
    """A table that is generated and shown nowhere helps nobody."""
    shown = [reference.blocks_in(page.read_text("utf-8")) for page in reference.PAGES]
    assert set.union(*shown) == set(reference.BLOCKS)


def test_a_page_that_is_out_of_date_is_found_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check writes nothing: it runs where the work tree must stay as it is."""
    texts = [page.read_text("utf-8") for page in reference.PAGES]
    monkeypatch.setitem(reference._RANGES, 40, "go away")  # type: ignore[index]
    assert reference.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().out
    assert [page.read_text("utf-8") for page in reference.PAGES] == texts
