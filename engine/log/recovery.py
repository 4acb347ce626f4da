"""The way back from the log: reading stored sessions, taking them over, and naming those that cannot go on here."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import Corrupt, StewardError, UnknownFormat
from ..journal.base import Journal, SessionRow
from ..plan import KindPlan
from ..records import ROOT, Record
from .reconcile import Reading, StoredView
from .state import SessionImage, apply

BACKOFF_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0  # a store that is away for long is asked this often, and each session comes back with it
SLICE: Final = 64  # records folded in one turn of the loop: a millisecond or two
QUIET_S: Final = 60.0  # a session that ran for so long after it was rebuilt starts counting anew

log = logging.getLogger("steward.recovery")


@dataclass(frozen=True, slots=True)
class Found:
    """A stored session as its log tells it. lost: kinds and states of its actors that the lifecycle file lost."""

    row: SessionRow
    image: SessionImage
    reading: Reading = "whole"
    why: str = ""
    lost: tuple[str, ...] = ()

    @property
    def view(self) -> StoredView:
        return StoredView(self.row.fence, self.row.ended_at, self.reading, self.why)


class Recovery:
    """unreadable: sessions that are left as they are, and why (R4)."""

    def __init__(self, journal: Journal, plans: Mapping[str, KindPlan], source: random.Random) -> None:
        self.unreadable: dict[str, str] = {}
        self._journal = journal
        self._plans = plans
        self._random = source
        self._folding = asyncio.Lock()
        self._rebuilt: dict[str, tuple[int, float]] = {}  # how often lately, and when last

    async def look(self, row: SessionRow) -> Found:
        """Read a session's log; nothing of it is changed. Raises JournalError if the store does not answer."""
        try:
            image = await self._folded(await self._journal.records(row.sid))
            _require_names(image)
        except (UnknownFormat, Corrupt) as error:
            return Found(row, SessionImage(), "unreadable", str(error))
        if lost := lost_states(image, self._plans):
            return Found(row, image, "lost", f"the lifecycle file has no {', '.join(lost)} any more", lost)
        return Found(row, image)

    async def _folded(self, records: Sequence[bytes]) -> SessionImage:
        """A slice in a turn of the loop, and one log at a time: whoever comes back delays nobody else (C7)."""
        image = SessionImage()
        async with self._folding:
            for at in range(0, len(records), SLICE):
                if at:
                    await asyncio.sleep(0)
                _fold(image, records[at : at + SLICE])
        return image

    async def claim(self, found: Found) -> SessionRow | None:
        """Make a session ours (L6); None if it is gone, or was written to since it was looked at.

        Raises JournalError if the store does not answer.
        """
        try:
            row = await self._journal.claim(found.row.sid)
        except KeyError:
            return None
        return row if row.rev == found.row.rev else None

    def name_unreadable(self, sid: str, why: str) -> None:
        self.unreadable[sid] = why
        log.error("session %s is left as it is: %s", sid, why, extra={"sid": sid})

    async def pause_before_rebuild(self, sid: str, now: float) -> None:
        """Nothing for the first time; then longer each time, so that what fails at once does not spin (R2)."""
        self._rebuilt = {one: (n, at) for one, (n, at) in self._rebuilt.items() if now - at <= QUIET_S}
        count, _ = self._rebuilt.get(sid, (0, now))
        self._rebuilt[sid] = (count + 1, now)
        if count:
            await asyncio.sleep(self.pause_s(count))

    def pause_s(self, attempt: int) -> float:
        """How long to leave a store alone that did not answer for the attempt-th time."""
        longest = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** min(attempt, 16))
        return self._random.uniform(longest / 2, longest)


def lost_states(image: SessionImage, plans: Mapping[str, KindPlan]) -> tuple[str, ...]:
    """Kinds and states of actors that the lifecycle file does not have."""
    return tuple(
        f"{actor.kind}.{actor.state}"
        for actor in image.actors.values()
        if actor.kind not in plans or actor.state not in plans[actor.kind].states
    )


def _require_names(image: SessionImage) -> None:
    """By these everything else of it is found. Raises UnknownFormat."""
    if ROOT not in image.actors:
        raise UnknownFormat("its log has no root")
    if not all(isinstance(name, str) for actor in image.actors.values() for name in (actor.kind, actor.state)):
        raise UnknownFormat("its log has an actor whose kind or state is no name")


def folded(records: Iterable[bytes]) -> SessionImage:
    """A session after its records. Raises UnknownFormat for what this release cannot read, never anything else."""
    image = SessionImage()
    _fold(image, records)
    return image


def _fold(image: SessionImage, records: Iterable[bytes]) -> None:
    try:
        for text in records:
            record = Record.decode(text)
            apply(image, record)
            image.kept.add(record, len(text), record.body.get("told", 0))
    except UnknownFormat:
        raise
    except Exception as error:
        raise UnknownFormat(f"its log holds what is no record: {type(error).__name__}: {error}") from error


def refusal(found: Iterable[Found]) -> StewardError:
    """Of a start under a lifecycle file that has lost states of stored actors; with the count."""
    lost = Counter(name for one in found for name in one.lost)
    which = ", ".join(f"{name} ({count})" for name, count in sorted(lost.items()))
    return StewardError(
        f"stored actors are in states that the lifecycle file no longer has: {which}; "
        "bring the states back, or let these sessions end under the old file first"
    )
