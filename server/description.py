"""What machines read about the protocol: a JSON Schema of the frames, an OpenAPI of the HTTP calls, an AsyncAPI of the
WebSocket. Made from the models that parse frames and bodies, and from the models of what is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .bodies import CommandBody, CreateBody, EndQuery, ForkBody, PageQuery, TokenBody
from .codes import REMEDIES
from .frames import Cmd, Hello
from .pictures import PictureQuery
from .problems import NDJSON
from .server_frames import (
    SERVER_FRAMES,
    CreatedSession,
    Ending,
    ForkedSession,
    LogPage,
    NewToken,
    ProblemDocument,
    Ready,
    Res,
    SessionDetail,
    SessionList,
    SessionSummary,
    TeamList,
)
from .version import version

WIRE_VERSION: Final = "1"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SID: Final = "/v1/sessions/{sid}"
CLIENT_FRAMES: Final[tuple[type[BaseModel], ...]] = (Hello, Cmd)


Answered = type[BaseModel] | str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """One HTTP call. answers: status to model, or to the media type of what is no JSON; body: so too. by: who may
    call."""

    summary: str
    answers: Mapping[int, Answered]
    by: str = "token"
    body: Answered = None
    query: type[BaseModel] | None = None


ANYBODY: Final = "anybody"
SVG: Final = "image/svg+xml"
OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = MappingProxyType(
    {
        ("GET", "/livez"): Operation("Whether the process answers", {200: Ready}, ANYBODY),
        ("GET", "/readyz"): Operation("Whether sessions are taken", {200: Ready}, ANYBODY),
        ("GET", "/v1/ws"): Operation("The WebSocket; see the AsyncAPI description", {101: None}, ANYBODY),
        ("GET", "/v1/teams"): Operation("What can be created", {200: TeamList}, ANYBODY),
        ("GET", "/v1/lifecycle"): Operation("The lifecycle file as it was read", {200: "application/json"}, ANYBODY),
        ("GET", "/v1/lifecycle/diagram.svg"): Operation(
            "A machine, or the ownership tree, as a picture", {200: SVG}, ANYBODY, query=PictureQuery
        ),
        ("GET", "/v1/lifecycle/diagram.css"): Operation("The style of that picture", {200: "text/css"}, ANYBODY),
        ("GET", "/v1/lifecycle/diagram.dot"): Operation(
            "A machine as text for Graphviz", {200: "text/vnd.graphviz"}, ANYBODY
        ),
        ("GET", "/v1/openapi.json"): Operation("This description", {200: "application/json"}, ANYBODY),
        ("GET", "/v1/asyncapi.json"): Operation("The WebSocket's description", {200: "application/json"}, ANYBODY),
        ("GET", "/v1/frames.schema.json"): Operation("JSON Schema of every frame", {200: "application/json"}, ANYBODY),
        ("GET", "/v1/sessions"): Operation("All live sessions", {200: SessionList}, "admin"),
        ("POST", "/v1/sessions"): Operation(
            "Create a session, or find the one this token opens", {201: CreatedSession}, "credentials", CreateBody
        ),
        ("GET", SID): Operation("A session, live or ended", {200: SessionDetail}),
        ("DELETE", SID): Operation(
            "End it and wait for its clean-up; asked twice, told twice", {200: Ending, 202: Ending}, query=EndQuery
        ),
        ("POST", f"{SID}/commands"): Operation("An event for one of its actors", {200: Res}, body=CommandBody),
        ("GET", f"{SID}/log"): Operation(
            "A page of its log, or the log as server-sent events (Accept: text/event-stream)",
            {200: LogPage, 204: None},
            query=PageQuery,
        ),
        ("GET", f"{SID}/export"): Operation(
            "The session as one file: its whole log, as JSON Lines", {200: NDJSON}, "admin"
        ),
        ("POST", "/v1/sessions/import"): Operation(
            "A session from such a file goes on here", {201: SessionSummary}, "admin", NDJSON
        ),
        ("POST", f"{SID}/fork"): Operation(
            "A new session that goes on from where this one was at a number", {201: ForkedSession}, "admin", ForkBody
        ),
        ("POST", f"{SID}/tokens"): Operation("One more token that opens it", {201: NewToken}, body=TokenBody),
        ("DELETE", f"{SID}/tokens/{{id}}"): Operation("Revoke a token; its sockets close", {204: None}),
    }
)


def frames_schema() -> dict[str, Any]:
    """Every frame of both directions."""
    references, definitions = _schemas([*CLIENT_FRAMES, *SERVER_FRAMES], "#/$defs/")
    return {
        "$schema": DIALECT,
        "title": "Frames of the Steward protocol",
        "version": WIRE_VERSION,
        "$defs": {
            **definitions,
            "client": {"oneOf": [references[one] for one in CLIENT_FRAMES]},
            "server": {"oneOf": [references[one] for one in SERVER_FRAMES]},
        },
        "oneOf": [{"$ref": "#/$defs/client"}, {"$ref": "#/$defs/server"}],
    }


def openapi() -> dict[str, Any]:
    used = {one for operation in OPERATIONS.values() for one in _models(operation)} | {ProblemDocument}
    references, definitions = _schemas(sorted(used, key=lambda one: one.__name__), "#/components/schemas/")
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Steward", "version": version(), "description": "HTTP beside the WebSocket."},
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "the right to one session"},
                "credentials": {"type": "http", "scheme": "bearer", "description": "the key, an API key or a JWT"},
                "admin": {"type": "http", "scheme": "bearer", "description": "credentials with the role admin"},
            },
        },
    }


def asyncapi() -> dict[str, Any]:
    frames = [*CLIENT_FRAMES, *SERVER_FRAMES]
    references, definitions = _schemas(frames, "#/components/schemas/")
    messages = {one.__name__.lower(): {"payload": references[one], "summary": _line(one)} for one in frames}

    def named(models: Iterable[type[BaseModel]]) -> list[dict[str, str]]:
        return [{"$ref": f"#/channels/session/messages/{one.__name__.lower()}"} for one in models]

    channel = {"$ref": "#/channels/session"}
    closes = "; ".join(f"{one.close} {name}: {one.title}" for name, one in REMEDIES.items())
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Steward", "version": WIRE_VERSION, "description": f"Close codes: {closes}."},
        "defaultContentType": "application/json",
        "channels": {
            "session": {
                "address": "/v1/ws",
                "description": "One JSON object a text frame; the first is hello.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "fromClient": {"action": "receive", "channel": channel, "messages": named(CLIENT_FRAMES)},
            "fromServer": {"action": "send", "channel": channel, "messages": named(SERVER_FRAMES)},
        },
        "components": {"messages": messages, "schemas": definitions},
    }


def _schemas(models: Sequence[type[BaseModel]], place: str) -> tuple[dict[type[BaseModel], Any], dict[str, Any]]:
    """(how to refer to each model, what is referred to)."""
    references, whole = models_json_schema([(one, "validation") for one in models], ref_template=place + "{model}")
    return {model: dict(references[model, "validation"]) for model in models}, whole["$defs"]


def _models(operation: Operation) -> list[type[BaseModel]]:
    given = [*operation.answers.values(), operation.body]
    return [one for one in given if isinstance(one, type)]


def _operation(path: str, operation: Operation, references: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {
            **{str(status): _answer(status, what, references) for status, what in operation.answers.items()},
            "default": {
                "description": "What went wrong, and what would help",
                "content": {"application/problem+json": {"schema": references[ProblemDocument]}},
            },
        },
    }
    names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    if operation.query is not None:
        fields = operation.query.model_json_schema()["properties"]
        parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]
    if parameters:
        told["parameters"] = parameters
    if operation.body is not None:
        content = _content(operation.body, references)
        told["requestBody"] = {"required": True, "content": content}
    # An administrator may do what a token may.
    who = {"token": ("token", "admin"), ANYBODY: ()}.get(operation.by, (operation.by,))
    told["security"] = [{name: []} for name in who]
    return told


def _answer(
    status: int, what: type[BaseModel] | str | None, references: Mapping[type[BaseModel], Any]
) -> dict[str, Any]:
    if what is None:
        return {"description": {101: "The protocol changes", 204: "Done; there is nothing to say"}[status]}
    said = "As it is" if isinstance(what, str) else _line(what)
    return {"description": said, "content": _content(what, references)}


def _content(what: type[BaseModel] | str, references: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    return {what: {}} if isinstance(what, str) else {"application/json": {"schema": references[what]}}


def _line(model: type[BaseModel]) -> str:
    return (model.__doc__ or model.__name__).strip().splitlines()[0]
