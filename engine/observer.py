"""What counts and traces sessions is told of them here, as things happen; nothing in the engine depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import Record

if TYPE_CHECKING:
    from .actor import Actor
    from .session import Session


class Observer:
    """Sees everything and changes nothing. Its methods return at once and raise nothing: they run within a step."""

    __slots__ = ()

    def created(self, session: Session) -> None:
        """session is in the log, and begins."""

    def refused(self, code: str) -> None:
        """Somebody asked for a session and got none."""

    def committed(self, actor: Actor, record: Record, updates: int) -> None:
        """record is in the order of its session's log, with so many updates; actor is still as it was before."""

    def landed(self, seconds: float) -> None:
        """The store answered for a commit that it was given so long ago."""
