"""A session as its log tells it: fold() takes records to the states of its actors. Calls no handler (M8).

An image goes to JSON and back exactly, so a log may begin with a snapshot instead of a creation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from ..records import Event, Message, Outcome, Record
from .kept import Kept

OUTCOMES_PER_CID: Final = 64
CIDS_MAX: Final = 256


@dataclass(slots=True)
class ActorImage:
    """One actor. ran: results of the steps of the present activity that are over, by index. owed: its `done` and
    `failed` that are not handled yet. is_run_over: its activity has ended. holds: resources that survive a restart,
    [kind, name, handle] each."""

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
    owed: list[Event] = field(default_factory=list)
    is_run_over: bool = False
    holds: list[list[Any]] = field(default_factory=list)
    report: dict[str, Any] | None = None
    entered_by: Event | None = None

    def to_json(self) -> dict[str, Any]:
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        plain["deferred"] = [event.to_json() for event in self.deferred]
        plain["owed"] = [event.to_json() for event in self.owed]
        plain["ran"] = list(self.ran.items())  # an object's keys would come back as text
        plain["entered_by"] = self.entered_by.to_json() if self.entered_by is not None else None
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ActorImage:
        by = plain["entered_by"]
        lists = {name: [Event.from_json(event) for event in plain[name]] for name in ("deferred", "owed")}
        entered_by = Event.from_json(by) if by is not None else None
        return cls(**{**plain, **lists, "ran": dict(plain["ran"]), "entered_by": entered_by})


class Outcomes:
    """The outcomes that are stored: the last OUTCOMES_PER_CID of each of the last CIDS_MAX clients. Kept as JSON, as
    the log has them: few are ever asked for again, and a snapshot takes and gives all of them at once."""

    __slots__ = ("_by_cid",)

    def __init__(self) -> None:
        self._by_cid: dict[str, dict[int, tuple[str, dict[str, Any]]]] = {}

    def store(self, cid: str, c: int, digest: str, outcome: dict[str, Any]) -> None:
        """outcome: as Outcome.to_json() gave it."""
        known = self._by_cid.pop(cid, None) or {}
        known[c] = (digest, outcome)
        while len(known) > OUTCOMES_PER_CID:
            del known[min(known)]
        self._by_cid[cid] = known
        while len(self._by_cid) > CIDS_MAX:
            del self._by_cid[next(iter(self._by_cid))]

    def find(self, cid: str, c: int) -> tuple[str, Outcome] | None:
        known = self._by_cid.get(cid)
        found = known.get(c) if known is not None else None
        return (found[0], Outcome.from_json(found[1])) if found is not None else None

    def is_forgotten(self, cid: str, c: int) -> bool:
        """Whether an outcome of this number may have been dropped: older than all kept of a full cid."""
        known = self._by_cid.get(cid)
        if known is None or len(known) < OUTCOMES_PER_CID or c >= next(iter(known)):
            return False  # the first that was stored is most often the least, and never less than that
        return c < min(known)

    def knows(self, cid: str) -> bool:
        return cid in self._by_cid

    def to_json(self) -> list[Any]:
        """In the order in which they would be dropped."""
        return [
            [cid, [[c, digest, outcome] for c, (digest, outcome) in known.items()]]
            for cid, known in self._by_cid.items()
        ]

    @classmethod
    def from_json(cls, plain: Iterable[Any]) -> Outcomes:
        outcomes = cls()
        outcomes._by_cid = {cid: {c: (digest, outcome) for c, digest, outcome in known} for cid, known in plain}
        return outcomes


@dataclass(slots=True)
class SessionImage:
    """A whole session. actors: parents before their children. pending: messages whose receiver has not named them.
    cause: why it ends, once it does. kept: of the log it was read from; quarantine and end are states of the root."""

    actors: dict[str, ActorImage] = field(default_factory=dict)
    pending: dict[str, Message] = field(default_factory=dict)
    outcomes: Outcomes = field(default_factory=Outcomes)
    cause: dict[str, Any] | None = None
    rev: int = 0
    kept: Kept = field(default_factory=Kept)

    def to_json(self) -> dict[str, Any]:
        return {
            "actors": [actor.to_json() for actor in self.actors.values()],
            "pending": [message.to_json() for message in self.pending.values()],
            "outcomes": self.outcomes.to_json(),
            "cause": self.cause,
            "rev": self.rev,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> SessionImage:
        actors = [ActorImage.from_json(one) for one in plain["actors"]]
        pending = [Message.from_json(one) for one in plain["pending"]]
        return cls(
            actors={actor.path: actor for actor in actors},
            pending={message.event.id: message for message in pending},
            outcomes=Outcomes.from_json(plain["outcomes"]),
            cause=plain["cause"],
            rev=plain["rev"],
        )


def fold(records: Iterable[Record]) -> SessionImage:
    """The session after records: its log in order, from its creation or from a snapshot on."""
    image = SessionImage()
    for record in records:
        apply(image, record)
    return image


def apply(image: SessionImage, record: Record) -> None:
    if record.op == "snapshot":
        _replace(image, SessionImage.from_json(record.body["image"]))
    image.rev += 1
    if record.op == "created":
        image.actors[record.actor] = _created(record)
    _account(image, record.body)
    actor = image.actors.get(record.actor)
    if actor is None:
        return  # what an actor took after its end changes nothing but the session's own books
    _FOLDS[record.op](actor, record)
    _keep(actor, record.body)
    if record.body.get("ended") and actor.parent is not None:
        _strike(image, record.actor)


def _replace(image: SessionImage, whole: SessionImage) -> None:
    for one in fields(image):
        setattr(image, one.name, getattr(whole, one.name))


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


def _strike(image: SessionImage, path: str) -> None:
    """An actor has ended: it, what was below it, and mail for any of them are no part of the session any more."""
    gone = [one for one in image.actors if one == path or one.startswith(f"{path}/")]
    for one in gone:
        del image.actors[one]
    for number, message in list(image.pending.items()):
        if message.to in gone:
            del image.pending[number]


def _account(image: SessionImage, body: Mapping[str, Any]) -> None:
    """What any record may carry for the session: messages sent and taken, an outcome, a cause."""
    for plain in body.get("sends", ()):
        message = Message.from_json(plain)
        image.pending[message.event.id] = message
    if taken := body.get("taken"):
        image.pending.pop(taken, None)
    if stored := body.get("outcome"):
        image.outcomes.store(*stored)
    if "cause" in body:
        image.cause = body["cause"]


def _keep(actor: ActorImage, body: Mapping[str, Any]) -> None:
    """What any record may carry for its actor: data, resources, a report, deferred events let go, a timer fired."""
    for name in ("data", "holds", "report"):
        if name in body:
            setattr(actor, name, body[name])
    if gone := body.get("undeferred"):
        actor.deferred = [event for event in actor.deferred if event.id not in gone]


def _step(actor: ActorImage, record: Record) -> None:
    body = record.body
    _settle(actor, body)
    actor.deadlines.update(body.get("deadlines", {}))
    target = body.get("to")
    if target is None:
        return
    actor.state = target
    actor.activation += 1
    actor.entered_at = record.at
    actor.deadlines = dict(body["deadlines"])
    actor.ran = {}
    actor.owed = []
    actor.is_run_over = False
    actor.entered_by = Event.from_json(body["by"]) if "by" in body else None
    if "counted" in body:
        kept = actor.entries.setdefault(target, [])
        kept.append(record.at)
        del kept[: -body["counted"]]


def _settle(actor: ActorImage, body: Mapping[str, Any]) -> None:
    """A timer that fired does not fire again; an event that was owed and is handled is owed no more."""
    if "fired" in body:
        actor.deadlines.pop(body["fired"], None)
    if "pays" in body:
        paid = next((event for event in actor.owed if event.name == body["pays"]), None)
        actor.owed = [event for event in actor.owed if event is not paid]


def _ran(actor: ActorImage, record: Record) -> None:
    """A step counts for the activation that it was run in (M4); a record that names none is of the present one."""
    body = record.body
    if body.get("activation", actor.activation) == actor.activation:
        actor.ran[body["index"]] = body.get("result")


def _owed(actor: ActorImage, record: Record) -> None:
    _settle(actor, record.body)
    actor.owed.append(Event.from_json(record.body["event"]))
    actor.is_run_over = actor.is_run_over or bool(record.body.get("ends"))


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
    "snapshot": _nothing,
}
