"""Why a session ends, as its clients are told: from the event that first took it on its way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .plan import StatePlan
from .records import Event

Code = Literal["closed", "window", "failed", "admin"]
FAILURES = frozenset({"failed", "unhealthy", "limit_exceeded", "child_ended"})


@dataclass(frozen=True, slots=True)
class Cause:
    code: Code
    why: str

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "why": self.why}


def cause_of(state: StatePlan, event: Event) -> Cause:
    """admin and closed: somebody asked. window: a deadline while it waited for a connection. failed: it could not
    go on. Any other deadline closes it."""
    why = f"{event.name} in {state.name}"
    if event.origin == "admin":
        return Cause("admin", why)
    if event.name in FAILURES or event.name == "restored":
        error = event.payload.get("error")
        return Cause("failed", f"{why}: {error['handler']} {error['code']} (ref {error['ref']})" if error else why)
    is_deadline = event.name.startswith(("after ", "idle "))
    if is_deadline and "connected" in state.own:
        return Cause("window", why)
    if is_deadline and state.run:
        return Cause("failed", why)
    return Cause("closed", why)
