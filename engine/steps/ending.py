"""What clients are told at an end: why, from the event that first took the session on its way out, and what was left
undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..plan import StatePlan
from ..records import Event, Update

if TYPE_CHECKING:
    from ..actor import Actor

Code = Literal["closed", "window", "failed", "admin"]
FAILURES = frozenset({"failed", "unhealthy", "limit_exceeded", "child_ended"})


@dataclass(frozen=True, slots=True)
class Cause:
    code: Code
    why: str

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "why": self.why}


def _show(error: Mapping[str, str]) -> str:
    said = error.get("message") or f"ref {error['ref']}"
    return f"{error['handler']} {error['code']} ({said})"


def cause_of(state: StatePlan, event: Event) -> Cause:
    """admin and closed: somebody asked. window: a deadline while it waited for a connection. failed: it could not
    go on. Any other deadline closes it."""
    why = f"{event.name} in {state.name}"
    if event.origin == "admin":
        return Cause("admin", why)
    if event.name in FAILURES or event.name == "restored":
        error = event.payload.get("error")
        return Cause("failed", f"{why}: {_show(error)}" if error else why)
    is_deadline = event.name.startswith(("after ", "idle "))
    if is_deadline and "connected" in state.own:
        return Cause("window", why)
    if is_deadline and state.run:
        return Cause("failed", why)
    return Cause("closed", why)


def first_cause(actor: Actor, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The cause, if body is the record that first takes a root on its way out; else None."""
    if actor.parent is not None or "to" not in body or not actor.plan.states[body["to"]].is_ending:
        return None
    return cause_of(actor.state_plan, Event.from_json(body["by"])).to_json()


def struck(actor: Actor) -> Update:
    """What is told of an actor that ends by force, from whatever state it is in, with all below it."""
    data = {"actor": actor.path, "from": actor.state, "to": actor.state, "event": "abandoned", "final": True}
    return Update(f"{actor.kind}.state", data)


def refused_at_the_end(actor: Actor) -> list[Update]:
    """What was deferred and found no state that takes it is told so (M5)."""
    data = {"actor": actor.path, "status": "refused", "code": "ended", "message": f"{actor.path} has ended"}
    commands = [one.command for one in actor.mailbox.deferred if one.command is not None]
    return [Update("command.outcome", data, command) for command in commands]
