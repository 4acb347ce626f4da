"""An endpoint that speaks OpenAI's wire, on a port of its own: what it answers is the test's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from examples.support.endpoint import Endpoint

KEY = "sk-secret-of-the-tests"
Answer = Callable[[dict[str, Any], web.StreamResponse], Awaitable[None]]


@dataclass
class FakeModel:
    """requests: the bodies that came; refusals: statuses to answer with first, one a request."""

    answer: Answer
    refusals: list[int] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    url: str = ""

    def endpoint(self, **more: Any) -> Endpoint:
        return Endpoint(base_url=self.url, model="fake-1", api_key=SecretStr(KEY), **{"backoff_s": 0, **more})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.keys.add(request.headers.get("Authorization", ""))
        body = await request.json()
        self.requests.append(body)
        if self.refusals:
            # Some endpoints repeat the key in what they say; nobody may log it.
            said = {"error": {"message": f"no: {request.headers.get('Authorization')}"}}
            return web.json_response(said, status=self.refusals.pop(0))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await self.answer(body, response)
        return response


@asynccontextmanager
async def fake_model(answer: Answer) -> AsyncIterator[FakeModel]:
    model = FakeModel(answer)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        model.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield model
    finally:
        await runner.cleanup()


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    piece = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(piece).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


async def say(response: web.StreamResponse, *pieces: str) -> None:
    for piece in pieces:
        await response.write(event({"content": piece}))
    await response.write(event({}, "stop") + DONE)


async def call(response: web.StreamResponse, name: str, arguments: str) -> None:
    """A tool call in pieces, as OpenAI sends it."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    await response.write(event({"tool_calls": [first]}))
    for piece in (arguments[:5], arguments[5:]):
        await response.write(event({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
    await response.write(event({}, "tool_calls") + DONE)


def last_words(body: dict[str, Any]) -> str:
    return next(str(one["content"]) for one in reversed(body["messages"]) if one["role"] == "user")
