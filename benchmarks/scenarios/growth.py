"""P8: what grows with the number of sessions, and what must not."""

from __future__ import annotations

from ..scenario import Bar, Measure, Scenario, Side, python

COUNTS = (100, 1_000, 10_000, 50_000, 100_000)
NAMES = {count: f"{count:,} live sessions" for count in COUNTS}
FEW, MANY = NAMES[100], NAMES[50_000]
COSTS = (("event_s", "one event"), ("timer_s", "one timer"), ("look_s", "the monitor's look at one"))

SCENARIO = Scenario(
    number="P8",
    name="growth",
    title="What one event, timer and check costs among many live sessions",
    about="Processor time. Events go to sessions at random; every session has a timer and a check; nothing is stored.",
    sides=tuple(
        Side(NAMES[count], "reference" if count == 100 else "ours", python("growth", str(count)), at=count)
        for count in COUNTS
    ),
    measures=(
        *(Measure(key, title, "s") for key, title in COSTS),
        Measure("create_s", "one created", "s"),
        Measure("session_bytes", "memory of one", "bytes"),
        Measure("tasks", "tasks", "count"),
    ),
    bars=(
        *(Bar(f"{title}: within 1.2 from 100 to 50,000", key, MANY, FEW, at_most=1.2) for key, title in COSTS),
        Bar("no task for timers and heartbeats of idle sessions", "tasks", MANY, at_most=1),
    ),
    ready_s=300.0,
)
