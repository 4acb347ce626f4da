"""The log as server-sent events: the same bytes as on a WebSocket, for readers that only listen."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from server.app import stop
from server.outbox import UNSENT_BYTES_MAX
from tests.server.conftest import ANSWER_S, Peer, Wire, new_token


@dataclass
class Reader:
    """One stream; comments and events in the order they came."""

    answer: aiohttp.ClientResponse
    comments: int = 0
    got: list[dict[str, Any]] = field(default_factory=list)

    async def next(self) -> dict[str, Any] | None:
        """The next event's fields, `data` as text; None when the stream has ended."""
        fields: dict[str, Any] = {}
        while True:
            async with asyncio.timeout(ANSWER_S):
                line = await self.answer.content.readline()
            if not line:
                return None
            text = line.decode().rstrip("\n")
            if text.startswith(":"):
                self.comments += 1
            elif text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif fields:
                self.got.append(fields)
                return fields

    async def until(self, kind: str) -> dict[str, Any]:
        while (got := await self.next()) is not None:
            if "event" not in got and json.loads(got["data"])["kind"] == kind:
                return got
        raise AssertionError(f"no {kind} came: {self.got}")

    async def rest(self) -> list[dict[str, Any]]:
        while await self.next() is not None:
            pass
        return self.got


@asynccontextmanager
async def reading(wire: Wire, sid: str, token: str, last: str | None = None, query: str = "") -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    async with wire.http.get(f"{wire.url}/v1/sessions/{sid}/log{query}", headers=headers) as answer:
        yield Reader(answer)


async def begun(wire: Wire, **hello: Any) -> tuple[Peer, str, str]:
    """A session that is active: (who controls it, sid, token)."""
    token = new_token()
    peer, welcome = await wire.create(token, **hello)
    return peer, welcome["sid"], token


async def say(peer: Peer, c: int, text: str = "hello") -> None:
    await peer.cmd(c, "say", args={"text": text})
    assert (await peer.res(c))["ok"]


async def test_data_is_what_a_websocket_carries_byte_for_byte(wire: Wire) -> None:
    """L1: for one (sid, epoch, seq) every client on every transport sees identical bytes, large events too."""
    peer, sid, token = await begun(wire)
    other = await wire.dial()
    await other.hello(token, cid="other")
    await say(peer, 1, "zwölf Boxkämpfer\n\r\u2028")
    await peer.cmd(2, "big", args={"size": 300_000})
    await peer.res(2)
    frames: list[str] = []
    while len(frames) < peer.events[-1]["seq"]:
        text = await other.socket.recv(decode=False)
        if text.startswith(b'{"t":"ev",'):
            frames.append(text.decode())
    async with reading(wire, sid, token) as reader:
        assert reader.answer.status == 200
        assert reader.answer.headers["Content-Type"] == "text/event-stream"
        assert reader.answer.headers["Cache-Control"] == "no-store"
        assert reader.answer.headers["X-Content-Type-Options"] == "nosniff"
        got = [await reader.next() for _ in frames]
    assert ['{"t":"ev",' + one["data"][1:] for one in got if one is not None] == frames
    epoch = peer.frames[0]["epoch"]
    assert [one["id"] for one in got if one is not None] == [f"{epoch}:{n}" for n in range(1, len(frames) + 1)]


async def test_a_reader_goes_on_after_what_it_has_read(wire: Wire) -> None:
    """L3: nothing missing and nothing twice, over a connection that was cut in between."""
    peer, sid, token = await begun(wire)
    await say(peer, 1)
    async with reading(wire, sid, token) as reader:
        first = await reader.next()
    assert first is not None
    async with reading(wire, sid, token, first["id"]) as reader:
        await say(peer, 2)
        while len(reader.got) < peer.events[-1]["seq"] - 1:
            await reader.next()
    assert [json.loads(one["data"])["seq"] for one in reader.got] == list(range(2, peer.events[-1]["seq"] + 1))
    async with reading(wire, sid, token, query=f"?after={peer.events[-1]['seq'] - 1}") as reader:
        last = await reader.next()
    assert last is not None
    assert json.loads(last["data"]) == {k: v for k, v in peer.events[-1].items() if k != "t"}


@pytest.mark.parametrize("last", ["another:3", "EPOCH:999", "nonsense", ""])
async def test_a_cursor_that_does_not_go_on_gets_a_snapshot_first(wire: Wire, last: str) -> None:
    """L4: a loss of continuity is announced before the next event."""
    peer, sid, token = await begun(wire)
    async with reading(wire, sid, token, last.replace("EPOCH", peer.frames[0]["epoch"])) as reader:
        snap = await reader.next()
        assert snap is not None
        assert snap["event"] == "snap"
        assert json.loads(snap["data"])["state"] == "active"
        await say(peer, 1)
        following = await reader.next()
    assert following is not None
    assert int(following["id"].split(":")[1]) == int(snap["id"].split(":")[1]) + 1


async def test_the_end_ends_the_stream_and_is_not_read_twice(wire: Wire) -> None:
    """204 tells an EventSource not to come again; whoever has not read the end still gets it (L9)."""
    peer, sid, token = await begun(wire)
    async with reading(wire, sid, token) as reader:
        await peer.cmd(1, "terminate")
        events = await reader.rest()
    assert json.loads(events[-1]["data"])["kind"] == "session.ended"
    async with reading(wire, sid, token, events[-1]["id"]) as reader:
        assert reader.answer.status == 204
    async with reading(wire, sid, token, events[-2]["id"]) as reader:
        assert await reader.rest() == [events[-1]]


async def test_silence_is_broken_by_comments(serving: Any) -> None:
    """A proxy would cut a stream that says nothing."""
    wire: Wire = await serving(heartbeat_s=0.05)
    peer, sid, token = await begun(wire)
    async with reading(wire, sid, token, query=f"?after={peer.events[-1]['seq']}") as reader:
        async with asyncio.timeout(ANSWER_S):
            for _ in range(3):
                assert (await reader.answer.content.readuntil(b"\n\n")) == b":\n\n"


async def test_streams_are_observers_counted_and_bounded(serving: Any) -> None:
    """C6: as many as the file and the settings allow; and a place is free again when its reader has left."""
    wire: Wire = await serving(observe_max=1)
    _, sid, token = await begun(wire)
    session = await wire.parts.manager.find(sid)
    assert session is not None
    async with reading(wire, sid, token) as reader:
        await reader.next()
        assert session.connections == 2
        async with reading(wire, sid, token) as refused:
            assert refused.answer.status == 503
            assert (await refused.answer.json())["code"] == "full"
        observer = await wire.dial()
        assert (await observer.hello(token, role="observe", cid=None))["code"] == 4103
        reader.answer.close()
        async with asyncio.timeout(ANSWER_S):
            await wire.parts.pool.wait_fewer(2)
    assert session.connections == 1


async def test_an_event_stream_keeps_no_window_open(wire: Wire) -> None:
    """Rule 6: only who controls keeps a session from waiting for its end."""
    peer, sid, token = await begun(wire)
    async with reading(wire, sid, token) as reader:
        await peer.socket.close()
        while json.loads((await reader.until("session.state"))["data"])["data"]["to"] != "reconnecting":
            pass


async def test_a_revoked_right_ends_the_stream(wire: Wire) -> None:
    """L12: at once, and it does not come back."""
    _, sid, token = await begun(wire)
    path = f"/v1/sessions/{sid}/tokens"
    _, more = await wire.call("POST", path, token, json={"role": "observe"})
    async with reading(wire, sid, more["token"]) as reader:
        await reader.next()
        assert (await wire.call("DELETE", f"{path}/{more['id']}", token))[0] == 204
        last = (await reader.rest())[-1]
    assert (last["event"], json.loads(last["data"])["code"]) == ("error", 4300)
    async with reading(wire, sid, more["token"]) as reader:
        assert reader.answer.status == 401


async def test_a_leaving_server_tells_its_readers_when_to_come_again(wire: Wire) -> None:
    """L13: by the field that an EventSource goes by itself, and by the same goaway as everyone gets."""
    _, sid, token = await begun(wire)
    async with reading(wire, sid, token) as reader:
        await reader.next()
        leaving = asyncio.create_task(stop(wire.runner))
        last = (await reader.rest())[-1]
        await leaving
    assert last["event"] == "goaway"
    assert json.loads(last["data"]) == {"why": "leaving", "slot_ms": int(last["retry"])}


async def test_a_reader_that_does_not_read_costs_only_itself(serving: Any) -> None:
    """L10, L11: what waits for it is bounded, nobody else waits, and it is cut when nothing moves for stuck_s."""
    wire: Wire = await serving(stuck_s=1.0)
    peer, sid, token = await begun(wire)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, ("127.0.0.1", wire.port))
    head = f"GET /v1/sessions/{sid}/log HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    await loop.sock_sendall(slow, f"{head}Accept: text/event-stream\r\n\r\n".encode())
    stream = None
    for c in range(1, 200):
        await peer.cmd(c, "big", args={"size": 50_000})
        await peer.res(c)
        stream = stream or next((one for one in wire.parts.pool.connections if one.key is None), None)
    held: Any = stream
    assert held is not None
    assert held._transport.get_write_buffer_size() <= UNSENT_BYTES_MAX + 60_000
    async with asyncio.timeout(ANSWER_S):
        await wire.parts.pool.wait_fewer(2)
    assert (await wire.parts.manager.find(sid)).connections == 1  # type: ignore[union-attr]
    slow.close()
    await say(peer, 200)


async def test_a_head_request_has_no_stream(wire: Wire) -> None:
    """It would go on for ever and show nothing."""
    _, sid, token = await begun(wire)
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    async with wire.http.head(f"{wire.url}/v1/sessions/{sid}/log", headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("application/json")
