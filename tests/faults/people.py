"""Clients that say things through a bad network, write down all they see, and what has to be true of it (L1 to L5)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from server.dialling import Dialler

UNANSWERED_MAX = 8
UNHEARD_MAX = 64  # said, and not yet repeated by the worker: two people's fit into its mailbox
PATIENCE = 1000  # times in a row that a log is asked for what is still being worked off


@dataclass
class Person:
    """One client of one session; with said = its texts, in order, once each."""

    name: str
    dialler: Dialler
    texts: list[str]
    events: dict[int, Any] = field(default_factory=dict)
    replies: dict[int, dict[str, Any]] = field(default_factory=dict)
    sid: str = ""
    epoch: str = ""
    last: int = 0
    drops: int = 0
    _begun: int = 0
    _heard: int = 0

    async def live(self) -> None:
        """Until every command is answered."""
        async with aclosing(self.dialler.frames()) as frames:
            async for frame in frames:
                self._take(frame)
                if len(self.replies) == len(self.texts):
                    return
                if self.epoch:
                    await self._say_more()

    async def read_to(self, seq: int) -> None:
        """Until this event was applied."""
        if self.last >= seq:
            return
        async with aclosing(self.dialler.frames()) as frames:
            async for frame in frames:
                self._take(frame)
                if self.last >= seq:
                    return

    async def _say_more(self) -> None:
        while (
            self._begun < len(self.texts)
            and self._begun - len(self.replies) < UNANSWERED_MAX
            and self._begun - self._heard < UNHEARD_MAX
        ):
            text = self.texts[self._begun]
            self._begun += 1
            await self.dialler.command("say", {"text": text})

    def _take(self, frame: dict[str, Any]) -> None:
        match frame["t"]:
            case "welcome":
                assert self.sid in ("", frame["sid"]), "L12: another session"
                assert self.epoch in ("", frame["epoch"])
                self.sid, self.epoch = frame["sid"], frame["epoch"]
            case "snap":
                self.last = frame["seq"]
            case "ev":
                assert frame["seq"] == self.last + 1, "L3: a hole, or twice"
                self.last = frame["seq"]
                self.events[self.last] = {name: value for name, value in frame.items() if name != "t"}
                self._heard += str(frame["data"].get("text", "")).startswith(self.name)
            case "res":
                assert frame["c"] not in self.replies, "an answer twice"
                self.replies[frame["c"]] = frame
            case "lost":
                self.drops += 1


@dataclass
class Group:
    """Some people who share one session."""

    people: list[Person]

    @property
    def seen(self) -> int:
        """Events and answers so far."""
        return sum(len(one.events) + len(one.replies) for one in self.people)

    async def live(self) -> None:
        first, *others = self.people
        meeting = asyncio.ensure_future(first.live())
        while not first.sid and not meeting.done():
            await asyncio.wait({meeting}, timeout=0.02)  # the others come once there is a session
        await asyncio.gather(meeting, *(one.live() for one in others))

    async def check(self, http: aiohttp.ClientSession, url: str) -> None:
        """Hold everything they saw against the log as it stands now."""
        for one in self.people:
            assert [reply for reply in one.replies.values() if not reply["ok"]] == []
        sid, token = self.people[0].sid, self.people[0].dialler.token
        spoken = sum(len(one.texts) for one in self.people)
        log = await whole_log(http, url, sid, token, until=spoken)
        assert [event["seq"] for event in log] == list(range(1, len(log) + 1)), "L1: not contiguous"
        said = [event["data"]["text"] for event in log if event["kind"] == "agent.message"]
        counted = [event["data"]["number"] for event in log if event["kind"] == "agent.message"]
        assert counted == list(range(1, len(said) + 1)), "M5: between actors, once"
        for one in self.people:
            assert [text for text in said if text.startswith(one.name)] == one.texts, "L5: once each, in order"
            wrong = [seq for seq, event in one.events.items() if log[seq - 1] != event]
            assert wrong == [], "L1, L2: what was seen is not what the log says"


async def whole_log(http: aiohttp.ClientSession, url: str, sid: str, token: str, *, until: int) -> list[dict[str, Any]]:
    """Every event; waits until that many messages are in it, since a command is answered before it is worked off."""
    events: list[dict[str, Any]] = []
    asked = 0
    while sum(event["kind"] == "agent.message" for event in events) < until:
        after = events[-1]["seq"] if events else 0
        path = f"{url}/v1/sessions/{sid}/log?after={after}&limit=1000"
        async with http.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 200, await answer.text()
            page = (await answer.json())["events"]
        events += page
        asked = 0 if page else asked + 1
        if not page:
            assert asked < PATIENCE, f"of {until} messages {len(events)} events came: {events[-3:]}"
            await asyncio.sleep(0.01)
    return events


def group(http: aiohttp.ClientSession, url: str, key: str, number: int, people: int, commands: int) -> Group:
    made: list[Person] = []
    for position in range(people):
        name = f"{number}.{position}:"
        create = {} if position == 0 else None
        token = made[0].dialler.token if made else None
        dialler = Dialler(http, url, create, key if create is not None else None, token=token)
        texts = [f"{name}{count}" for count in range(commands)]
        made.append(Person(name, dialler, texts))
    return Group(made)
