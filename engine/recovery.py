"""Reading stored sessions back, and refusing what this process cannot go on with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .errors import StewardError
from .journal.base import Journal, SessionRow
from .plan import KindPlan
from .records import Record
from .state import SessionImage, fold


@dataclass(frozen=True, slots=True)
class Stored:
    """A session as its log tells it; row is under our own fence if the session goes on."""

    row: SessionRow
    image: SessionImage


async def read_back(journal: Journal, row: SessionRow) -> Stored | None:
    """Claim a session that has not ended, and fold its log; None if it is gone.

    Raises UnknownFormat for records of another release, JournalError, or ValueError for what is no record at all.
    """
    try:
        claimed = row if row.ended_at is not None else await journal.claim(row.sid)
    except KeyError:
        return None
    return Stored(claimed, fold(Record.decode(text) for text in await journal.records(row.sid)))


def refuse_vanished(stored: Iterable[Stored], plans: Mapping[str, KindPlan]) -> None:
    """Raises StewardError, with the count, if a stored actor is of a kind or in a state that the file lost."""
    lost = Counter(
        f"{actor.kind}.{actor.state}"
        for one in stored
        for actor in one.image.actors.values()
        if actor.kind not in plans or actor.state not in plans[actor.kind].states
    )
    if lost:
        which = ", ".join(f"{name} ({count})" for name, count in sorted(lost.items()))
        raise StewardError(
            f"stored actors are in states that the lifecycle file no longer has: {which}; "
            "bring the states back, or let these sessions end under the old file first"
        )
