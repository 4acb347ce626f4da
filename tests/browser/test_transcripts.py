"""One log, three WebSocket libraries that are not ours: `websockets`, Node's `ws`, and Chromium's own (L1)."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from server.client import Client
from tests.browser.conftest import Served, Visitor
from tests.e2e.conftest import node

pytestmark = pytest.mark.e2e

LISTEN = Path(__file__).parents[1] / "e2e" / "listen.mjs"
GAME_S = 60.0
IN_THE_PAGE = """([url, token]) => new Promise((done, failed) => {
  const socket = new WebSocket(url);
  const lines = [];
  socket.onopen = () => socket.send(JSON.stringify({ t: "hello", token, role: "observe" }));
  socket.onclose = () => failed(new Error("closed before the end"));
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.t === "ev") lines.push(data);
    if (frame.kind === "session.ended") done(lines);
  };
})"""


async def by_websockets(address: str, token: str) -> list[str]:
    lines = []
    async with connect(address, proxy=None) as socket:
        await socket.send(json.dumps({"t": "hello", "token": token, "role": "observe"}))
        while True:
            text = str(await socket.recv())
            if json.loads(text)["t"] == "ev":
                lines.append(text)
            if json.loads(text).get("kind") == "session.ended":
                return lines


async def by_node(address: str, token: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(*node(LISTEN, address, token), stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().splitlines()


async def test_every_library_is_given_the_same_bytes(visitor: Visitor, served: Served) -> None:
    """Three of them while a game is played, and again when it is over: each event is the same text for everyone."""
    token, address = secrets.token_urlsafe(32), served.url.replace("http", "ws") + "/v1/ws"
    page = await visitor.page()
    create = {"team": "chess", "options": {"plies": 6}}
    async with asyncio.timeout(GAME_S), Client(served.url, create=create, auth=served.key, token=token) as player:
        listening = [
            asyncio.ensure_future(by_websockets(address, token)),
            asyncio.ensure_future(by_node(address, token)),
            asyncio.ensure_future(page.evaluate(IN_THE_PAGE, [address, token])),
        ]
        played = []
        async for event in player:
            played.append(event)
            if "result" in event["data"]:
                await player.send("terminate")
        live = await asyncio.gather(*listening)
        late = [await by_websockets(address, token), await by_node(address, token)]
    first = live[0]
    assert [json.loads(text) for text in first] == played
    assert [one == first for one in [*live, *late]] == [True] * 5
