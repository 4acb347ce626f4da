"""State by event: every pair of every machine, whatever the guards say, does what the file says."""

from __future__ import annotations

import pytest

from engine.testing.table import Cell


@pytest.mark.lifecycle("lifecycle.yaml")
def test_the_shipped_file_happens_as_written(cell: Cell) -> None:
    """M1: outcome, code and state after."""
    assert cell.actual == cell.expected


@pytest.mark.lifecycle("tests/engine/files/small.yaml")
def test_a_small_file_happens_as_written(cell: Cell) -> None:
    assert cell.actual == cell.expected
