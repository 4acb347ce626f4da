"""P10: how much a simulator gets through."""

from __future__ import annotations

from ..scenario import Bar, Measure, Scenario, Side, python

BARE = "a 40-line virtual-time loop"
OURS = "steward simulate"

SCENARIO = Scenario(
    number="P10",
    name="simulate",
    title="Simulated histories a second, one processor",
    about=(
        "Ours: a server is started on a store, clients with real connections create a session with its orchestrator "
        "and an agent and talk to it under faults, everything is ended, and the invariants are checked. The bare loop "
        "plays eight messages through three hand-written tasks: no engine, no log, no connections, nothing checked."
    ),
    sides=(
        Side(BARE, "reference", python("histories", "bare"), note="the floor: what asyncio itself costs"),
        Side(OURS, "ours", python("histories", "ours")),
    ),
    measures=(Measure("histories_s", "histories/s", "count"),),
    bars=(Bar("1,500 a second", "histories_s", OURS, at_least=1500.0),),
)
