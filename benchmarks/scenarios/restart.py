"""P11: back after kill -9."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ..scenario import ROOT, WORK, Bar, Measure, Scenario, Side, python

OURS = "steward serve"


@contextmanager
def _store() -> Iterator[None]:
    """What a killed server left behind, once for both sides."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    try:
        subprocess.run(python("stored", str(WORK)), check=True, cwd=ROOT)
        yield
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


SCENARIO = Scenario(
    number="P11",
    name="restart",
    title="Start after kill -9 with 10,000 stored sessions, 500 of them live",
    about=(
        "From the start of the process until it takes clients, and until no session tells a state that was left over. "
        "Sessions without agents; each has some ten commits."
    ),
    sides=(
        Side(
            "SQLite reads the same rows", "reference", python("restart", "bare"), note="a process that does only that"
        ),
        Side(OURS, "ours", python("restart", "steward")),
    ),
    measures=(
        Measure("ready_s", "ready", "s"),
        Measure("truthful_s", "all truthful", "s"),
        Measure("cpu_s", "processor time", "s"),
    ),
    bars=(
        Bar("ready within 3 s", "ready_s", OURS, at_most=3.0),
        Bar("all truthful within 5 s", "truthful_s", OURS, at_most=5.0),
    ),
    around=_store,
    round_s=180.0,
)
