"""The one commit that founds a session from another's log: as it is, or as it was at a number (C5).

It is a snapshot, as trimming writes them, so whoever reads logs back knows it already.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ..codec import decode
from ..errors import NotOurs, Refused
from ..journal.base import Append, SessionRow, TokenRow
from ..plan import KindPlan, StatePlan
from ..records import ROOT, Event, Message, Record
from .foreign import read_image
from .parcel import Parcel, ParcelError
from .plausible import require_plausible
from .recovery import folded, lost_states
from .snapshot import body_of, view_in
from .state import ActorImage, Outcomes, SessionImage, apply

MOVED: Final = "x."  # before ids from another log: theirs are counted by its records, and ours begin anew


@dataclass(frozen=True, slots=True)
class Founded:
    """What is to be written, and the session as it is read back from that."""

    append: Append
    row: SessionRow
    image: SessionImage


def imported(parcel: Parcel, plans: Mapping[str, KindPlan], now: float, epoch: str) -> Founded:
    """The same session, for a store that does not have it. Raises ParcelError or Refused (lost_states).

    epoch: of its log from now on. What was exported may live on, and go other ways under the same numbers: a client of
    the one must not take the other for it (L1, L4). Only an ended log is the same for ever, and keeps its own.
    """
    image = _image(parcel, len(parcel.records))
    _require_readable(parcel, image)
    _refuse_lost(image, plans)
    is_ended = parcel.row.ended_at is not None
    with parcel.at_record(len(parcel.records) - 1):
        require_plausible(image, plans, is_ended=is_ended)
    for actor in image.actors.values():
        _move(actor, _renamed)
    image.pending = _moved_mail(image, _renamed)
    row = replace(parcel.row, rev=0, first_rev=1)
    # However long ago it ended: who brings it in wants to read it.
    row = replace(row, ended_at=now) if is_ended else replace(row, epoch=epoch)
    return _found(parcel, image, row, parcel.updates, parcel.tokens, now)


def forked(
    parcel: Parcel, at: int, row: SessionRow, token: TokenRow, plans: Mapping[str, KindPlan], now: float
) -> Founded:
    """A new session that goes on from where another was at a number; row: the new one's.

    Raises Refused (trimmed, ended, lost_states, bad_payload), saying which number would do.
    """
    ends = parcel.ends()
    count = _cut(parcel, ends, at)
    image = _image(parcel, count)
    _refuse_lost(image, plans)
    if _root_plan(image, plans).is_final:
        raise _ended(parcel, ends, plans)
    late_s = now - Record.decode(parcel.records[count - 1]).at
    for actor in image.actors.values():
        _move(actor, _anonymous)
        _shift(actor, late_s)
    image.pending = _moved_mail(image, _anonymous)
    image.outcomes = Outcomes()
    seq = ends[count - 1]
    row = replace(row, trimmed=parcel.row.trimmed)
    return _found(parcel, image, row, parcel.updates[: seq - row.trimmed], (token,), now)


def _found(
    parcel: Parcel,
    image: SessionImage,
    row: SessionRow,
    updates: tuple[bytes, ...],
    tokens: tuple[TokenRow, ...],
    now: float,
) -> Founded:
    view = view_in(Record.decode(parcel.records[0]))
    oldest_at = decode(updates[0])["ts"] if updates else None
    image.rev = 0
    body = body_of(image, view, sum(map(len, updates)), oldest_at)
    record = Record("snapshot", ROOT, image.actors[ROOT].kind, now, body).encode()
    append = Append(row.sid, row.fence, 1, record, updates, session=row, tokens=tokens, ended_at=row.ended_at)
    return Founded(append, replace(row, rev=1, seq=row.trimmed + len(updates)), folded([record]))


def _cut(parcel: Parcel, ends: list[int], at: int) -> int:
    """How many records are before the first that goes beyond a number."""
    if at > parcel.row.seq:
        raise Refused("bad_payload", f"there is no event {at} yet; the last is {parcel.row.seq}")
    if at < ends[0]:
        gone = f"events before {ends[0]} may still be read, but the steps between them are gone"
        raise Refused("trimmed", f"this log was trimmed: {gone}; fork it at {ends[0]} or above")
    return sum(1 for end in ends if end <= at)


def _image(parcel: Parcel, count: int) -> SessionImage:
    image = SessionImage()
    for index, text in enumerate(parcel.records[:count]):
        try:
            apply(image, Record.decode(text))
        except Exception as error:
            what = f"this record does not follow from those before it: {type(error).__name__}: {error}"
            raise ParcelError(parcel.line_of(index), what) from None
    if ROOT not in image.actors:
        raise ParcelError(parcel.line_of(0), "this is no session: nobody is its root")
    return image


def _require_readable(parcel: Parcel, image: SessionImage) -> None:
    """Raises ParcelError, naming the first record after which the session is none."""
    if not _mistake(image):
        return
    first = bisect_left(range(len(parcel.records)), True, key=lambda n: bool(_mistake(_image(parcel, n + 1))))
    raise ParcelError(parcel.line_of(first), _mistake(_image(parcel, first + 1)))


def _mistake(image: SessionImage) -> str:
    try:
        read_image(image)
    except NotOurs as error:
        return str(error)
    return ""


def _refuse_lost(image: SessionImage, plans: Mapping[str, KindPlan]) -> None:
    if lost := lost_states(image, plans):
        what = f"the lifecycle file has no {', '.join(lost)}; a server whose file has them would take it"
        raise Refused("lost_states", what)


def _root_plan(image: SessionImage, plans: Mapping[str, KindPlan]) -> StatePlan:
    root = image.actors[ROOT]
    return plans[root.kind].states[root.state]


def _ended(parcel: Parcel, ends: list[int], plans: Mapping[str, KindPlan]) -> Refused:
    image, last = SessionImage(), None
    for text, end in zip(parcel.records, ends, strict=True):
        apply(image, Record.decode(text))
        if not lost_states(image, plans) and not _root_plan(image, plans).is_ending:
            last = end
    would = "no part of its log is left in which it has not" if last is None else f"fork it at {last} or below"
    return Refused("ended", f"the session has ended there; {would}")


# What of one log does not hold in another


def _renamed(event: Event) -> Event:
    return replace(event, id=MOVED + event.id) if event.id else event


def _anonymous(event: Event) -> Event:
    """Whose command it was is a client of another session."""
    return replace(_renamed(event), command=None)


def _move(actor: ActorImage, moved: Callable[[Event], Event]) -> None:
    # What it holds is another server's, or the other session's: who cleans up here may not touch it.
    actor.holds = []
    actor.deferred = [moved(event) for event in actor.deferred]
    actor.owed = [moved(event) for event in actor.owed]
    actor.entered_by = moved(actor.entered_by) if actor.entered_by is not None else None


def _moved_mail(image: SessionImage, moved: Callable[[Event], Event]) -> dict[str, Message]:
    mail = [Message(message.to, moved(message.event)) for message in image.pending.values()]
    return {message.event.id: message for message in mail}


def _shift(actor: ActorImage, seconds: float) -> None:
    """Its time goes on from the moment of the cut, or limits that were far away then would be over at once."""
    actor.entered_at += seconds
    actor.deadlines = {name: at + seconds for name, at in actor.deadlines.items()}
    actor.entries = {state: [at + seconds for at in times] for state, times in actor.entries.items()}
