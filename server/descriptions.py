"""The descriptions for machines, served: GET /v1/openapi.json, /v1/asyncapi.json and /v1/frames.schema.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final

from aiohttp import web

from engine.codec import encode


def _made(name: str) -> dict[str, Any]:
    # When it is asked for: the models of what is sent are for descriptions alone, and take a while to import.
    from . import description

    made: dict[str, Any] = getattr(description, name)()
    return made


SERVED: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "openapi.json": partial(_made, "openapi"),
    "asyncapi.json": partial(_made, "asyncapi"),
    "frames.schema.json": partial(_made, "frames_schema"),
}


@cache
def _body(name: str) -> bytes:
    return encode(SERVED[name]())


async def _answer(request: web.Request) -> web.Response:
    return web.Response(body=_body(request.match_info["name"]), content_type="application/json")


def routes() -> list[web.RouteDef]:
    names = "|".join(name.replace(".", r"\.") for name in SERVED)
    return [web.get(f"/v1/{{name:{names}}}", _answer)]
