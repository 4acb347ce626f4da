"""What is stored and what is in memory, made to agree: a pure function that says what is to be done.

It is asked at the start, when nothing is in memory, and every now and then. At most one thing is done about a session
at a time; whoever has done it may ask again, and is told nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Reading = Literal["not read", "whole", "unreadable", "lost"]
Place = Literal["up", "asleep", "coming", "unreadable"]
Deed = Literal["bring back", "name unreadable", "refuse", "drop log", "let go", "leave memory", "wake", "rouse"]

FORGOTTEN: Final = "the store has no such session any more"
GIVEN_AWAY: Final = "another writer has it"


@dataclass(frozen=True, slots=True)
class StoredView:
    """A session as the store has it.

    reading: of its log, which is only read if nobody has it in memory; not read: or the store did not answer.
    why: it is unreadable, or which states of it the lifecycle file has lost.
    """

    fence: int
    ended_at: float | None = None
    reading: Reading = "not read"
    why: str = ""


@dataclass(frozen=True, slots=True)
class LiveView:
    """A session as this process has it.

    place: coming: it is being made, brought back, rebuilt or put to sleep, by a task that looks after it.
    idle_since: nothing of it goes on and nobody is connected. owes_restored: it was woken for a deadline alone.
    wake_at: its earliest deadline, while it is asleep.
    """

    place: Place
    fence: int = 0
    idle_since: float | None = None
    owes_restored: bool = False
    wake_at: float | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """retention_s: how long the log of an ended session is kept. idle_memory_s: after so long with nothing to do it
    leaves memory; None: never. is_store_well: what leaves memory could be read again."""

    retention_s: float
    idle_memory_s: float | None = None
    is_store_well: bool = True


@dataclass(frozen=True, slots=True)
class Action:
    deed: Deed
    sid: str
    why: str = ""


# Of a session that has not ended and that nobody has in memory, by what its log is like.
BACK: Final[Mapping[Reading, Deed | None]] = {
    "not read": None,
    "whole": "bring back",
    "unreadable": "name unreadable",
    "lost": "refuse",
}


def reconcile(
    stored: Mapping[str, StoredView] | None, live: Mapping[str, LiveView], now: float, terms: Terms
) -> list[Action]:
    """What is to be done, at most one thing a session. stored: None if the store was not asked.

    live was taken before the store was asked: what came into being meanwhile is in stored alone, and whoever carries
    this out looks once more whether it still is so.
    """
    sids = live if stored is None else {**stored, **live}
    found = ((sid, _deed(sid, stored, live.get(sid), now, terms)) for sid in sids)
    return [Action(deed, sid, why) for sid, (deed, why) in found if deed is not None]


def _deed(
    sid: str, stored: Mapping[str, StoredView] | None, live: LiveView | None, now: float, terms: Terms
) -> tuple[Deed | None, str]:
    kept = stored.get(sid) if stored is not None else None
    if live is None or live.place == "unreadable":
        return _of_stored(kept, now, terms, is_named=live is not None)
    if live.place == "coming":
        return None, ""
    if stored is not None and (why := _lost_to(kept, live)):
        return "let go", why
    return _of_live(live, now, terms), ""


def _of_stored(kept: StoredView | None, now: float, terms: Terms, *, is_named: bool) -> tuple[Deed | None, str]:
    """A session that is not in memory. is_named: as unreadable, which is all that can be done about it."""
    if kept is None:
        return None, ""
    if kept.ended_at is not None:
        return ("drop log" if kept.ended_at + terms.retention_s < now else None), ""
    return (None if is_named else BACK[kept.reading]), kept.why


def _lost_to(kept: StoredView | None, live: LiveView) -> str:
    """Why a session in memory is not ours any more; "" if it is."""
    if kept is None:
        return FORGOTTEN
    return GIVEN_AWAY if kept.fence > live.fence else ""


def _of_live(live: LiveView, now: float, terms: Terms) -> Deed | None:
    if live.place == "asleep":
        return "wake" if live.wake_at is not None and live.wake_at <= now else None
    if live.owes_restored and live.idle_since is None:
        return "rouse"
    if live.idle_since is None or terms.idle_memory_s is None or not terms.is_store_well:
        return None
    is_due = live.owes_restored or now - live.idle_since >= terms.idle_memory_s
    return "leave memory" if is_due else None
