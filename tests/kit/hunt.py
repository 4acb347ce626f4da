"""Looks for each planted bug with the kit, and says what found it: one line of JSON a bug, on standard output.

A program of its own, because what a bug leaves behind is nobody else's; each is planted in a child of it.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Final

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from dense import DENSE, Dense  # noqa: E402
from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402
from planting import BUGS, Bug, planted  # noqa: E402

from engine.testing.table import cells  # noqa: E402

HISTORIES: Final = 50
STEPS: Final = 30
CPU_S: Final = 15  # a bug that makes the engine go round for ever has been found, too
BOUNDED: Final = settings(
    max_examples=HISTORIES,
    stateful_step_count=STEPS,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def found_by_table() -> str:
    """The first cell of the table that is not as the file says."""
    every = (cell for kind in DENSE.spec.machines for cell in cells(DENSE.spec, kind))
    return next((f"{cell}: {found}" for cell in every if (found := cell.actual) != cell.expected), "")


def found_by_play() -> str:
    """What the state machine says of the engine as it is; "" if it finds nothing."""
    try:
        run_state_machine_as_test(Dense, settings=BOUNDED)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


# What is decided, and what a state leaves behind, shows in a single cell.
TOOLS: Final = {"steps.decide": found_by_table, "steps.activity": found_by_table}


def hunt(bug: Bug) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + CPU_S,) * 2)
    with planted(bug):
        print(json.dumps([bug.name, TOOLS.get(bug.module, found_by_play)()]), flush=True)


def main() -> None:
    logging.disable()
    warnings.simplefilter("ignore")
    print(json.dumps(["no bug", found_by_table() or found_by_play()]), flush=True)
    for bug in BUGS:
        child = os.fork()
        if child == 0:
            hunt(bug)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
