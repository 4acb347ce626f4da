"""Which transition an event takes: pure, never waits, reads the plan and asks the guards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from ..plan import Row, StatePlan
from ..records import Event
from ..spec import ENGINE_EVENTS

Verb = Literal["take", "refuse", "ignore", "defer", "already"]
LEAVE_A_CLEANUP: Final = frozenset({"done", "failed"})


@dataclass(frozen=True, slots=True)
class Decision:
    """verb take has a row; refuse has a code and a message for the sender."""

    verb: Verb
    row: Row | None = None
    code: str = ""
    message: str = ""


IGNORE: Final = Decision("ignore")
DEFER: Final = Decision("defer")
ALREADY: Final = Decision("already")


def decide(
    state: StatePlan, machine_targets: frozenset[str], event: Event, ctx: Any, *, is_lenient: bool = False
) -> Decision:
    """The decision for one event in one state. machine_targets: events that the machine's own rows take somewhere.

    Raises what a guard raises; if is_lenient, a guard that raises does not hold.
    """
    rows = state.rows.get(event.name)
    is_own = event.origin in ("engine", "self")
    if rows is None and event.name in state.defers:
        return DEFER
    if not rows:
        if state.is_final and event.name in machine_targets:
            return ALREADY
        return IGNORE if is_own else _refusal(state, event)
    row = next((one for one in rows if _holds(one, ctx, is_lenient=is_lenient)), None)
    if row is None:
        return IGNORE if is_own else _guarded(rows, state, event)
    if row.to is not None and state.is_cleaning and event.name not in LEAVE_A_CLEANUP:
        return ALREADY
    if row.to == state.name and event.name not in state.own and event.name != "failed":
        return ALREADY
    return Decision("take", row)


def _holds(row: Row, ctx: Any, *, is_lenient: bool) -> bool:
    try:
        return row.asks is None or row.asks(ctx)
    except Exception:
        if not is_lenient:
            raise
        return False


def _refusal(state: StatePlan, event: Event) -> Decision:
    if state.is_final:
        return Decision("refuse", code="ended", message=f"it has ended; {event.name!r} changes nothing any more")
    if state.is_quarantine:
        message = f"it is in quarantine ({state.name}) and waits for a person; {event.name!r} is not possible"
        return Decision("refuse", code="quarantined", message=message)
    outside = (name for name, rows in state.rows.items() if rows and name not in ENGINE_EVENTS and " " not in name)
    open_events = ", ".join(sorted(outside)) or "none"
    message = f"{event.name!r} is not possible in {state.name}; what is: {open_events}"
    return Decision("refuse", code="not_now", message=message)


def _guarded(rows: tuple[Row, ...], state: StatePlan, event: Event) -> Decision:
    labels = "; ".join(row.label for row in rows)
    return Decision("refuse", code="guard", message=f"{event.name!r} in {state.name} needs: {labels}")
