"""The frames that a server sends, as models: what their descriptions are made from and tests hold every frame against.

frames.py writes the bytes, from what is stored; a model for each frame on its way out would cost more than the frame.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from .frames import NUMBER_MAX, ActorPath, Cid, Number, Token

Seq = Annotated[int, Field(ge=0, le=NUMBER_MAX)]
Milliseconds = Annotated[int, Field(ge=0)]


class ServerFrame(BaseModel):
    """A client ignores fields that it does not know: a newer server may send more."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Limits(ServerFrame):
    """What a client has to keep to."""

    hello_bytes: int
    cmd_bytes: int
    frame_bytes: int = Field(description="of any frame to the server")
    server_frame_bytes: int
    commands_per_s: float
    commands_burst: int
    commands_unanswered: int = Field(description="a cid's highest c is less than this above its lowest unanswered")
    hello_ms: Milliseconds
    dead_ms: Milliseconds = Field(description="without an inbound message or pong, after which the server cuts")


class Welcome(ServerFrame):
    """The session is in the log; replay is over when seq reaches head."""

    t: Literal["welcome"]
    sid: str
    token: Token
    epoch: str
    head: Seq
    resumed: bool = Field(description="whether the client's cursor goes on; if not, a snap comes first")
    state: str
    window_ms: Milliseconds | None = Field(default=None, description="how long the session waits for a connection")
    heartbeat_ms: Milliseconds
    limits: Limits


class Re(ServerFrame):
    """The command that an event follows from."""

    cid: Cid
    c: Number


class Update(ServerFrame):
    """One durable, numbered fact; the same bytes on every transport."""

    seq: Number
    ts: float = Field(description="UTC seconds")
    kind: str
    data: dict[str, Any]
    re: Re | None = None


class ShownActor(ServerFrame):
    """One that lives, as its last change of state told it."""

    actor: str
    kind: str
    state: str
    since: float = Field(description="UTC seconds")
    event: str


class Missing(ServerFrame):
    """How many of each are not told, because they are older or there was no room."""

    messages: int
    requests: int
    actors: int


class Shown(ServerFrame):
    """What a client sees that has applied every event up to a number."""

    state: str | None = None
    actors: list[ShownActor]
    requests: list[Update] = Field(description="questions that wait for a person")
    messages: list[Update] = Field(description="the last events that are no change of state")
    missing: Missing
    degraded: dict[str, Any] | None = None
    ended: dict[str, Any] | None = Field(default=None, description="the data of session.ended")


class Snap(ServerFrame):
    """The client's place in the log is gone: replaces everything it has built; go on after seq."""

    t: Literal["snap"]
    seq: Seq
    data: Shown


class Ev(Update):
    """One durable event."""

    t: Literal["ev"]


class Note(ServerFrame):
    """Volatile: streamed text, degraded, restored. Never stored, never sent again."""

    t: Literal["note"]
    kind: str
    data: Any


class Err(ServerFrame):
    """Why a command was not done. code is stable, msg is for people."""

    code: str
    msg: str
    retry_ms: Milliseconds | None = None


class Res(ServerFrame):
    """A command's outcome, after the events of its own step."""

    t: Literal["res"]
    c: Number
    ok: bool
    seq: Number | None = None
    val: Any = None
    err: Err | None = None
    dup: Literal[True] | None = Field(default=None, description="the outcome was stored; nothing was applied now")


class Ping(ServerFrame):
    """How far the log is. A client answers nothing."""

    t: Literal["ping"]
    head: Seq


class Goaway(ServerFrame):
    """This server is leaving: close at the slot and dial again."""

    t: Literal["goaway"]
    why: str
    slot_ms: Milliseconds


class Error(ServerFrame):
    """The same number as the close that follows."""

    t: Literal["error"]
    code: Annotated[int, Field(ge=4000, le=4999)]
    msg: str
    retry_ms: Milliseconds | None = None


SERVER_FRAMES: Final[tuple[type[ServerFrame], ...]] = (Welcome, Snap, Ev, Note, Res, Ping, Goaway, Error)
AnyServerFrame = Annotated[Welcome | Snap | Ev | Note | Res | Ping | Goaway | Error, Field(discriminator="t")]


class Answer(ServerFrame):
    """JSON that HTTP answers with."""


class Ready(Answer):
    status: str
    sessions: int | None = None
    connections: int | None = None


class SessionSummary(Answer):
    sid: str
    user: str
    epoch: str
    head: Seq
    state: str
    is_ended: bool
    created_at: float = Field(description="UTC seconds")


class ActorSummary(Answer):
    actor: ActorPath
    kind: str
    state: str


class SessionDetail(SessionSummary):
    actors: list[ActorSummary]
    report: dict[str, Any] | None


class SessionList(Answer):
    sessions: list[SessionSummary]


class CreatedSession(SessionSummary):
    token: Token


class ForkedSession(CreatedSession):
    """A new session that shares a past with another."""

    seq: Seq = Field(description="the last event that both have")


class Before(ServerFrame):
    """How everything stood before the first event that is kept."""

    seq: Seq
    data: Shown


class LogPage(Answer):
    epoch: str
    first: Number = Field(description="the oldest event that is kept; one more than head if none is")
    head: Seq
    snap: Before | None = Field(default=None, description="without `after`, where older events are gone")
    next: Seq = Field(description="ask for what comes after it")
    is_ended: bool
    events: list[Update]


class Ending(Answer):
    """How a session stands after its clean-up."""

    sid: str
    state: str
    is_ended: bool
    is_quarantined: bool
    report: dict[str, Any] | None


class NewToken(Answer):
    id: str
    role: Literal["control", "observe"]
    token: Token = Field(description="told once, stored as a hash only")


class TeamSummary(Answer):
    name: str
    description: str
    options: dict[str, Any] = Field(description="JSON Schema")


class TeamList(Answer):
    teams: list[TeamSummary]
    allow_breaking: bool


class ProblemDocument(Answer):
    """RFC 9457."""

    type: str
    title: str
    status: int
    code: str
    detail: str | None = None
    retry_ms: Milliseconds | None = None
    c: Number | None = None
    seq: Number | None = None
    first: Number | None = Field(default=None, description="of `trimmed`: the oldest event that is kept")
