"""Errors as HTTP tells them: RFC 9457 problem documents, and the middleware that makes every answer a safe one."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from engine.codec import encode
from engine.records import Outcome

from .auth import Gate
from .codes import REMEDIES, Fault, fault_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PROBLEM: Final = "application/problem+json"
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
# Tokens travel in Authorization, so no cookies have to be allowed along.
CORS: Final = {
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Expose-Headers": "Location, Retry-After",
    "Access-Control-Max-Age": "600",
}
# What a POST carries: JSON, but for these. A page of another server can send none of them without being asked first.
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
POST_TYPES: Final = {"/v1/sessions/import": NDJSON}
# What an actor answers, as an HTTP status; 409 for every other refusal.
OUTCOME_STATUS: Final = {
    "unknown_session": 404,
    "unknown_actor": 404,
    "unknown_event": 404,
    "bad_payload": 422,
    "forbidden": 403,
    "busy": 429,
    "limit_exceeded": 503,
    "store_unavailable": 503,
    "leaving": 503,
    "ended": 410,
    "too_large": 413,
}
log = logging.getLogger("steward.problems")


class Problem(Exception):
    """An error that only HTTP tells; no WebSocket is ever closed with it."""

    def __init__(self, status: int, code: str, title: str, detail: str = "", **headers: str) -> None:
        super().__init__(detail or title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = headers


def problem(status: int, code: str, title: str, detail: str = "", **more: Any) -> web.Response:
    """One problem document; more: its own members, None left out."""
    plain = {"type": f"urn:steward:problem:{code}", "title": title, "status": status, "code": code}
    if detail and detail != title:
        plain["detail"] = detail
    plain.update({name: value for name, value in more.items() if value is not None})
    headers = {}
    retry_ms = more.get("retry_ms")
    if retry_ms is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_ms / 1000)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="steward"'
    return web.Response(status=status, body=encode(plain), content_type=PROBLEM, headers=headers)


def problem_of(fault: Fault) -> web.Response:
    return problem(fault.status, fault.name, REMEDIES[fault.name].title, fault.message, retry_ms=fault.retry_ms)


def problem_of_outcome(outcome: Outcome, **more: Any) -> web.Response:
    """An event that was refused or failed."""
    code = outcome.code or outcome.status
    status = 500 if outcome.status == "failed" and code not in OUTCOME_STATUS else OUTCOME_STATUS.get(code, 409)
    retry_ms = 1000 if status in (429, 503) and outcome.status == "refused" else None
    return problem(status, code, f"the event was {outcome.status}", outcome.message, retry_ms=retry_ms, **more)


def json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=encode(value), content_type=JSON)


def shell(gate: Gate) -> Any:
    """The outermost middleware: who may call at all, errors as problem documents."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await _answer(gate, request, handler)

    return around


def headers(gate: Gate) -> Any:
    """The signal that gives every answer its headers, streams and upgrades included."""

    async def complete(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Server"] = "steward"  # the library has put its own name and version there
        page = gate.page_of(request.headers)
        if page is not None:
            response.headers.update(CORS, **{"Access-Control-Allow-Origin": page})
            response.headers.add("Vary", "Origin")

    return complete


async def _answer(gate: Gate, request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        gate.check(request.headers)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            # A browser asks before it lets a foreign page call; headers() says yes, to the pages that may.
            return web.Response(status=204)
        if request.method == "POST" and request.content_type != (wanted := POST_TYPES.get(request.path, JSON)):
            code, what = (
                ("not_json", "a POST carries JSON") if wanted == JSON else ("not_ndjson", "this takes JSON Lines")
            )
            return problem(415, code, f"{what}: Content-Type: {wanted}")
        return await handler(request)
    except Problem as error:
        answer = problem(error.status, error.code, error.title, error.detail)
        answer.headers.update(error.headers)
        return answer
    except web.HTTPException as error:
        title = HTTPStatus(error.status).phrase
        answer = problem(error.status, title.lower().replace(" ", "_"), title, _detail(error))
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except Exception as error:
        return problem_of(fault_of(error, log, request.match_info.get("sid")))


def _detail(error: web.HTTPException) -> str:
    """What the library's own text does not say: it repeats the status."""
    if error.status == HTTPStatus.NOT_FOUND:
        return "nothing is served at this path; /v1/openapi.json has the calls that there are"
    text = error.text or ""
    return "" if text.startswith(f"{error.status}: ") else text
