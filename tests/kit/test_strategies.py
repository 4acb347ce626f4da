"""What the kit draws is what a lifecycle file allows, all of it and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hypothesis import find, given
from hypothesis import strategies as st

from engine.language.payload import compile_payload
from engine.records import Event
from engine.spec import EventDecl
from engine.testing.lifecycle import read
from engine.testing.strategies import event_sequences, payloads, troubles, waits

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
import small_handlers

SMALL = read(Path(small_handlers.__file__).parent / "files" / "small.yaml", small_handlers)
TYPES = st.recursive(
    st.sampled_from(["str", "int", "float", "bool", "json"]),
    lambda inner: inner.map(lambda text: f"[{text}]") | inner.map(lambda text: f"{text} | None"),
    max_leaves=3,
)


@given(st.data(), TYPES)
def test_every_payload_is_one_that_the_engine_takes(data: st.DataObject, text: str) -> None:
    """Also of types within types."""
    declared = EventDecl(senders=("client",), payload={"it": text})
    drawn = data.draw(payloads(declared))
    assert compile_payload(declared.payload).check(drawn).keys() == {"it"}


def test_every_declared_event_is_drawn_from_every_sender_it_may_have() -> None:
    """What is never drawn would never be tested; what is not declared would only ever be refused."""
    drawn: set[tuple[str, str]] = set()

    @given(event_sequences(SMALL.spec, "session"))
    def draw(events: list[Event]) -> None:
        drawn.update((event.name, event.origin) for event in events)

    draw()
    declared = SMALL.machine("session").events
    assert drawn == {(name, sender) for name, event in declared.items() for sender in event.senders}


def test_time_is_let_pass_to_both_sides_of_every_limit() -> None:
    """A limit that is off by one is found at its edge."""
    for wanted in (9.5, 10.0, 10.5, 29.5, 30.5):
        assert find(waits(SMALL.spec), lambda seconds: seconds == wanted) == wanted  # noqa: B023


def test_only_what_can_wait_is_told_to_hang() -> None:
    """A plain function that hangs would hold the loop, and the test with it."""
    drawn: list[Any] = []
    strategy = troubles(SMALL)

    @given(strategy)
    def draw(one: Any) -> None:
        drawn.append(one)

    draw()
    ways = {name: {way for (_, other), way in drawn if other == name} for (_, name), _ in drawn}
    assert ways["raise_error"] == {"raise"}
    assert ways["do_work"] >= {"raise", "hang"}
    assert "cleanup" not in ways
