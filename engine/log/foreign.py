"""What was written elsewhere, read strictly: every field has its type and its bounds, and there is no other.

Anyone can make a checksum that fits, so a file is not believed more for having one. Whether what it says makes sense
together, and with the machines that are here, is for plausible.py to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, Strict, StringConstraints, ValidationError

from ..codec import decode, encode
from ..errors import NotOurs
from ..journal.base import PLACE_LAST, SessionRow, TokenRow
from ..records import Op, Origin, Record, Status
from ..steps.ending import Code
from ..steps.mailbox import MAILBOX_EVENTS_MAX
from .state import CIDS_MAX, OUTCOMES_PER_CID, SessionImage
from .view import View

COUNT_MAX: Final = PLACE_LAST // 2  # of what a log may have had, so that it may go on as long here
EXACT_MAX: Final = 2**53  # up to here every reader of JSON keeps a number as it is
USER_CHARS_MAX: Final = 512
MANY_MAX: Final = 65_536  # of what a file names: so many of them are wrong at once, at most
HEADROOM: Final = 32  # levels in which what a session says is wrapped on its way to its clients and into its log
UNBROKEN: Final = r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$"  # no character that moves a line, or what is around it
LONGEST: Final = 200  # characters of what is said of a mistake

Time = Annotated[float, Field(gt=-EXACT_MAX, lt=EXACT_MAX)]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Number = Annotated[int, Field(ge=0, le=EXACT_MAX)]
Json = dict[str, Any]
Command = Annotated[tuple[str, Number, str], Strict(False)]  # a list in JSON
Deadline = Annotated[str, StringConstraints(pattern=r"^(after|idle) ")]


class Strictly(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Head(Strictly):
    sid: Annotated[str, StringConstraints(pattern=r"^s\.[a-z2-7]{1,64}$")]
    user: Annotated[str, StringConstraints(pattern=UNBROKEN, max_length=USER_CHARS_MAX)]
    epoch: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,64}$")]
    created_at: Time
    ended_at: Time | None
    fence: Count
    rev: Count
    seq: Count
    first_rev: Annotated[int, Field(ge=1, le=COUNT_MAX)]
    trimmed: Count


class Token(Strictly):
    id: Annotated[str, StringConstraints(pattern=r"^t\.[0-9a-f]{1,62}$")]
    role: Literal["control", "observe"]
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Answers(Strictly):
    cid: str
    c: Number


class Told(Strictly):
    """An update, as clients get it."""

    seq: Count
    ts: Time
    kind: str
    data: Json
    re: Answers = Answers(cid="", c=0)


class Event(Strictly):
    name: str
    payload: Json
    origin: Origin
    sender: str
    id: str
    activation: Number = 0
    command: Command = ("", 0, "")
    caller: Annotated[tuple[str, list[str]], Strict(False)] = ("", [])


class Failure(Strictly):
    handler: str
    code: str
    ref: str
    message: str


class Result(Strictly):
    result: Any
    report: Json = {}


class Error(Strictly):
    error: Failure
    report: Json = {}


class Own(Strictly):
    """What an actor owes itself: how its activity ended. The engine reads what is in it."""

    sender: str
    id: str
    origin: Literal["self"]
    activation: Annotated[int, Field(ge=1, le=EXACT_MAX)]


class Done(Own):
    name: Literal["done"]
    payload: Result


class Failed(Own):
    name: Literal["failed"]
    payload: Error


class ChildEnded(Strictly):
    """The payload of the one event that the engine itself sends from actor to actor."""

    id: str
    kind: str
    path: str
    state: str
    report: Json | None


class Mail(Strictly):
    to: str
    event: Event


class Actor(Strictly):
    path: str
    kind: str
    state: str
    parent: str | None
    activation: Annotated[int, Field(ge=1, le=EXACT_MAX)]
    entered_at: Time
    data: Json
    deadlines: Annotated[dict[Deadline, Time], Field(max_length=MANY_MAX)]
    entries: Annotated[dict[str, Annotated[list[Time], FailFast()]], Field(max_length=MANY_MAX)]
    deferred: Annotated[list[Event], Field(max_length=MAILBOX_EVENTS_MAX)]
    ran: Annotated[list[Annotated[tuple[Count, Any], Strict(False)]], FailFast()]
    owed: Annotated[list[Annotated[Done | Failed, Field(discriminator="name")]], FailFast()]
    is_run_over: bool
    holds: Annotated[list[Annotated[tuple[str, str, Any], Strict(False)]], FailFast()]
    report: Json | None
    entered_by: Event | None


class Outcome(Strictly):
    status: Status
    code: str = ""
    message: str = ""
    value: Any = None
    already: bool = False
    seq: Count = 0


Stored = Annotated[tuple[Number, str, Outcome], Strict(False)]
OfClient = Annotated[tuple[str, Annotated[list[Stored], Field(max_length=OUTCOMES_PER_CID)]], Strict(False)]


class Cause(Strictly):
    code: Code
    why: str


class Image(Strictly):
    actors: Annotated[list[Actor], FailFast()]
    pending: Annotated[list[Mail], FailFast()]
    outcomes: Annotated[list[OfClient], Field(max_length=CIDS_MAX)]
    cause: Cause | None
    rev: int


class Written(BaseModel):
    """A record, but for its body: what that makes of a session is looked at in the image that it leads to."""

    model_config = ConfigDict(strict=True)

    op: Op
    actor: str
    kind: str
    at: Time


class Shown(Strictly):
    actor: str
    kind: str
    state: str
    since: Time
    event: str


class Missing(Strictly):
    messages: Count
    requests: Count
    actors: Count


class Seen(Strictly):
    """A view, as a snapshot has it: of what is gone, which is never the end."""

    seq: Count
    actors: Annotated[list[Shown], FailFast()]
    requests: Annotated[list[Told], FailFast()]
    messages: Annotated[list[Told], FailFast()]
    missing: Missing
    state: str = ""
    degraded: Json = {}


def read(model: type[BaseModel], plain: Any) -> None:
    """Raises NotOurs, saying where and what, for anything but what the model says."""
    try:
        model.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise NotOurs(printable(f"{where}: {first['msg']}" if where else first["msg"])) from None


def printable(text: str) -> str:
    """For a line of a log or a terminal, whatever a stranger wrote into it."""
    return "".join(one if one.isprintable() else "?" for one in text[:LONGEST])


def row_of(plain: Mapping[str, Any]) -> SessionRow:
    read(Head, plain)
    row = SessionRow(**plain)
    if row.trimmed > row.seq or row.first_rev > row.rev:
        raise NotOurs("it ends before it begins")
    return row


def token_of(sid: str, plain: Any) -> TokenRow:
    try:
        read(Token, plain)
    except NotOurs as error:
        raise NotOurs(f"this is no token: {error}") from None
    return TokenRow(bytes.fromhex(plain["digest"]), sid, plain["id"], plain["role"])


def read_update(text: bytes, seq: int) -> str:
    """The kind of the update of a number: clients get these very bytes, in whose frames more fields, or a line break,
    would be something else."""
    plain = decode(text)
    if not isinstance(plain, dict) or plain.get("seq") != seq:
        raise NotOurs(f"update {seq} is missing here")
    read(Told, plain)
    if rewritten(plain) != text:
        raise NotOurs(f"update {seq} is not as the log writes it")
    return str(plain["kind"])


def read_record(record: Record) -> None:
    read(Written, {"op": record.op, "actor": record.actor, "kind": record.kind, "at": record.at})


def read_view(plain: Any, seq: int) -> None:
    """What clients are given in place of the updates up to a number."""
    read(Seen, plain)
    if plain["seq"] != seq:
        raise NotOurs(f"its view is that of update {plain['seq']}, and what is gone ends with {seq}")
    if any(one["seq"] > seq for one in (*plain["requests"], *plain["messages"])):
        raise NotOurs("its view shows what came later")
    if any(not isinstance(one["data"].get("request"), str) for one in plain["requests"]):
        raise NotOurs("its view shows a question without a name")
    if View.from_json(plain).to_json() != plain:
        raise NotOurs("its view is not as a log keeps it")
    rewritten(plain)


def read_image(image: SessionImage) -> None:
    try:
        plain = image.to_json()
    except Exception as error:
        raise NotOurs(printable(f"it is no session: {type(error).__name__}: {error}")) from None
    read(Image, plain)
    rewritten(plain)


def read_child_ended(payload: Mapping[str, Any]) -> None:
    read(ChildEnded, payload)


def rewritten(plain: Any) -> bytes:
    """As the log would write it. Raises NotOurs for what is nested so deep that it could not be passed on."""
    wrapped = plain
    for _ in range(HEADROOM):
        wrapped = [wrapped]
    try:
        return encode(wrapped)[HEADROOM:-HEADROOM]
    except TypeError as error:
        raise NotOurs(f"it is no JSON that could be passed on: {error}") from None
