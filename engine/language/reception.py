"""What a kind of actor takes from others: which events, from whom, carrying what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError, Refused
from ..plan import KindPlan
from ..records import Origin


def accept(plan: KindPlan, event: str, payload: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    """The payload as declared. Raises Refused: unknown_event, forbidden or bad_payload."""
    declared = plan.events.get(event)
    if declared is None:
        takes = _names(plan, origin)
        raise Refused("unknown_event", f"a {plan.kind} takes no event {event!r} from a {origin}; it takes {takes}")
    if origin not in declared.senders:
        raise Refused("forbidden", f"{event!r} of a {plan.kind} may not come from a {origin}")
    try:
        return declared.payload.check(payload)
    except ArgumentError as error:
        raise Refused("bad_payload", f"{event}: {error}") from None


def _names(plan: KindPlan, origin: Origin) -> str:
    return ", ".join(sorted(name for name, event in plan.events.items() if origin in event.senders)) or "none"
