"""Proof that the kit finds what it is for: bugs that are planted in the engine, one after another, are all found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from planting import BUGS, Bug, patched

HERE: Final = Path(__file__).parent
HUNT_S: Final = 280.0
BUGS_MIN: Final = 25


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_stands_for_a_line_that_is_there(bug: Bug) -> None:
    """A line that was rewritten takes its bug along, or nobody would notice that it is not planted any more."""
    compile(patched(bug), bug.module, "exec")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_planted_bug_is_found_and_nothing_where_there_is_none() -> None:
    """M1 to M8, C1 to C6, L5: within fifty histories of thirty steps each, drawn alike every time."""
    done = subprocess.run(
        [sys.executable, HERE / "hunt.py"], capture_output=True, text=True, timeout=HUNT_S, check=True, cwd=HERE
    )
    found = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    assert found["no bug"] == ""
    assert [bug.name for bug in BUGS if not found.get(bug.name)] == []
    assert len(BUGS) >= BUGS_MIN
