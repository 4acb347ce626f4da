"""P6 and P7: whole lives of sessions with AutoGen agents, and their ends."""

from __future__ import annotations

from ..scenario import Bar, Measure, Scenario, Side, python

BARE = "bare autogen-core"
DISK = "Steward, log on disk"

LIFE = Scenario(
    number="P6",
    name="lifecycle",
    title="Whole life of a session with an AutoGen team of three",
    about=(
        "Created, active, one message passed through three agents, terminated, report looked at: 20 lives at a time in "
        "one process. Bare autogen-core makes a runtime and three agents, passes the message, stops and closes."
    ),
    sides=(
        Side(BARE, "reference", python("lives", "bare"), note="no states, no log, no clean-up but its own"),
        Side(DISK, "ours", python("lives", "sqlite"), note="as it is served: every step fsynced, a workspace each"),
        Side("Steward, log in memory", "ours", python("lives", "memory"), note="with a workspace each"),
    ),
    measures=(
        Measure("life_s", "one of 20 at a time", "s"),
        Measure("cpu_s", "processor time", "s"),
        Measure("alone_s", "one alone", "s"),
    ),
    bars=(Bar("1.5 times bare autogen-core", "life_s", DISK, BARE, at_most=1.5),),
    round_s=120.0,
)

LONGEST = "the hostile ones alone"
MANY = "1,000 sessions, 200 hostile"

TEARDOWN = Scenario(
    number="P7",
    name="teardown",
    title="Tear-down of 1,000 sessions at once, every fifth hostile",
    about=(
        "Hostile agents hang, swallow cancellation, or swallow everything, and are at it when all are told to "
        "terminate. The reference is one of each sort alone: the longest single way out, with its time-outs."
    ),
    sides=(
        Side(LONGEST, "reference", python("lives", "longest"), note="three sessions, one of each sort"),
        Side(MANY, "ours", python("lives", "many")),
    ),
    measures=(
        Measure("all_s", "until all have ended", "s"),
        Measure("cpu_s", "processor time of it", "s"),
        Measure("leaks", "leaks", "count"),
        Measure("sessions", "sessions", "count"),
    ),
    bars=(
        Bar("twice the longest single way out", "all_s", MANY, LONGEST, at_most=2.0),
        Bar("0 leaks", "leaks", MANY, at_most=0),
    ),
    round_s=300.0,
)
