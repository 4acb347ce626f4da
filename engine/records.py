"""What travels and what is written: events, outcomes, updates and the records of the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from .codec import decode, encode
from .errors import UnknownFormat

RECORD_VERSION: Final = 1
UNDECIDED: Final = ("busy", "store_unavailable", "leaving")  # codes of refusals
ROOT: Final = "/"  # the path of a session's root actor; children are /team, /team/arbiter

Origin = Literal["client", "admin", "parent", "child", "engine", "self"]
Status = Literal["done", "refused", "failed", "deferred", "ignored"]

# What handlers are given is frozen. What every command makes and only the engine sees is not, though nobody changes
# it: to make a frozen one of eight fields takes 2 us instead of 0.5.


@dataclass(frozen=True, slots=True)
class Command:
    """A client's number for an event, which makes it count once. digest: of its content, to tell a conflict."""

    cid: str
    c: int
    digest: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is behind an event from outside: never the client's own word, always what authentication found."""

    user: str = ""
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens to one actor.

    sender: path of the sending actor, or "" from outside the session. id: of a message between actors or a
    deferred event; the receiver's record names it, so that it counts once. activation: of `done`, `failed` and
    timers, the state's activation they belong to; 0 for everything else.
    """

    name: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = "engine"
    sender: str = ""
    id: str = ""
    activation: int = 0
    command: Command | None = None
    caller: Caller = Caller()

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "name": self.name,
            "payload": dict(self.payload),
            "origin": self.origin,
            "sender": self.sender,
            "id": self.id,
        }
        if self.activation:
            plain["activation"] = self.activation
        if self.command is not None:
            plain["command"] = [self.command.cid, self.command.c, self.command.digest]
        if self.caller.user or self.caller.roles:
            plain["caller"] = [self.caller.user, sorted(self.caller.roles)]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Event:
        command = Command(*plain["command"]) if "command" in plain else None
        user, roles = plain.get("caller", ("", ()))
        return cls(
            name=plain["name"],
            payload=plain["payload"],
            origin=plain["origin"],
            sender=plain["sender"],
            id=plain["id"],
            activation=plain.get("activation", 0),
            command=command,
            caller=Caller(user, frozenset(roles)),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event (M5). code and message say why it was refused or failed; value is what is told
    when it was done; already: it asked for what is the case; seq: the last update of its step, 0 if none."""

    status: Status
    code: str = ""
    message: str = ""
    value: Any = None
    already: bool = False
    seq: int = 0
    is_duplicate: bool = False

    @property
    def ok(self) -> bool:
        return self.status in ("done", "deferred")

    @property
    def is_undecided(self) -> bool:
        """Nothing is stored of it, and the same command may come again. What a handler failed of is decided, whatever
        it calls it, and so is all that was found stored."""
        return self.status == "refused" and self.code in UNDECIDED and not self.is_duplicate

    def to_json(self) -> dict[str, Any]:
        told = (
            ("code", self.code),
            ("message", self.message),
            ("value", self.value),
            ("already", self.already),
            ("seq", self.seq),
        )
        return {"status": self.status, **{name: value for name, value in told if value}}

    def at(self, seq: int) -> Outcome:
        """The same, with the last update of its step."""
        return Outcome(self.status, self.code, self.message, self.value, self.already, seq, self.is_duplicate)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Outcome:
        return cls(**plain)


@dataclass(slots=True)
class Update:
    """One durable, numbered fact for clients. re: the command it answers, if one caused it."""

    kind: str
    data: Mapping[str, Any]
    re: Command | None = None

    def encode(self, seq: int, ts: float) -> bytes:
        """The JSON object every client gets for this number, the same bytes on every transport (L1)."""
        plain: dict[str, Any] = {"seq": seq, "ts": round(ts, 3), "kind": self.kind, "data": self.data}
        if self.re is not None:
            plain["re"] = {"cid": self.re.cid, "c": self.re.c}
        return encode(plain)


@dataclass(frozen=True, slots=True)
class Message:
    """An event one actor sent another of its session; owed until the receiver's record names its event's id."""

    to: str
    event: Event

    def to_json(self) -> dict[str, Any]:
        return {"to": self.to, "event": self.event.to_json()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Message:
        return cls(plain["to"], Event.from_json(plain["event"]))


Op = Literal["created", "step", "ran", "owed", "sent", "taken", "deferred", "snapshot"]


@dataclass(slots=True)
class Record:
    """One commit of one actor; the log of a session is its records in order.

    op: created (the actor exists, in its initial state) · step (a transition) · ran (a step of `run` is over) ·
    owed (an activity ended; its `done` or `failed` is to be handled) · sent (an activity sent or emitted) ·
    taken (an event was refused, ignored, failed or answered without a transition) · deferred (an event was kept) ·
    snapshot (the whole session after the record before it; what is older may go).
    body: what fold() needs, by name; see state.py. told: bytes of the updates of the same commit; see kept.py.
    """

    op: Op
    actor: str
    kind: str
    at: float
    body: Mapping[str, Any] = field(default_factory=dict)

    def encode(self, told: int = 0) -> bytes:
        plain = {"v": RECORD_VERSION, "op": self.op, "actor": self.actor, "kind": self.kind, "at": self.at}
        return encode({**plain, **self.body, "told": told} if told else {**plain, **self.body})

    @classmethod
    def decode(cls, text: bytes) -> Record:
        """Raises UnknownFormat if another release wrote it."""
        plain = decode(text)
        version = plain.pop("v", None)
        if version != RECORD_VERSION:
            raise UnknownFormat(f"a record of version {version!r}; this release reads version {RECORD_VERSION}")
        return cls(plain.pop("op"), plain.pop("actor"), plain.pop("kind"), plain.pop("at"), plain)
