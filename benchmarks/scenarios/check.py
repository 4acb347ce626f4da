"""P9: how long one waits for a proof."""

from __future__ import annotations

from ..scenario import Bar, Measure, Scenario, Side, python

SHIPPED = "the shipped file"
LARGE = "40 kinds of 40 states"

SCENARIO = Scenario(
    number="P9",
    name="check",
    title="`steward check`",
    about="A whole process: start, handlers, the file read, and every proof. The bars judge processor time, which "
    "neighbours do not touch.",
    sides=(
        Side(SHIPPED, "ours", python("check", "shipped"), note="3 kinds, 22 states"),
        Side(LARGE, "ours", python("check", "large"), note="a tree of kinds; most of it is reading the file"),
    ),
    measures=(Measure("cpu_s", "processor time", "s"), Measure("check_s", "by the clock", "s")),
    bars=(
        Bar("the shipped file under 1 s", "cpu_s", SHIPPED, at_most=1.0),
        Bar("40 kinds of 40 states under 5 s", "cpu_s", LARGE, at_most=5.0),
    ),
)
