"""The shipped server as a process of its own, and plain WebSocket clients."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).parents[2]
REQUIRED = "NODE_TESTS"  # set to `required` where a missing Node is a failure
START_S = 30.0
GAME_S = 90.0
STOP_S = 20.0


def node(script: Path, *arguments: str) -> tuple[str, ...]:
    """How to run a script that uses the package ws. Skips without it, unless it is required."""
    os.environ.setdefault("NODE_PATH", "/usr/share/nodejs")  # where Debian's node-ws is
    found = shutil.which("node")
    probe = subprocess.run([found or "false", "-e", 'require("ws")'], capture_output=True)
    if probe.returncode != 0:
        text = "Node with its package ws is not installed: sh .ci/node"
        pytest.fail(text) if os.environ.get(REQUIRED) == "required" else pytest.skip(text)
    return (str(found), str(script), *arguments)


@dataclass
class Shipped:
    """`steward serve` with the lifecycle file, the handlers and the team that are shipped, on SQLite."""

    data: Path
    url: str = ""
    key: str = ""
    process: asyncio.subprocess.Process | None = None
    handshakes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(16))

    async def start(self) -> None:
        """On any port; after kill() on the one it had, so that clients find it again."""
        port = self.url.rpartition(":")[2] or "0"
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.cli", "serve", "--port", port, "--data", str(self.data)),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            line = (await self.process.stdout.readline()).decode()
        self.url, _, self.key = line.split()[-1].partition("/#key=")

    async def kill(self) -> None:
        """What a power cut leaves."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """What an operator does; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            return await self.process.wait()

    async def dial(self) -> ClientConnection:
        return await connect(self.url.replace("http", "ws") + "/v1/ws", proxy=None, max_queue=None)

    async def create(self, **options: Any) -> Game:
        # Rule 14: at most 32 connections an address before their welcome.
        async with self.handshakes:
            game = Game(await self.dial(), secrets.token_urlsafe(32))
            await game.hello(create={"team": "chess", "options": options}, auth=self.key)
        return game


@dataclass
class Game:
    """One session as a client on a connection that holds sees it."""

    socket: ClientConnection
    token: str
    last: int = 0
    c: int = 0

    async def hello(self, **fields: Any) -> dict[str, Any]:
        await self.send(t="hello", token=self.token, cid="plain", n=1, **fields)
        welcome = await self.next()
        assert welcome["t"] == "welcome", welcome
        return welcome

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(GAME_S):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        if frame["t"] == "ev":
            assert frame["seq"] == self.last + 1, "L1"
            self.last = frame["seq"]
        return frame

    async def event(self, kind: str) -> dict[str, Any]:
        while True:
            frame = await self.next()
            if frame["t"] == "ev" and frame["kind"] == kind:
                return frame

    async def say(self, text: str) -> None:
        self.c += 1
        await self.send(t="cmd", c=self.c, name="say", args={"text": text})

    async def moves(self) -> list[dict[str, Any]]:
        """The data of every message until the one with the result, which is the last."""
        seen = []
        while True:
            data = (await self.event("agent.message"))["data"]
            seen.append(data)
            if "result" in data:
                return seen

    async def end(self) -> dict[str, Any]:
        """Terminate; the data of session.ended."""
        self.c += 1
        await self.send(t="cmd", c=self.c, name="terminate", args={})
        data: dict[str, Any] = (await self.event("session.ended"))["data"]
        await self.socket.close()
        return data


@pytest.fixture
async def shipped(tmp_path: Path) -> AsyncIterator[Shipped]:
    server = Shipped(tmp_path / "data")
    await server.start()
    yield server
    assert await server.stop() == 0
