"""P2: one more actor."""

from __future__ import annotations

from ..scenario import Bar, Measure, Scenario, Side, node_peer, python, python_peer

OURS = "Steward: one more actor"

SCENARIO = Scenario(
    number="P2",
    name="actor",
    title="One more actor of a machine of 6 states and 12 events",
    about="Bytes it keeps, and processor time to make it.",
    sides=(
        Side("an object with slots", "reference", python("actors", "slots"), note="the floor: machine, state, data"),
        Side(OURS, "ours", python("actors", "actor")),
        Side("Steward: one more session", "ours", python("actors", "session"), note="with its log and root actor"),
        Side("XState", "peer", node_peer("events", "actors"), "node"),
        Side("transitions add_model", "peer", python_peer("models", "transitions"), "python"),
        Side("python-statemachine", "peer", python_peer("models", "statemachine"), "python"),
    ),
    measures=(Measure("actor_bytes", "memory", "bytes"), Measure("actor_s", "time", "s")),
    bars=(
        Bar("at most 600 bytes", "actor_bytes", OURS, at_most=600),
        Bar("at most 5 µs", "actor_s", OURS, at_most=5e-6),
    ),
)
