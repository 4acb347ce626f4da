"""The table of decisions: every kind of state against every kind of event."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_handlers

from engine.loader import load_spec
from engine.machine import compile_machines
from engine.plan import KindPlan, Row, StatePlan
from engine.records import Event
from engine.registry import Registry
from engine.spec import ENGINE_EVENTS
from engine.steps.decide import Decision, decide

SMALL = Path(__file__).parent / "files" / "small.yaml"
TARGETS = frozenset({"terminate"})


def row(to: str | None = "next", asks: Callable[[Any], bool] | None = None, label: str = "") -> Row:
    return Row(to, asks, label, ())


def yes(ctx: Any) -> bool:
    return True


def no(ctx: Any) -> bool:
    return False


def state(
    rows: dict[str, tuple[Row, ...]] | None = None,
    own: set[str] | None = None,
    defers: set[str] | None = None,
    **flags: bool,
) -> StatePlan:
    given = {"is_final": False, "is_quarantine": False, "is_cleaning": False, "is_ending": False, **flags}
    rows = rows or {}
    return StatePlan("here", (), rows, frozenset(rows if own is None else own), frozenset(defers or ()), (), **given)


def decided(plan: StatePlan, event: str, origin: Any = "client") -> Decision:
    return decide(plan, TARGETS, Event(event, origin=origin), None)


def summary(decision: Decision) -> str:
    return decision.code if decision.verb == "refuse" else decision.verb


GO = {"go": (row(),)}
END = {"terminate": (row("here"),)}

TABLE = [
    # what the state is, the event, its origin, the decision, why
    ("lists it", state(GO), "go", "client", "take"),
    ("lists it for itself", state({"done": (row(),)}), "done", "self", "take"),
    ("lists it as internal", state({"go": (row(None),)}), "go", "client", "take"),
    ("says []", state({"go": ()}), "go", "client", "not_now"),
    ("says [] to its own", state({"restored": ()}), "restored", "engine", "ignore"),
    ("does not know it", state(), "go", "client", "not_now"),
    ("does not know its own", state(), "done", "self", "ignore"),
    ("does not know a condition", state(), "connected", "engine", "ignore"),
    ("does not know a child's", state(), "told", "child", "not_now"),
    ("defers it", state(defers={"go"}), "go", "client", "defer"),
    ("lists and defers it", state(GO, defers={"go"}), "go", "client", "take"),
    ("has a guard that holds", state({"go": (row("next", yes, "yes"),)}), "go", "client", "take"),
    ("has a guard that does not", state({"go": (row("next", no, "no"),)}), "go", "client", "guard"),
    ("has a guard for its own", state({"done": (row("next", no, "no"),)}), "done", "self", "ignore"),
    ("is final", state(is_final=True), "go", "client", "ended"),
    ("is final, machine-level", state(is_final=True), "terminate", "client", "already"),
    ("is final, its own", state(is_final=True), "done", "self", "ignore"),
    ("is in quarantine", state(is_quarantine=True), "go", "client", "quarantined"),
    ("is in quarantine, machine-level", state(is_quarantine=True), "terminate", "client", "quarantined"),
    ("is in quarantine, an admin's way out", state(GO, is_quarantine=True), "go", "admin", "take"),
    ("cleans, done", state({"done": (row(),)}, is_cleaning=True), "done", "self", "take"),
    ("cleans, failed", state({"failed": (row(),)}, is_cleaning=True), "failed", "self", "take"),
    ("cleans, any other way out", state(GO, is_cleaning=True), "go", "client", "already"),
    ("cleans, machine-level to itself", state(END, set(), is_cleaning=True), "terminate", "client", "already"),
    ("cleans, internal", state({"go": (row(None),)}, is_cleaning=True), "go", "client", "take"),
    ("is the target, machine-level", state(END, own=set()), "terminate", "client", "already"),
    ("is the target, listed here", state(END), "terminate", "client", "take"),
    ("is the target of the machine's failed", state({"failed": (row("here"),)}, own=set()), "failed", "self", "take"),
]


@pytest.mark.parametrize(
    "plan, event, origin, expected", [entry[1:] for entry in TABLE], ids=[entry[0] for entry in TABLE]
)
def test_an_event_gets_its_decision(plan: StatePlan, event: str, origin: str, expected: str) -> None:
    """M1, M5: only what is declared happens, and whoever asked is told why not."""
    assert summary(decided(plan, event, origin)) == expected


def test_the_first_row_whose_guard_holds_is_taken() -> None:
    """Order is what the file says; guards behind it are not asked."""

    def never(ctx: Any) -> bool:
        raise AssertionError("asked")

    second = row("second", yes)
    plan = state({"go": (row("first", no), second, row("third", never), row("fourth"))})
    assert decided(plan, "go").row is second


def test_guards_see_what_they_are_given() -> None:
    """They are pure functions of ctx."""
    seen: list[Any] = []

    def look(ctx: Any) -> bool:
        seen.append(ctx)
        return True

    decide(state({"go": (row("next", look),)}), TARGETS, Event("go"), "the ctx")
    assert seen == ["the ctx"]


def test_a_guard_that_raises_is_not_a_guard_that_refuses() -> None:
    """It is a failed `do`; the step reports it as such."""

    def fail(ctx: Any) -> bool:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        decided(state({"go": (row("next", fail),)}), "go")


def test_a_refusal_names_the_guard() -> None:
    """M5: never a bare false."""
    plan = state({"go": (row("a", no, "is_owner"), row("b", no, "has_role: admin"))})
    assert decided(plan, "go").message == "'go' in here needs: is_owner; has_role: admin"


def test_a_refusal_says_what_is_possible() -> None:
    """A client's author reads it; timers are no events to send, and neither is what the state refuses."""
    plan = state({"say": (row(),), "stop": (), "after 30s": (row(),), "ask": (row(),)})
    assert decided(plan, "go").message == "'go' is not possible in here; what is: ask, say"
    assert decided(state(), "go").message.endswith("what is: none")


# A whole machine from a file


@pytest.fixture(scope="module")
def plans() -> dict[str, KindPlan]:
    registry = Registry.of(small_handlers)
    machines = compile_machines(load_spec(SMALL, registry), registry)
    return {kind: machine.plan for kind, machine in machines.items() if machine.plan is not None}


def test_every_state_decides_every_event(plans: dict[str, KindPlan]) -> None:
    """M1: whatever comes, a row is taken only where the table has one, and its own events are never refused."""

    class Ctx:
        """Guards of the file ask for a role; this caller has none."""

        class event:
            class caller:
                roles: frozenset[str] = frozenset()

    for plan in plans.values():
        targets = frozenset(name for name, rows in plan.machine_rows.items() if any(one.to for one in rows))
        for here in plan.states.values():
            for name in {*plan.events, *ENGINE_EVENTS, *(timer.event for timer in here.timers), "unheard of"}:
                for origin in ("client", "self", "engine"):
                    decision = decide(here, targets, Event(name, origin=origin), Ctx())  # type: ignore[arg-type]
                    assert (decision.row is not None) == (decision.verb == "take")
                    assert decision.row is None or decision.row in here.rows[name]
                    assert (decision.verb == "refuse") <= (origin == "client")
                    assert (decision.verb == "refuse") == bool(decision.code) == bool(decision.message)
                    assert not (decision.verb == "take" and here.is_final)
                    assert not (decision.verb == "defer" and name not in here.defers)


def test_terminate_is_heard_everywhere_but_in_quarantine(plans: dict[str, KindPlan]) -> None:
    """A client that wants to leave is never told that it is not possible now."""
    verbs = {
        name: decide(here, frozenset({"terminate"}), Event("terminate", origin="client"), None).verb
        for name, here in plans["session"].states.items()
    }
    assert verbs == {
        "initializing": "take",
        "active": "take",
        "reconnecting": "take",
        "pausing": "take",
        "terminating": "already",
        "terminated": "already",
        "error": "refuse",
    }
