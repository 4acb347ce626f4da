"""A real server on a port of its own, in this process or in another, and a plain WebSocket client to talk to it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import BaseModel, TypeAdapter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engine.journal.base import Journal
from engine.journal.memory import MemoryJournal
from engine.loader import load_spec
from engine.registry import Registry
from server.app import PARTS, Parts, build, stop
from server.config import Settings, load
from server.description import OPERATIONS
from server.server_frames import AnyServerFrame, ProblemDocument
from tests.server import wire_handlers

ROOT = Path(__file__).parents[2]
FILES = Path(__file__).parent / "files"
LIFECYCLE = FILES / "wire.yaml"
START_S = 30.0
KEY = "k" * 43
ANSWER_S = 30.0  # far above what anything here takes; a test that waits so long has failed


def new_token() -> str:
    return secrets.token_urlsafe(32)


ANY_FRAME = TypeAdapter(AnyServerFrame)


def described(frame: dict[str, Any]) -> dict[str, Any]:
    """A server's frame, after a look whether it is what its description says, and no field more."""
    assert list(unknown(ANY_FRAME.validate_python(frame))) == [], "it has fields that its description lacks"
    return frame


def unknown(model: BaseModel) -> Iterator[str]:
    """Names of fields that no model declares, in it and in what it holds."""
    yield from model.model_extra or ()
    for _, value in model:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, BaseModel):
                yield from unknown(one)


def answered(method: str, path: str, status: int, plain: Any) -> None:
    """The same of what HTTP answers."""
    operation = next((one for (how, where), one in OPERATIONS.items() if how == method and is_at(where, path)), None)
    model = ProblemDocument if status >= 400 else operation and operation.answers[status]
    if isinstance(model, type):
        assert list(unknown(model.model_validate(plain))) == [], f"{method} {path} answers more than is described"


def is_at(pattern: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path.partition("?")[0]) is not None


@dataclass
class Peer:
    """One WebSocket of a client; every frame it got is in frames."""

    socket: ClientConnection
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def hello(self, token: str, **fields: Any) -> dict[str, Any]:
        """Say hello; the welcome, or what came instead of it."""
        await self.send(**{"t": "hello", "token": token, "cid": "c1", "n": 1, **fields})
        return await self.next()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(ANSWER_S):
            frame: dict[str, Any] = described(json.loads(await self.socket.recv()))
        self.frames.append(frame)
        return frame

    async def until(self, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next frame that is wanted."""
        while True:
            frame = await self.next()
            if is_wanted(frame):
                return frame

    async def state(self, name: str) -> dict[str, Any]:
        return await self.until(lambda frame: frame.get("kind") == "session.state" and frame["data"]["to"] == name)

    async def cmd(self, c: int, name: str, **fields: Any) -> None:
        await self.send(t="cmd", c=c, name=name, **fields)

    async def res(self, c: int) -> dict[str, Any]:
        return await self.until(lambda frame: frame["t"] == "res" and frame["c"] == c)

    async def closed(self) -> int:
        """Read to the end; the close code."""
        try:
            while True:
                await self.next()
        except ConnectionClosed:
            assert self.socket.close_code is not None
            return self.socket.close_code

    @property
    def events(self) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["t"] == "ev"]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["t"] == "error"]


@dataclass
class Wire:
    """A server that runs."""

    url: str
    parts: Parts
    http: aiohttp.ClientSession
    runner: web.AppRunner
    stack: AsyncExitStack

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def dial(self, **options: Any) -> Peer:
        url = self.url.replace("http", "ws") + "/v1/ws"
        socket = await self.stack.enter_async_context(
            connect(url, max_size=2**20, max_queue=None, close_timeout=0.5, proxy=None, **options)
        )
        return Peer(socket)

    async def create(self, token: str | None = None, **fields: Any) -> tuple[Peer, dict[str, Any]]:
        """A new session that is active: (its client, the welcome)."""
        peer = await self.dial()
        welcome = await peer.hello(token or new_token(), create={"team": "wire"}, auth=KEY, **fields)
        assert welcome["t"] == "welcome", welcome
        await peer.state("active")
        return peer, welcome

    async def wait_state(self, sid: str, *names: str) -> None:
        """Until the session is in one of these states."""
        session = await self.parts.manager.find(sid)
        assert session is not None
        woken = asyncio.Event()
        unwatch = session.log.watch(woken.set)
        async with asyncio.timeout(ANSWER_S):
            while session.state not in names:
                await woken.wait()
                woken.clear()
        unwatch()

    async def call(self, method: str, path: str, secret: str | None = None, **options: Any) -> tuple[int, Any]:
        """(status, JSON) of an HTTP call."""
        headers = dict(options.pop("headers", {}))
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        async with self.http.request(method, self.url + path, headers=headers, **options) as answer:
            text = await answer.read()
            plain = json.loads(text) if text else None
            answered(method, path, answer.status, plain)
            return answer.status, plain


def registry() -> Registry:
    return Registry.of(wire_handlers)


Serving = Callable[..., "asyncio.Future[Wire]"]


@pytest.fixture
async def serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Any]:
    """await serving(journal=…, key=…, services=…, **settings) starts a server; all are stopped at the end."""
    monkeypatch.chdir(tmp_path)
    async with AsyncExitStack() as stack:

        async def start(
            journal: Journal | None = None, key: str | None = KEY, services: dict[str, Any] | None = None, **flags: Any
        ) -> Wire:
            settings: Settings = load({"data": tmp_path, "grace_s": 1.0, **flags})
            spec = load_spec(LIFECYCLE, registry())
            app = build(settings, spec, registry(), journal or MemoryJournal(), key=key, services=services)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=5.0)
            stack.push_async_callback(stop, runner)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            http = await stack.enter_async_context(aiohttp.ClientSession())
            return Wire(f"http://127.0.0.1:{port}", app[PARTS], http, runner, stack)

        yield start


@pytest.fixture
async def wire(serving: Any) -> Wire:
    started: Wire = await serving()
    return started


@dataclass
class Server:
    """One process."""

    process: asyncio.subprocess.Process
    data: Path
    url: str = ""
    key: str = ""

    async def ready(self) -> Server:
        """Wait for the line that says where it listens."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            line = (await self.process.stdout.readline()).decode()
        assert "http://" in line, line + await self.errors()
        self.url, _, self.key = line.split()[-1].partition("/#key=")
        return self

    async def errors(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    async def code(self) -> int:
        async with asyncio.timeout(START_S):
            return await self.process.wait()

    async def dial(self) -> Peer:
        return Peer(await connect(self.url.replace("http", "ws") + "/v1/ws", proxy=None, close_timeout=0.5))


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Any]:
    """await serve(*flags, **environment) starts a process; all are ended at the end."""
    started: list[Server] = []

    async def start(*flags: str, data: Path = tmp_path / "data", **environment: str) -> Server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "server.cli", "serve", "--lifecycle", str(LIFECYCLE), "--data", str(data), *flags),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "STEWARD_HANDLERS": '["tests.server.wire_handlers"]',
                "STEWARD_TEAMS": "{}",
                "STEWARD_GRACE_S": "2",
                **environment,
            },
        )
        started.append(Server(process, data))
        return started[-1]

    yield start
    for server in started:
        with suppress(ProcessLookupError):
            server.process.kill()
        await server.process.wait()
        # Reading to the end lets go of the pipes.
        for pipe in (server.process.stdout, server.process.stderr):
            assert pipe is not None
            await pipe.read()
