"""What a compiled kind's guards and handlers see when a plain object drives its machine."""

from __future__ import annotations

import time
from typing import Any, Final

from .plan import KindPlan, Row
from .records import Event


class ModelContext:
    """What handlers see when a plain model drives the machine: no session, no journal, no children."""

    sid: Final = ""
    path: Final = "/"
    parent: Final = None
    user: Final = ""

    def __init__(self, event_data: Any) -> None:
        self.kind: str = event_data.machine.plan.kind
        self.state: str = event_data.machine.get_model_state(event_data.model).name
        self.data: Any = getattr(event_data.model, "data", {})
        self.event = Event(event_data.event.name, event_data.kwargs, origin="client")
        self.now = time.time()
        self.children: dict[str, Any] = {}

    def entries(self, state: str) -> list[float]:
        return []


class PlainCondition:
    """A row's guard as a condition of the library."""

    def __init__(self, row: Row) -> None:
        assert row.asks is not None
        self._asks = row.asks
        self.__name__ = row.label

    def __call__(self, event_data: Any) -> bool:
        return self._asks(ModelContext(event_data))


def free_attribute(plan: KindPlan) -> str:
    """The attribute of a model that holds its state; the library refuses one that is a trigger as well."""
    return next(name for name in ("state", "current_state", "state_now") if name not in _events(plan))


def _events(plan: KindPlan) -> set[str]:
    return {event for state in plan.states.values() for event in state.rows}
