"""What waits for an actor: an urgent lane, deferred events on offer, and a bounded lane for everyone else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ..errors import Busy
from ..records import Event, Outcome

MAILBOX_EVENTS_MAX: Final = 256  # ten seconds of typing at 25 events/s; beyond that a sender is broken
RETRY_MS: Final = 250
Waiter = asyncio.Future[Outcome] | None
Late = Callable[[], bool] | None


@dataclass(slots=True)
class Item:
    """An event and who waits for its outcome, if anybody does. is_offer: a deferred event on offer again.
    is_late: asks whether its sender's time for it is over; then it is refused instead of begun."""

    event: Event
    waiter: Waiter = None
    is_offer: bool = False
    is_late: Late = None

    @property
    def is_withdrawn(self) -> bool:
        """Whether its sender outside gave it up before it began; a message in the log cannot be given up."""
        return self.waiter is not None and self.waiter.cancelled() and not self.event.id

    def settle(self, outcome: Outcome) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(outcome)


class Mailbox:
    """Order of taking: urgent, offered again, the rest; first in, first out within each."""

    __slots__ = ("_offered", "_rest", "_urgent", "deferred")

    def __init__(self) -> None:
        # Tuples, because most mailboxes are empty and an empty one takes nothing; a list takes 56 bytes, a deque 760.
        # Copying a full lane takes a microsecond.
        self._urgent: tuple[Item, ...] = ()
        self._offered: tuple[Item, ...] = ()
        self._rest: tuple[Item, ...] = ()
        self.deferred: tuple[Event, ...] = ()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._offered) + len(self._rest)

    @property
    def is_full(self) -> bool:
        return len(self._rest) + len(self.deferred) >= MAILBOX_EVENTS_MAX

    def put(self, item: Item, *, urgent: bool) -> None:
        """Raises Busy if the bounded lane, with what is deferred, is full."""
        if urgent:
            self._urgent += (item,)
            return
        if self.is_full and not item.event.id:
            # A message of another actor is in the log already; it may not be lost, and its sender is bounded itself.
            raise Busy(f"{MAILBOX_EVENTS_MAX} events wait already", retry_ms=RETRY_MS)
        self._rest += (item,)

    def take(self) -> Item | None:
        for name in ("_urgent", "_offered", "_rest"):
            if lane := getattr(self, name):
                setattr(self, name, lane[1:])
                item: Item = lane[0]
                return item
        return None

    def has_urgent(self, name: str) -> bool:
        return any(item.event.name == name for item in self._urgent)

    def defer(self, event: Event) -> None:
        self.deferred += (event,)

    def offer_deferred(self) -> None:
        """After a change of state: everything deferred is offered again, in order."""
        self._offered = tuple(Item(event, is_offer=True) for event in self.deferred)

    def forget_deferred(self, ids: Iterable[str]) -> None:
        gone = set(ids)
        self.deferred = tuple(event for event in self.deferred if event.id not in gone)
        self._offered = tuple(item for item in self._offered if item.event.id not in gone)

    def close(self) -> list[Item]:
        """Everything that was not taken, but what is deferred, which the record of the end has answered."""
        left = [*self._urgent, *(item for item in self._offered if not item.is_offer), *self._rest]
        self._urgent = self._offered = self._rest = ()
        return left
