"""Many clients in a process of their own: `python -m tests.server.crowd URL KEY COUNT`.

Each creates a session; once all have one they say something, again and again, until the server leaves. Then a line
with the successor's URL is read, and each compares the session's log there with what it saw. One line of JSON is
printed after each phase.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

DIALS_AT_ONCE: Final = 16  # below what the server lets an address have without a welcome
SAID_PER_S: Final = 300.0  # by all of them
DESCRIPTORS_BESIDE: Final = 64


@dataclass
class Member:
    """One client: what it saw, and what it was told at the end."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    seen: list[bytes] = field(default_factory=list)
    answered: dict[int, Any] = field(default_factory=dict)
    said: int = 0
    slot_ms: int | None = None
    told_at: float = 0.0
    close: int | None = None
    begin: Callable[[], None] | None = None
    missing: int = 0
    changed: int = 0

    async def dial(self, url: str, gate: asyncio.Semaphore, **hello: Any) -> ClientConnection:
        async with gate:
            socket = await connect(url, proxy=None, compression=None, open_timeout=60, close_timeout=1, max_queue=None)
            await socket.send(json.dumps({"t": "hello", "token": self.token, "cid": "c", **hello}))
            assert json.loads(await socket.recv())["t"] == "welcome"
        return socket

    async def live(self, socket: ClientConnection, is_up: asyncio.Event, pause_s: float) -> None:
        """Say something, wait for the answer, pause, and again; until the server closes."""
        pause: asyncio.TimerHandle | None = None
        loop = asyncio.get_running_loop()
        with suppress(ConnectionClosed):
            async for text in socket:
                frame = json.loads(text)
                self.take(frame, text if isinstance(text, bytes) else text.encode())
                if (frame.get("data") or {}).get("to") == "active":
                    is_up.set()
                    self.begin = partial(self.speak, socket)
                if frame["t"] == "res":
                    pause = loop.call_later(random.uniform(0.5, 1.5) * pause_s, self.speak, socket)
        self.close = socket.close_code
        if pause is not None:
            pause.cancel()

    def take(self, frame: dict[str, Any], text: bytes) -> None:
        match frame["t"]:
            case "ev":
                assert frame["seq"] == len(self.seen) + 1
                self.seen.append(text)
            case "res" if frame["ok"]:
                self.answered[frame["c"]] = frame.get("seq")
            case "goaway":
                assert self.slot_ms is None
                self.slot_ms, self.told_at = frame["slot_ms"], time.monotonic()

    def speak(self, socket: ClientConnection) -> None:
        if self.slot_ms is None and socket.state.name == "OPEN":
            self.said += 1
            self._speaking = asyncio.ensure_future(self._send(socket))

    async def _send(self, socket: ClientConnection) -> None:
        frame = {"t": "cmd", "c": self.said, "name": "say", "args": {"text": str(self.said)}}
        with suppress(ConnectionClosed):
            await socket.send(json.dumps(frame))

    async def compare(self, url: str, gate: asyncio.Semaphore) -> None:
        """Read the log from its beginning and ask for every outcome again."""
        socket = await self.dial(url, gate, n=2)
        for c in range(max(1, self.said - 60), self.said + 1):
            await socket.send(json.dumps({"t": "cmd", "c": c, "name": "say", "args": {"text": str(c)}}))
        again: list[bytes] = []
        outcomes: dict[int, Any] = {}
        async for text in socket:
            frame = json.loads(text)
            if frame["t"] == "ev":
                again.append(text if isinstance(text, bytes) else text.encode())
            elif frame["t"] == "res":
                outcomes[frame["c"]] = frame.get("seq")
            if len(again) >= len(self.seen) and (self.said == 0 or self.said in outcomes):
                break
        self.changed = sum(one != other for one, other in zip(self.seen, again, strict=False))
        spoken = Counter(event["data"]["text"] for event in map(json.loads, again) if event["kind"] == "agent.message")
        self.missing = sum(spoken[str(c)] != 1 for c in self.answered)
        self.missing += sum(outcomes[c] != seq for c, seq in self.answered.items() if c in outcomes)
        await socket.close()


def read_line() -> str:
    return sys.stdin.readline().strip()


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


async def run(url: str, key: str, count: int) -> None:
    gate = asyncio.Semaphore(DIALS_AT_ONCE)
    members = [Member() for _ in range(count)]
    pause_s = count / SAID_PER_S
    ups = [asyncio.Event() for _ in members]

    async def begin(member: Member, is_up: asyncio.Event) -> None:
        socket = await member.dial(url, gate, n=1, auth=key, create={"team": "wire"})
        await member.live(socket, is_up, pause_s)

    lives = [asyncio.create_task(begin(member, is_up)) for member, is_up in zip(members, ups, strict=True)]
    await asyncio.wait({*(asyncio.create_task(one.wait()) for one in ups)})
    loop = asyncio.get_running_loop()
    for member in members:
        assert member.begin is not None
        loop.call_later(random.random() * pause_s, member.begin)
    loop.call_later(pause_s / 2, partial(say, phase="talking"))
    await asyncio.gather(*lives)
    slots = [one.slot_ms for one in members if one.slot_ms is not None]
    say(
        phase="closed",
        told=len(slots),
        closes=Counter(one.close for one in members),
        first_slot_ms=min(slots, default=0),
        last_slot_ms=max(slots, default=0),
        distinct_slots=len(set(slots)),
        last_told_at=max(one.told_at for one in members),
        events=sum(len(one.seen) for one in members),
        answered=sum(len(one.answered) for one in members),
    )
    successor = await asyncio.to_thread(read_line)
    await asyncio.gather(*(member.compare(successor, gate) for member in members))
    say(
        phase="compared",
        changed=sum(one.changed for one in members),
        missing=sum(one.missing for one in members),
    )


def main() -> None:
    url, key, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + DESCRIPTORS_BESIDE
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard) if hard > 0 else wanted), hard))
    asyncio.run(run(url, key, count))


if __name__ == "__main__":
    main()
