"""P5: everybody is cut off at once."""

from __future__ import annotations

from ..scenario import Bar, Measure, Scenario, Side, python

OURS = "5,000 sessions of Steward"

SCENARIO = Scenario(
    number="P5",
    name="storm",
    title="5,000 sessions cut at once, all resume with 20 missed messages",
    about=(
        "From the first dial until every client has every event it missed; dials are spread over a second, as the "
        "protocol asks. Each client checks that its numbers have no hole and come once."
    ),
    sides=(
        Side("bare aiohttp", "reference", python("storm", "bare"), note="as many frames, which nobody has stored"),
        Side(OURS, "ours", python("storm", "steward")),
    ),
    measures=(
        Measure("all_s", "all live", "s"),
        Measure("half_s", "half live", "s"),
        Measure("cpu_s", "server's processor time", "s"),
        Measure("sessions", "sessions", "count"),
        Measure("dials", "dials", "count"),
        Measure("lost", "lost", "count"),
        Measure("doubled", "doubled", "count"),
    ),
    bars=(
        Bar("all live within 10 s", "all_s", OURS, at_most=10.0),
        Bar("5,000 of them", "sessions", OURS, at_least=5000),
        Bar("0 lost", "lost", OURS, at_most=0),
        Bar("0 doubled", "doubled", OURS, at_most=0),
    ),
    ready_s=300.0,
    round_s=240.0,
)
