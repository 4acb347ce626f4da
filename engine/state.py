"""A session as its log tells it: fold() takes records to the states of its actors. Calls no handler (M8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .records import Command, Event, Message, Outcome, Record

OUTCOMES_PER_CID: Final = 64
CIDS_MAX: Final = 256


@dataclass(slots=True)
class ActorImage:
    """One actor. ran: results of the steps of the present activity that are over, by index. owed: its `done` or
    `failed`, not yet handled. holds: resources that survive a restart, [kind, name, handle] each."""

    path: str
    kind: str
    state: str
    parent: str | None
    activation: int = 1
    entered_at: float = 0.0
    data: dict[str, Any] = field(default_factory=dict)
    deadlines: dict[str, float] = field(default_factory=dict)
    entries: dict[str, list[float]] = field(default_factory=dict)
    deferred: list[Event] = field(default_factory=list)
    ran: dict[int, Any] = field(default_factory=dict)
    owed: Event | None = None
    holds: list[list[Any]] = field(default_factory=list)
    report: dict[str, Any] | None = None
    entered_by: Event | None = None


class Outcomes:
    """The outcomes that are stored: the last OUTCOMES_PER_CID of each of the last CIDS_MAX clients."""

    def __init__(self) -> None:
        self._by_cid: dict[str, dict[int, tuple[str, Outcome]]] = {}

    def store(self, command: Command, outcome: Outcome) -> None:
        known = self._by_cid.pop(command.cid, {})
        known[command.c] = (command.digest, outcome)
        while len(known) > OUTCOMES_PER_CID:
            del known[min(known)]
        self._by_cid[command.cid] = known
        while len(self._by_cid) > CIDS_MAX:
            del self._by_cid[next(iter(self._by_cid))]

    def find(self, cid: str, c: int) -> tuple[str, Outcome] | None:
        return self._by_cid.get(cid, {}).get(c)

    def is_forgotten(self, cid: str, c: int) -> bool:
        """Whether an outcome of this number may have been dropped: older than all kept of a full cid."""
        known = self._by_cid.get(cid)
        return bool(known) and len(known or ()) >= OUTCOMES_PER_CID and c < min(known or (c,))

    def knows(self, cid: str) -> bool:
        return cid in self._by_cid


@dataclass(slots=True)
class SessionImage:
    """A whole session. actors: parents before their children. pending: messages whose receiver has not named them.
    cause: why it ends, once it does. quarantine and end are states of the root."""

    actors: dict[str, ActorImage] = field(default_factory=dict)
    pending: dict[str, Message] = field(default_factory=dict)
    outcomes: Outcomes = field(default_factory=Outcomes)
    cause: dict[str, Any] | None = None
    rev: int = 0


def fold(records: Iterable[Record]) -> SessionImage:
    """The session after records, which are all of its log in order."""
    image = SessionImage()
    for record in records:
        apply(image, record)
    return image


def apply(image: SessionImage, record: Record) -> None:
    image.rev += 1
    body = record.body
    if record.op == "created":
        image.actors[record.actor] = _created(record)
    actor = image.actors[record.actor]
    _FOLDS[record.op](actor, record)
    _account(image, actor, body)
    if record.op == "step" and body.get("ended") and record.actor in image.actors and actor.parent is not None:
        del image.actors[record.actor]


def _created(record: Record) -> ActorImage:
    body = record.body
    return ActorImage(
        path=record.actor,
        kind=record.kind,
        state=body["state"],
        parent=body["parent"],
        entered_at=record.at,
        data=dict(body["data"]),
        deadlines=dict(body["deadlines"]),
    )


def _account(image: SessionImage, actor: ActorImage, body: Mapping[str, Any]) -> None:
    """What any record may carry: messages sent and taken, an outcome, data, deferred events let go, a cause."""
    for plain in body.get("sends", ()):
        message = Message.from_json(plain)
        image.pending[message.event.id] = message
    if taken := body.get("taken"):
        image.pending.pop(taken, None)
    if stored := body.get("outcome"):
        cid, c, digest, outcome = stored
        image.outcomes.store(Command(cid, c, digest), Outcome.from_json(outcome))
    for name in ("data", "holds", "report"):
        if name in body:
            setattr(actor, name, body[name])
    if gone := body.get("undeferred"):
        actor.deferred = [event for event in actor.deferred if event.id not in gone]
    if "cause" in body:
        image.cause = body["cause"]


def _step(actor: ActorImage, record: Record) -> None:
    body = record.body
    if "fired" in body:
        actor.deadlines.pop(body["fired"], None)
    actor.deadlines.update(body.get("deadlines", {}))
    if body.get("pays"):
        actor.owed = None
    target = body.get("to")
    if target is None:
        return
    actor.state = target
    actor.activation += 1
    actor.entered_at = record.at
    actor.deadlines = dict(body["deadlines"])
    actor.ran = {}
    actor.owed = None
    actor.entered_by = Event.from_json(body["by"]) if "by" in body else None
    if "counted" in body:
        kept = actor.entries.setdefault(target, [])
        kept.append(record.at)
        del kept[: -body["counted"]]


def _ran(actor: ActorImage, record: Record) -> None:
    actor.ran[record.body["index"]] = record.body.get("result")


def _owed(actor: ActorImage, record: Record) -> None:
    actor.owed = Event.from_json(record.body["event"])


def _deferred(actor: ActorImage, record: Record) -> None:
    actor.deferred.append(Event.from_json(record.body["event"]))


def _nothing(actor: ActorImage, record: Record) -> None:
    return None


_FOLDS: Final = {
    "created": _nothing,
    "step": _step,
    "ran": _ran,
    "owed": _owed,
    "sent": _nothing,
    "taken": _step,
    "deferred": _deferred,
}
