"""The books of a process: which sessions are in memory, which are on their way or asleep, and how many there were."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

from ..session import Leak, Session
from ..spec import Limits
from .places import Places


@dataclass(frozen=True, slots=True)
class Sleeper:
    """What is kept of a session that left memory: what lists show of it, and when it has to be back.

    going: the task that lets go of what it held; it gives what could not be let go of, which is the next root's.
    """

    sid: str
    user: str
    epoch: str
    created_at: float
    state: str
    head: int
    fence: int
    wake_at: float | None
    going: asyncio.Task[list[Leak]]


class Roster:
    """up: in memory. coming: being made or brought back, by a task that looks after it. asleep: left memory.

    created = finished + live (C3); places counts those that are being made too, and those that are asleep.
    """

    def __init__(self, limits: Limits) -> None:
        self.up: dict[str, Session] = {}
        self.coming: set[str] = set()
        self.asleep: dict[str, Sleeper] = {}
        self.places = Places(limits)
        self.created = 0
        self.finished = 0

    def __contains__(self, sid: str) -> bool:
        return sid in self.up or sid in self.coming or sid in self.asleep

    def states(self) -> dict[str, int]:
        """How many live sessions are in which state."""
        states = [one.state for one in self.up.values()] + [one.state for one in self.asleep.values()]
        return dict(sorted(Counter(states).items()))

    def strike(self, sid: str, user: str) -> None:
        """A session that is not ours any more is not in our books either."""
        self.up.pop(sid, None)
        self.asleep.pop(sid, None)
        self.created -= 1
        self.places.give_back(user)

    def end(self, session: Session) -> None:
        """A session that was live has ended. What is told twice counts once."""
        if self.up.pop(session.sid, None) is not None:
            self.finished += 1
            self.places.give_back(session.user)
