"""Hypothesis strategies made from a lifecycle file: what it may be sent, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from hypothesis import strategies as st

from ..language.payload import INT_MAX, INT_MIN
from ..records import Event
from ..spec import EventDecl, Spec
from .lifecycle import Lifecycle
from .trouble import Name, Way, named_in, ways_of

EVENTS_MAX: Final = 20
EDGE_S: Final = 0.5  # on both sides of a deadline
WAITS_S: Final = (0.1, 2.0, 12.0)  # within a moment, past a grace, past the time-out of a handler
WAIT_S_MAX: Final = 3600.0

TEXT: Final = st.text(max_size=20)
SCALARS: Final = st.none() | st.booleans() | st.integers(INT_MIN, INT_MAX) | TEXT
FLOATS: Final = st.floats(allow_nan=False, allow_infinity=False)
VALUES: Final[dict[str, st.SearchStrategy[Any]]] = {
    "str": TEXT,
    "int": st.integers(INT_MIN, INT_MAX),
    "float": FLOATS,
    "bool": st.booleans(),
    "json": st.recursive(
        SCALARS | FLOATS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=5,
    ),
}


def payloads(event: EventDecl) -> st.SearchStrategy[dict[str, Any]]:
    """Everything that an event's declared payload allows."""
    return st.fixed_dictionaries({name: _values(text) for name, text in event.payload.items()})


def _values(text: str) -> st.SearchStrategy[Any]:
    """As payload.py reads a type."""
    text = text.strip()
    if text.endswith("None") and text[:-4].rstrip().endswith("|"):
        return st.none() | _values(text[:-4].rstrip()[:-1])
    if text.startswith("["):
        return st.lists(_values(text[1:-1]), max_size=3)
    return VALUES[text]


def events(spec: Spec, kind: str) -> st.SearchStrategy[Event]:
    """One event that the kind declares, from a sender it declares, with a payload of its type."""
    declared = spec.machines[kind].events
    return st.sampled_from(sorted(declared)).flatmap(lambda name: _event(name, declared[name]))


def _event(name: str, declared: EventDecl) -> st.SearchStrategy[Event]:
    return st.builds(Event, st.just(name), payloads(declared), st.sampled_from(declared.senders))


def event_sequences(spec: Spec, kind: str) -> st.SearchStrategy[list[Event]]:
    """Declared events in any order, any number of times."""
    return st.lists(events(spec, kind), max_size=EVENTS_MAX)


def waits(spec: Spec) -> st.SearchStrategy[float]:
    """Seconds to let pass: moments, and just before, at and just after each time limit of the file."""
    limits = {timer.seconds for timer in _timers(spec) if timer.seconds <= WAIT_S_MAX}
    edges = {limit + edge for limit in limits for edge in (-EDGE_S, 0.0, EDGE_S)}
    return st.sampled_from([*WAITS_S, *sorted(one for one in edges if one > 0)])


def _timers(spec: Spec) -> Iterator[Any]:
    for machine in spec.machines.values():
        for state in machine.states.values():
            yield from (*state.after, *state.idle)


def troubles(lifecycle: Lifecycle) -> st.SearchStrategy[tuple[Name, Way]]:
    """A handler that the file names, and what it may do wrong."""
    registry = lifecycle.registry
    found = [(name, handler) for name in named_in(lifecycle.spec) if (handler := registry.get(*name)) is not None]
    return st.sampled_from([(name, way) for name, handler in found for way in ways_of(handler)])
