"""P12: how long one waits for the command line."""

from __future__ import annotations

from ..scenario import Bar, Measure, Scenario, Side, python

HELP = "steward --help"
ENGINE = "import of the engine"

SCENARIO = Scenario(
    number="P12",
    name="start",
    title="Import, and `steward --help`",
    about="A whole process, files in the disk's cache. The bars judge processor time, which neighbours do not touch.",
    sides=(
        Side("Python that does nothing", "reference", python("start", "bare")),
        Side(HELP, "ours", python("start", "help")),
        Side(ENGINE, "ours", python("start", "engine"), note="sessions, loader, machine and the SQLite journal"),
        Side("import of the server", "ours", python("start", "server"), note="what `steward serve` begins with"),
    ),
    measures=(Measure("cpu_s", "processor time", "s"), Measure("start_s", "by the clock", "s")),
    bars=(
        Bar("steward --help under 0.4 s", "cpu_s", HELP, at_most=0.4),
        Bar("import under 0.4 s", "cpu_s", ENGINE, at_most=0.4),
    ),
    rounds=7,
)
