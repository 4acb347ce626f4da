"""The way back from the log: reading stored sessions, as patiently as the store needs, and refusing what this process
cannot go on with."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from .errors import Corrupt, JournalError, StewardError, UnknownFormat
from .journal.base import Journal, SessionRow
from .plan import KindPlan
from .records import Record
from .state import SessionImage, fold

BACKOFF_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0  # a store that is away for long is asked this often, and each session comes back with it
QUIET_S: Final = 60.0  # a session that ran for so long after it was rebuilt starts counting anew

log = logging.getLogger("steward.recovery")


@dataclass(frozen=True, slots=True)
class Stored:
    """A session as its log tells it; row is under our own fence if the session goes on."""

    row: SessionRow
    image: SessionImage


class Recovery:
    """unreadable: sessions that are left as they are, and why (R4)."""

    def __init__(self, journal: Journal, source: random.Random) -> None:
        self.unreadable: dict[str, str] = {}
        self._journal = journal
        self._random = source
        self._rebuilt: dict[str, tuple[int, float]] = {}

    async def read(self, row: SessionRow) -> Stored | None:
        """Claim a session that has not ended, and fold its log; None if it is gone, or named in unreadable.

        Raises JournalError if the store does not answer: then nothing is known of it, and it may be asked again.
        """
        try:
            claimed = row if row.ended_at is not None else await self._journal.claim(row.sid)
            return Stored(claimed, _fold(await self._journal.records(row.sid)))
        except KeyError:
            return None
        except (UnknownFormat, Corrupt) as error:
            self.name_unreadable(row.sid, error)
            return None

    def name_unreadable(self, sid: str, error: Exception) -> None:
        self.unreadable[sid] = str(error)
        log.error("session %s is left as it is: %s", sid, error, extra={"sid": sid})

    async def read_patiently(self, sid: str) -> Stored | None:
        """read(), again and again with growing pauses until the store answers. Ends with its task."""
        attempt = 0
        while True:
            try:
                row = await self._journal.session(sid)
                return await self.read(row) if row is not None else None
            except Corrupt as error:
                self.name_unreadable(sid, error)
                return None
            except JournalError as error:
                log.warning("session %s does not come back yet: %s", sid, error, extra={"sid": sid})
            await asyncio.sleep(self._pause_s(attempt))
            attempt += 1

    async def pause_before_rebuild(self, sid: str, now: float) -> None:
        """Nothing for the first time; then longer each time, so that what fails at once does not spin (R2)."""
        count, at = self._rebuilt.get(sid, (0, now))
        count = 0 if now - at > QUIET_S else count
        self._rebuilt[sid] = (count + 1, now)
        if count:
            await asyncio.sleep(self._pause_s(count))

    def forget(self, sid: str) -> None:
        self._rebuilt.pop(sid, None)

    def _pause_s(self, attempt: int) -> float:
        longest = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** min(attempt, 16))
        return self._random.uniform(longest / 2, longest)


def _fold(records: Iterable[bytes]) -> SessionImage:
    """Raises UnknownFormat for what this release cannot read, never anything else."""
    try:
        return fold(Record.decode(text) for text in records)
    except UnknownFormat:
        raise
    except Exception as error:
        raise UnknownFormat(f"its log holds what is no record: {type(error).__name__}: {error}") from error


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
