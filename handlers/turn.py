"""Who has work in a team's turn, and where messages go: pure functions over an orchestrator's data and its team.

data: {team, options, opened, next: the next message's number, open: {agent: [numbers without a reply]}}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.context import GuardContext

from .backend import Message, Out
from .team import Team, find_team, may_break


@dataclass(slots=True)
class Book:
    """Open work, and the messages that make it. next: the number of the message after these."""

    open: dict[str, list[int]]
    next: int
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def add(self, agent: str, message: Message, sender: str, topic: str | None) -> None:
        self.messages.append((agent, {"id": self.take(agent), "message": message, "sender": sender, "topic": topic}))

    def take(self, agent: str) -> int:
        number, self.next = self.next, self.next + 1
        self.open.setdefault(agent, []).append(number)
        return number

    def close(self, agent: str, number: int) -> bool:
        """Whether that work was open; a reply of a turn that was interrupted finds none."""
        numbers = self.open.get(agent, [])
        if number not in numbers:
            return False
        numbers.remove(number)
        if not numbers:
            del self.open[agent]
        return True


def book(data: Mapping[str, Any]) -> Book:
    return Book({agent: list(numbers) for agent, numbers in data.get("open", {}).items()}, data.get("next", 0))


def team_of(ctx: GuardContext) -> tuple[Team, Any]:
    """The orchestrator's team and its options."""
    team = find_team(ctx.services["teams"], ctx.data["team"])
    return team, team.read_options(ctx.data.get("options"), may_break(ctx.services))


def opening(ctx: GuardContext) -> list[Out]:
    team, options = team_of(ctx)
    return list(team.opening(options))


def after_opening(ctx: GuardContext) -> Book:
    found = book(ctx.data)
    _route(ctx, found, opening(ctx), sender="")
    return found


def after_reply(ctx: GuardContext) -> Book:
    """The book once the reply in ctx.event is entered. One that nobody waits for changes nothing."""
    found = book(ctx.data)
    sender, payload = ctx.event.sender.rsplit("/", 1)[-1], ctx.event.payload
    if found.close(sender, payload["id"]):
        _route(ctx, found, [Out.from_json(plain) for plain in payload["sends"] or ()], sender)
    return found


def _route(ctx: GuardContext, found: Book, outs: Iterable[Out], sender: str) -> None:
    """To the agent named, or to every subscriber of the topic but the sender."""
    team, options = team_of(ctx)
    for out in outs:
        to = [out.agent] if out.agent is not None else team.subscribers(out.topic or "", options)
        for agent in to:
            if agent != sender and agent in ctx.children:
                found.add(agent, out.message, sender, out.topic)


def is_called_off(data: Mapping[str, Any], number: int) -> bool:
    """Of an agent's data: an interrupt calls off every message with a number below `floor`. Answers that came from a
    client directly have negative numbers and are called off only while they are worked on."""
    return bool(0 <= number < data.get("floor", 0))
