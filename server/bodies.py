"""What HTTP calls bring in their bodies and queries, and how it is read within bounds."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, Literal, TypeVar

from aiohttp import web
from pydantic import Field, StringConstraints, ValidationError

from engine.codec import decode

from .codes import Fault
from .frames import COMMAND_BYTES_MAX, NESTING_MAX, Cid, Cmd, Create, Frame, Number, Token, explain, is_deeper

BODY_S: Final = 10.0
Model = TypeVar("Model", bound=Frame)


class CreateBody(Create):
    """token: one made by the caller, so that the same request sent twice makes one session."""

    token: Token | None = None


class CommandBody(Cmd):
    """A `cmd` frame and the cid it belongs to; t may be left out, and without a cid the command counts each time."""

    t: Literal["cmd"] = "cmd"
    cid: Cid | None = None
    c: Number = 1


class TokenBody(Frame):
    role: Literal["control", "observe"]


class PageQuery(Frame):
    """Strings, because a query has nothing else."""

    after: Annotated[str, StringConstraints(pattern=r"^\d{1,15}$")] | None = None
    limit: Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,3}$")] = Field(default="100")


class EndQuery(Frame):
    reason: Annotated[str, StringConstraints(max_length=200)] = ""


def read_query(request: web.Request, model: type[Model]) -> Model:
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise Fault("bad_frame", explain(error)) from None


async def read_body(request: web.Request, model: type[Model], most: int = COMMAND_BYTES_MAX) -> Model:
    text = b""
    try:
        async with asyncio.timeout(BODY_S):
            while len(text) <= most and not request.content.at_eof():
                text += await request.content.read(most + 1 - len(text))
    except TimeoutError:
        raise Fault("hello_late", f"the body has to come within {BODY_S:g} s") from None
    if len(text) > most:
        raise Fault("too_large", f"a body may have {most} bytes")
    try:
        plain = decode(text)
    except ValueError:
        raise Fault("bad_frame", "the body is not JSON") from None
    if is_deeper(plain, NESTING_MAX):
        raise Fault("bad_frame", f"values may be nested {NESTING_MAX} deep")
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise Fault("bad_frame", explain(error)) from None
