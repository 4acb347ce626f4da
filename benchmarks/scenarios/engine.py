"""P1: one event of one actor, nothing stored."""

from __future__ import annotations

from ..scenario import Bar, Measure, Scenario, Side, node_peer, python, python_peer

HAND = "a hand-written loop"
OURS = "Steward: a machine"
STOCK = "transitions AsyncMachine"
XSTATE = "XState"
RIVALS = ("python-statemachine", "sismic", "xstate-statemachine")

SCENARIO = Scenario(
    number="P1",
    name="engine",
    title="One event: a guard and two async callbacks",
    about="Events a second of processor time, one actor, one after another, nothing stored.",
    sides=(
        Side(HAND, "reference", python("engine", "hand"), note="a dict, for exactly this and nothing else"),
        Side(OURS, "ours", python("engine", "machine"), note="LifecycleMachine, driven as transitions is"),
        Side(
            "Steward: an actor of a session",
            "ours",
            python("engine", "actor"),
            note="mailbox, bounded handlers, record and outcome encoded; the journal keeps nothing",
        ),
        Side(XSTATE, "peer", node_peer("events"), "node", note="starts async actions and awaits none"),
        Side(STOCK, "peer", python_peer("events", "transitions"), "python"),
        Side("python-statemachine", "peer", python_peer("events", "statemachine"), "python"),
        Side("sismic", "peer", python_peer("events", "sismic"), "python", note="has no async callbacks"),
        Side("xstate-statemachine", "peer", python_peer("events", "xstate"), "python"),
    ),
    measures=(Measure("events_s", "events/s", "events/s"),),
    bars=(
        Bar("half of the hand-written loop", "events_s", OURS, HAND, at_least=0.5),
        Bar("twice XState", "events_s", OURS, XSTATE, at_least=2.0),
        Bar("40 times the stock AsyncMachine", "events_s", OURS, STOCK, at_least=40.0),
        *(Bar(f"ahead of {name}", "events_s", OURS, name, at_least=1.0) for name in RIVALS),
    ),
)
