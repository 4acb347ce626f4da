"""What waits for an actor: urgent first, then what was deferred, then the bounded rest."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Busy
from engine.records import Event, Outcome
from engine.steps.mailbox import MAILBOX_EVENTS_MAX, Item, Mailbox
from engine.testing.virtual import in_virtual_time


def names(mailbox: Mailbox) -> list[str]:
    taken = []
    while (item := mailbox.take()) is not None:
        taken.append(item.event.name)
    return taken


def put(mailbox: Mailbox, name: str, *, urgent: bool = False, id: str = "") -> None:
    mailbox.put(Item(Event(name, id=id)), urgent=urgent)


@given(given=st.lists(st.tuples(st.sampled_from(["urgent", "rest", "deferred"]), st.integers(0, 99)), max_size=60))
def test_lanes_keep_their_order(given: list[tuple[str, int]]) -> None:
    """M1, M7: `terminate` never waits behind sixty messages, and within a lane nobody is overtaken."""
    mailbox = Mailbox()
    for lane, number in given:
        if lane == "deferred":
            mailbox.defer(Event(f"{number}", id=f"d{number}"))
        else:
            put(mailbox, f"{number}", urgent=lane == "urgent")
    mailbox.offer_deferred()
    assert len(mailbox) == len(given)
    expected = [str(number) for lane in ("urgent", "deferred", "rest") for kind, number in given if kind == lane]
    assert names(mailbox) == expected
    assert len(mailbox) == 0


def test_a_full_mailbox_refuses_and_loses_nothing() -> None:
    """L11: the bound is exact, and what is in it stays."""
    mailbox = Mailbox()
    for number in range(MAILBOX_EVENTS_MAX):
        assert not mailbox.is_full
        put(mailbox, str(number))
    assert mailbox.is_full
    with pytest.raises(Busy) as caught:
        put(mailbox, "one more")
    assert caught.value.retry_ms
    assert names(mailbox) == [str(number) for number in range(MAILBOX_EVENTS_MAX)]


def test_a_full_mailbox_still_takes_what_is_urgent() -> None:
    """M7: engine events and `terminate` are never refused for fullness."""
    mailbox = Mailbox()
    for number in range(MAILBOX_EVENTS_MAX):
        put(mailbox, str(number))
    put(mailbox, "terminate", urgent=True)
    item = mailbox.take()
    assert item is not None
    assert item.event.name == "terminate"


def test_a_message_of_another_actor_is_taken_above_the_bound() -> None:
    """M5: it is in the log already and counts once; to refuse it now would lose it."""
    mailbox = Mailbox()
    for number in range(MAILBOX_EVENTS_MAX):
        put(mailbox, str(number))
    put(mailbox, "message", id="17.0")
    assert names(mailbox)[-1] == "message"


def test_deferred_events_count_towards_the_bound() -> None:
    """L11: else a client could fill memory by way of a state that defers."""
    mailbox = Mailbox()
    mailbox.deferred = tuple(Event("say", id=f"d{number}") for number in range(MAILBOX_EVENTS_MAX - 1))
    put(mailbox, "say")
    assert mailbox.is_full
    with pytest.raises(Busy):
        put(mailbox, "say")


def test_what_is_deferred_again_is_offered_again_in_its_order() -> None:
    """Offered after each change of state until a state takes it."""
    mailbox = Mailbox()
    mailbox.deferred = tuple(Event(name, id=name) for name in "abc")
    mailbox.offer_deferred()
    first = mailbox.take()
    assert first is not None
    assert first.is_offer
    mailbox.offer_deferred()
    assert names(mailbox) == ["a", "b", "c"]
    assert [event.name for event in mailbox.deferred] == ["a", "b", "c"]


def test_what_was_handled_is_not_offered_again() -> None:
    """M5: it counts once."""
    mailbox = Mailbox()
    mailbox.deferred = tuple(Event(name, id=name) for name in "abc")
    mailbox.offer_deferred()
    mailbox.forget_deferred(["a", "c"])
    assert names(mailbox) == ["b"]
    assert [event.name for event in mailbox.deferred] == ["b"]


def test_closing_hands_out_everything_that_was_not_taken() -> None:
    """M5: each of their senders is told; what is deferred is answered by the record of the end."""
    mailbox = Mailbox()
    put(mailbox, "rest")
    put(mailbox, "urgent", urgent=True)
    mailbox.deferred = (Event("deferred", id="d1"),)
    mailbox.offer_deferred()
    assert [item.event.name for item in mailbox.close()] == ["urgent", "rest"]
    assert mailbox.close() == []
    assert mailbox.take() is None


@in_virtual_time
async def test_an_outcome_reaches_its_waiter_once() -> None:
    """M5: a waiter that went away, or nobody waiting at all, is no error."""
    waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    item = Item(Event("say"), waiter)
    item.settle(Outcome("done"))
    item.settle(Outcome("refused"))
    assert waiter.result() == Outcome("done")
    gone: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    gone.cancel()
    Item(Event("say"), gone).settle(Outcome("done"))
    Item(Event("say")).settle(Outcome("done"))
