"""Conditions of one actor: what holds now, and which of it waits in the mailbox as an event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .records import Event

if TYPE_CHECKING:
    from .actor import Actor


class Conditions:
    """Raised when they become true and on entering a state that lists them while they hold; each waits at most
    once, however often it flaps, and is dropped if it is no longer true when it is taken."""

    __slots__ = ("_actor", "_held", "_waiting")

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._held: set[str] = set()
        self._waiting: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._held))

    def hold(self, name: str) -> None:
        """It holds from the beginning; the first state that lists it is told on being entered."""
        self._held.add(name)

    def set(self, name: str, holds: bool) -> None:
        if not holds:
            self._held.discard(name)
        elif name not in self._held:
            self._held.add(name)
            self._raise(name)

    def raise_listed(self) -> None:
        """A state was entered, or restored: it is told of what holds already."""
        for name in self:
            if self._actor.state_plan.rows.get(name):
                self._raise(name)

    def taken(self, name: str) -> None:
        """An event of this name left the mailbox."""
        self._waiting.discard(name)

    def _raise(self, name: str) -> None:
        if name not in self._waiting and not self._actor.is_halted:
            self._waiting.add(name)
            self._actor.post(Event(name))
