"""What HTTP calls bring in their bodies and queries, and how it is read within bounds."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, Literal, TypeVar

from aiohttp import StreamReader, web
from pydantic import Field, StringConstraints, ValidationError, model_validator

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
    c: Number = Field(default=1, description="the command's number within its cid, and needed with one")

    @model_validator(mode="after")
    def _numbered(self) -> CommandBody:
        if self.cid is not None and "c" not in self.model_fields_set:
            # Each would count as the first: the second would never be applied, and be told as done.
            raise ValueError("c is missing: with a cid each command has a number of its own, from 1")
        return self


class TokenBody(Frame):
    role: Literal["control", "observe"]


class ForkBody(Frame):
    """seq: the number of the last event that the new session shares with the old one; left out: all that there are."""

    seq: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None


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


async def read_up_to(content: StreamReader, most: int) -> bytes:
    """All of it, if it has no more than most bytes; else the first of them, and one more."""
    chunks: list[bytes] = []
    left = most
    while left >= 0 and not content.at_eof():
        chunks.append(await content.read(left + 1))
        left -= len(chunks[-1])
    return b"".join(chunks)


async def read_bytes(request: web.Request, most: int, seconds: float = BODY_S) -> bytes:
    """The body as it is. Raises Fault("too_large"), and Fault("hello_late") if it takes too long."""
    try:
        async with asyncio.timeout(seconds):
            text = await read_up_to(request.content, most)
    except TimeoutError:
        raise Fault("hello_late", f"the body has to come within {seconds:g} s") from None
    if len(text) > most:
        raise Fault("too_large", f"a body may have {most} bytes")
    return text


async def read_body(request: web.Request, model: type[Model], most: int = COMMAND_BYTES_MAX) -> Model:
    text = await read_bytes(request, most)
    try:
        plain = decode(text)
    except ValueError:
        raise Fault("bad_frame", "the body is not JSON") from None
    if is_deeper(text, plain):
        raise Fault("bad_frame", f"values may be nested {NESTING_MAX} deep")
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise Fault("bad_frame", explain(error)) from None
