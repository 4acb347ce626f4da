"""Conditions of an actor: what holds now, and which of it waits in the mailbox as an event.

Raised when they become true and on entering a state that lists them while they hold; each waits at most once, however
often it flaps, and is dropped if it is no longer true when it is taken. `actor.conditions` are those that hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Event

if TYPE_CHECKING:
    from ..actor import Actor


def hold(actor: Actor, name: str) -> None:
    """It holds from the beginning; the first state that lists it is told on being entered."""
    if name not in actor.conditions:
        actor.conditions = tuple(sorted((*actor.conditions, name)))


def set_condition(actor: Actor, name: str, *, holds: bool) -> None:
    if not holds:
        actor.conditions = tuple(one for one in actor.conditions if one != name)
    elif name not in actor.conditions:
        hold(actor, name)
        _raise(actor, name)


def raise_listed(actor: Actor) -> None:
    """A state was entered, or restored: it is told of what holds already."""
    for name in actor.conditions:
        if actor.state_plan.rows.get(name):
            _raise(actor, name)


def _raise(actor: Actor, name: str) -> None:
    if not actor.is_halted and not actor.mailbox.has_urgent(name):
        actor.post(Event(name))
