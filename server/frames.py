"""The frames of the wire: models that parse what clients send, and the bytes that servers send."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from engine.codec import decode, encode
from engine.language.sentences import sentence
from engine.records import ROOT, Outcome

HELLO_BYTES_MAX: Final = 8 * 1024
COMMAND_BYTES_MAX: Final = 64 * 1024
FRAME_BYTES_MAX: Final = 128 * 1024  # the socket's own limit, inbound
SERVER_FRAME_BYTES_MAX: Final = 256 * 1024
NESTING_MAX: Final = 64  # far below what any JSON reader or writer on the way can take
NUMBER_MAX: Final = 2**53 - 1  # what every JSON reader keeps exactly
UNKNOWN_LOOKED_AT_MAX: Final = 16  # fields of a create that are compared with the known ones
NAME_CHARS_MAX: Final = 32  # of such a field

# 43 characters of base64url are the 256 random bits a token has to have; more is allowed, never less.
Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43,128}$")]
Cid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
EventName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")]
ActorPath = Annotated[str, StringConstraints(pattern=r"^/[a-z0-9_/-]{0,255}$")]
Role = Literal["control", "observe"]
Number = Annotated[int, Field(ge=1, le=NUMBER_MAX)]


class Frame(BaseModel):
    """Unknown fields are ignored: an older server understands a newer client."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Cursor(Frame):
    """The last number a client has applied, and the log it belongs to."""

    epoch: Annotated[str, StringConstraints(max_length=64)]
    seq: Annotated[int, Field(ge=0, le=NUMBER_MAX)]


class Create(Frame):
    """What a new session is to be; the team's own options are checked by the team."""

    team: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _no_misspelling(cls, given: Any) -> Any:
        """Unknown fields are ignored, but one that is nearly a known one would make another session than was meant."""
        known = list(cls.model_fields)
        strange = [name for name in given if name not in known] if isinstance(given, dict) else []
        for name in islice(strange, UNKNOWN_LOOKED_AT_MAX):
            near = get_close_matches(name, known, n=1, cutoff=0.75) if len(name) <= NAME_CHARS_MAX else []
            if near:
                raise ValueError(f"there is no field {name!r}; did you mean {near[0]!r}?")
        return given


class Hello(Frame):
    """The first frame: a right to a session (token), or to make one (create and auth)."""

    t: Literal["hello"]
    token: Token
    cid: Cid | None = None
    n: Number = 1
    cur: Cursor | None = None
    create: Create | None = None
    auth: Annotated[str, StringConstraints(max_length=4096)] | None = None
    role: Role = "control"


class Cmd(Frame):
    """An event for an actor, the session itself if `to` is left out. c counts a cid's commands from 1.

    ttl_ms: how long it may still be begun; 0 asks for a stored outcome and applies nothing.
    """

    t: Literal["cmd"]
    c: Number
    name: EventName
    args: dict[str, Any] = Field(default_factory=dict)
    to: ActorPath = ROOT
    ttl_ms: Annotated[int, Field(ge=0, le=NUMBER_MAX)] | None = None


ClientFrame = Hello | Cmd
_CLIENT_FRAME: Final[TypeAdapter[ClientFrame]] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="t")])


class BadFrame(ValueError):
    """A frame that is no frame; the text says which field is wrong and how, without repeating what it holds."""


def parse(text: bytes) -> ClientFrame:
    """Raises BadFrame.

    The text goes through the log's own reader first: what it accepts can be stored and sent again unchanged,
    which pydantic's reader does not promise (it takes NaN and integers of any length).
    """
    try:
        plain = decode(text)
    except ValueError:
        raise BadFrame("the frame is not JSON") from None
    if is_deeper(text, plain):
        raise BadFrame(f"values may be nested {NESTING_MAX} deep")
    try:
        return _CLIENT_FRAME.validate_python(plain)
    except ValidationError as error:
        raise BadFrame(explain(error)) from None


def is_deeper(text: bytes, plain: Any) -> bool:
    """Whether what text says, plain, is nested deeper than NESTING_MAX. What opens no more than that never is."""
    return text.count(b"{") + text.count(b"[") > NESTING_MAX and _is_deeper(plain, NESTING_MAX)


def _is_deeper(value: Any, most: int) -> bool:
    if isinstance(value, dict):
        return most == 0 or any(_is_deeper(item, most - 1) for item in value.values())
    if isinstance(value, list):
        return most == 0 or any(_is_deeper(item, most - 1) for item in value)
    return False


# What a pattern cannot say to a person.
_SHAPES: Final[Mapping[str, str]] = {
    "token": "has to be 43 to 128 of A-Z a-z 0-9 _ -, such as 256 random bits in base64url",
    "cid": "has to be 1 to 64 of A-Z a-z 0-9 _ . : -",
    "name": "has to be an event's name, such as say",
    "to": "has to be an actor's path, such as /main/arbiter",
    "after": "has to be a whole number of at most 15 digits",
    "limit": "has to be a whole number from 1 to 9999",
}
_FRAMES: Final[Mapping[str, str]] = {
    "union_tag_not_found": "every frame is an object with a field t",
    "union_tag_invalid": "clients send frames of the types hello and cmd only",
    "model_attributes_type": "every frame is a JSON object",
}


def explain(error: ValidationError) -> str:
    """The first mistake in one sentence. What was sent is not repeated: it may hold credentials."""
    item = error.errors(include_input=False, include_url=False, include_context=True)[0]
    path = [str(part) for part in item["loc"] if part not in ("hello", "cmd")]
    if item["type"] == "string_pattern_mismatch" and path and path[-1] in _SHAPES:
        text = _SHAPES[path[-1]]
    elif not path and item["type"] in _FRAMES:
        text = _FRAMES[item["type"]]
    else:
        text = sentence(item)
    return f"{'.'.join(path)}: {text}" if path else text


def frame(t: str, **fields: Any) -> bytes:
    """A server frame; fields that are None are left out."""
    return encode({"t": t, **{name: value for name, value in fields.items() if value is not None}})


def ev(update: bytes) -> bytes:
    """An event's frame from its stored JSON object, whose bytes every client gets unchanged (L1)."""
    return b'{"t":"ev",' + update[1:]


RETRY_MS: Final = 1000  # until a command that nothing was decided about may come again


def res(c: int, outcome: Outcome) -> bytes:
    """A command's outcome. A handler's error reaches clients as code and message that the engine made safe."""
    fields: dict[str, Any] = {"c": c, "ok": outcome.ok, "seq": outcome.seq or None}
    value = outcome.value
    if outcome.status == "deferred" and value is None:
        value = {"deferred": True}
    if outcome.already and value is None:
        value = {"already": True}
    fields["val"] = value
    if not outcome.ok:
        fields["err"] = {"code": outcome.code or outcome.status, "msg": outcome.message}
        if outcome.is_undecided:
            fields["err"]["retry_ms"] = RETRY_MS
    fields["dup"] = True if outcome.is_duplicate else None
    return frame("res", **fields)


def refusal(c: int, code: str, message: str) -> bytes:
    """A `res` that the connection itself gives, before any actor is asked."""
    return frame("res", c=c, ok=False, err={"code": code, "msg": message})


def error(code: int, message: str, retry_ms: int | None) -> bytes:
    return frame("error", code=code, msg=message, retry_ms=retry_ms)


def shown(sid: str, seq: int, update: bytes) -> bytes:
    """An event as every client gets it, on every transport (L1)."""
    return update if len(ev(update)) <= SERVER_FRAME_BYTES_MAX else truncated(sid, seq, update)


def truncated(sid: str, seq: int, update: bytes) -> bytes:
    """The stand-in for an event that is larger than a server's frame may be; the whole is one page of the log."""
    plain = decode(update)
    plain["data"] = {"truncated": True, "href": f"/v1/sessions/{sid}/log?after={seq - 1}&limit=1"}
    return encode(plain)
