"""Fifty users at once at the support desk, their answers streamed through each other: every word where it belongs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiohttp import web
from desk import COMPILED, data, desk, support
from fake_model import call, event, fake_model, last_words, say

from engine.codec import decode, encode
from engine.journal.memory import MemoryJournal
from engine.session import Session
from engine.sessions import SessionManager
from engine.testing.virtual import in_virtual_time
from examples.support import make_team

USERS = 50
WORDS = tuple(f"word-of-{number:02d}-only" for number in range(USERS))
TALKS = (
    ("hello, I am {}", "and again {}"),
    ("what does a lamp cost? {}", "I buy the lamp, {}"),
    ("the lamp of order A-1001 is broken {}", "approve"),
)
PIECES = 20  # of each answer; as many for everybody, because they wait for each other
WAIT_S = 60.0


class Listener:
    """Everything one user is told: notes as they come, and at the end the log."""

    def __init__(self, session: Session, heard: list[str]) -> None:
        self.session = session
        self.texts: dict[str, str] = {}
        self._said: list[bytes] = []
        self._heard = heard  # of all users: who was told something, in order
        session.log.watch_notes(self._note)

    def _note(self, kind: str, said: Mapping[str, Any]) -> None:
        assert kind == "agent.chunk"
        before = self.texts.get(said["msg"], "")
        assert said["at"] <= len(before), "a hole"
        self.texts[said["msg"]] = before[: said["at"]] + said["text"]
        self._said.append(encode(dict(said)))
        self._heard.append(self.session.sid)

    async def check(self, own: str) -> None:
        """Their own words came back, nobody else's did, and what was streamed is what was said."""
        rows = [text for _, text in await self.session.log.read(0, 10_000)]
        # Beside what they are told, what their agents remember: a model could bring it up at any time.
        kept = [encode(actor.data) for actor in self.session.actors.values()]
        everything = b"\n".join([*rows, *self._said, *kept]).decode()
        assert [word for word in WORDS if word in everything] == [own]
        finished = {row["data"]["msg"]: row["data"]["text"] for row in map(decode, rows) if "msg" in row["data"]}
        assert finished
        assert self.texts == finished


def assert_interleaved(heard: list[str]) -> None:
    """Otherwise the test would show nothing: most chunks follow one of somebody else."""
    changes = sum(first != second for first, second in pairwise(heard))
    assert len(set(heard)) == USERS
    assert changes > len(heard) / 2


@in_virtual_time
async def test_fifty_users_of_the_script(tmp_path: Path) -> None:
    """C7: hand-offs, tools and approvals of all kinds at once."""
    async with desk(tmp_path) as r:
        heard: list[str] = []
        listeners = []
        for number in range(USERS):
            session = await r.manager.create(user=f"u{number}", data=support(words_per_s=10))
            session.attach("control")
            listeners.append(Listener(session, heard))
        for turn in range(2):
            for number, one in enumerate(listeners):
                text = TALKS[number % len(TALKS)][turn].format(WORDS[number])
                await r.manager.send(one.session.sid, name="say", payload={"text": text})
            await r.advance(60)
        assert_interleaved(heard)
        for word, one in zip(WORDS, listeners, strict=True):
            await one.check(word)
        refunded = [len(await data(r, one.session, "input.request")) for one in listeners]
        assert refunded == [1 if number % 3 == 2 else 0 for number in range(USERS)]


async def test_fifty_users_of_one_endpoint() -> None:
    """The same through real sockets: all answers are under way together, and go out word by word in turns."""
    together = asyncio.Barrier(USERS)

    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        words = last_words(body)
        names = {one["function"]["name"] for one in body["tools"]}
        if "transfer_to_sales" in names and "lamp" in words:
            await call(response, "transfer_to_sales", "{}")
            return
        await together.wait()
        text = f"You said: {words} and that is all there is to say about it. ".ljust(PIECES * 5, ".")
        for first in range(0, PIECES * 5, 5):
            await response.write(event({"content": text[first : first + 5]}))
            await together.wait()
        await say(response, "Bye.")

    async with fake_model(answer) as model:
        services = {"teams": {"support": make_team(model.endpoint())}}
        manager = SessionManager(COMPILED, MemoryJournal(), services=services)
        await manager.start()
        heard: list[str] = []
        listeners = []
        for number in range(USERS):
            session = await manager.create(user=f"u{number}", data=support())
            session.attach("control")
            listeners.append(Listener(session, heard))
        said = ("I would like a lamp {}", "good morning {}")
        for number, one in enumerate(listeners):
            payload = {"text": said[number % 2].format(WORDS[number])}
            await manager.send(one.session.sid, name="say", payload=payload)
        async with asyncio.timeout(WAIT_S):
            for one in listeners:
                await answered(one.session)
        assert_interleaved(heard)
        for word, one in zip(WORDS, listeners, strict=True):
            await one.check(word)
        await manager.shutdown(10)
        asked = [encode(body).decode() for body in model.requests]
        assert all(sum(word in body for word in WORDS) == 1 for body in asked), "each request is one user's"


async def answered(session: Session) -> None:
    """Until a streamed answer is in the log."""
    news = asyncio.Event()
    unwatch = session.log.watch(news.set)
    while not any("msg" in decode(text)["data"] for _, text in await session.log.read(0, 10_000)):
        news.clear()
        await news.wait()
    unwatch()
