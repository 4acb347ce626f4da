"""How long a duration may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import SpecError
from engine.loader import parse_spec
from engine.registry import Registry
from engine.units import DURATION_S_MAX, parse_duration

FILE = Path(__file__).parents[1] / "server" / "files" / "wire.yaml"


@pytest.mark.parametrize("text", ["366d", "8784h", "31622400s"])
def test_a_year_is_a_duration(text: str) -> None:
    assert parse_duration(text) == DURATION_S_MAX


@pytest.mark.parametrize("text", ["367d", "8785h", "999999999d"])
def test_more_than_a_year_was_meant_otherwise(text: str) -> None:
    """A timer beyond what the clock of a machine can count never fires, or fires at once."""
    with pytest.raises(ValueError, match="the longest duration is 366d"):
        parse_duration(text)
    with pytest.raises(SpecError) as caught:
        parse_spec(FILE.read_text().replace("1h: terminating", f"{text}: terminating").encode(), Registry([]))
    found = [one for one in caught.value.diagnostics if one.code == "bad-duration"]
    assert [(one.message, one.hint) for one in found] == [(f"'{text}' is too long", "the longest is 366d")]
