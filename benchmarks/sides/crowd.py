"""Many sessions, one client each: what the benchmarks of idle sessions, of a storm and of a restart have in common."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

from benchmarks.sides.links import Link, dial
from benchmarks.sides.serving import Server

DIALS_AT_ONCE: Final = 64
WAIT_S: Final = 120.0
POLL_S: Final = 0.05
LOOK_S: Final = 2.0  # how often a member that waits looks whether it still has to


class Member:
    """One session's client. last: the number of the last event it has; faults: events that came
    twice or left a hole, and cursors that did not go on."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.token = secrets.token_urlsafe(32)
        self.cid = secrets.token_urlsafe(9)
        self.dials = 0
        self.epoch = ""
        self.head = -1
        self.last = 0
        self.numbers: list[int] = []
        self.faults = 0
        self.link: Link | None = None
        self.on_live: Callable[[], None] | None = None
        self.is_up = False
        self.retry_s: float | None = None  # what the server asked for, if it closed

    def hello(self) -> dict[str, Any]:
        self.dials += 1
        fields = {"t": "hello", "token": self.token, "cid": self.cid, "n": self.dials, "auth": self.server.key}
        if not self.epoch:
            return {**fields, "create": {"team": "bench"}}
        return {**fields, "cur": {"epoch": self.epoch, "seq": self.last}}

    async def dial(self) -> None:
        self.head = -1
        self.link = await dial(self.server.port, "/v1/ws", self._heard, self.hello())

    def _heard(self, link: Link, text: bytes) -> None:
        frame = json.loads(text)
        if frame["t"] == "welcome":
            self.epoch, self.head = frame["epoch"], frame["head"]
            self.faults += not frame["resumed"]
        elif frame["t"] == "ev":
            self.faults += frame["seq"] != self.last + 1
            self.last = frame["seq"]
            if frame["kind"] == "agent.message":
                self.numbers.append(frame["data"]["number"])
            elif frame["data"].get("to") == "active":
                self.is_up = True
        elif frame["t"] == "error":
            self.retry_s = frame.get("retry_ms", 0) / 1000 or None
        elif frame["t"] == "snap":
            self.faults += 1
        if 0 <= self.head <= self.last and self.on_live is not None:
            live, self.on_live = self.on_live, None
            live()

    def misses_some(self) -> bool:
        return self.on_live is not None

    def asked_pause_s(self) -> float | None:
        return self.retry_s

    async def come_back(self, offset: float, live: Callable[[], None]) -> int:
        """Dial after offset, and again by the protocol's rules until everything missed is there; how many dials."""
        self.on_live, dials = live, self.dials
        while self.misses_some():
            await asyncio.sleep(offset)
            self.retry_s = None
            await self.dial()
            assert self.link is not None
            while self.misses_some() and not self.link.over.done():
                await asyncio.wait({self.link.over}, timeout=LOOK_S)
            offset = self.asked_pause_s() or random.uniform(0, min(5.0, 2.0 ** (self.dials - dials)))
        return self.dials - dials


async def gather(members: list[Member]) -> None:
    """Create their sessions; return when all are up."""
    gate = asyncio.Semaphore(DIALS_AT_ONCE)

    async def one(member: Member) -> None:
        async with gate:
            await member.dial()
            await until(lambda: member.is_up)

    await asyncio.gather(*(one(member) for member in members))


async def until(holds: Callable[[], bool], every_s: float = POLL_S) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - what is waited for is another process's doing
            await asyncio.sleep(every_s)


def states(server: Server) -> Iterator[str]:
    """Of all live sessions, as the server tells an administrator."""
    return (one["state"] for one in server.get("/v1/sessions")["sessions"])
