"""A team whose agents misbehave on request: one agent a way, told to begin when the session is up.

Each way has the name of what it does. A healthy one says so and is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from autogen_core import AgentId, MessageContext, RoutedAgent, TopicId, message_handler
from pydantic import BaseModel, ConfigDict

from handlers.backend import Out
from handlers.team import NeedsInput, PersonSaid, Role, Seat, Team, TeamMessage

Way = Literal[
    "healthy",
    "asks",
    "sleeps",
    "swallows_cancellation",
    "swallows_everything",
    "spins",
    "blocks_in_sleep",
    "blocks_a_thread",
    "exits",
    "raises",
    "starts_a_stray",
    "hangs_in_close",
    "raises_in_close",
    "asks_a_dead_end",
    "floods",
    "returns_nonsense",
    "publishes_elsewhere",
]
# Ended in process within the bounds of its own time-outs, with nothing left.
TORN_DOWN: tuple[Way, ...] = (
    "sleeps",
    "swallows_cancellation",
    "swallows_everything",
    "exits",
    "raises",
    "starts_a_stray",
    "hangs_in_close",
    "raises_in_close",
    "asks_a_dead_end",
    "floods",
    "returns_nonsense",
    "publishes_elsewhere",
)
RELEASE = threading.Event()  # lets the blocked threads of all agents go
THREAD_S = 30.0  # and so does time, should nobody set it


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    ways: tuple[Way, ...] = ("healthy", "healthy", "healthy")


class Go(TeamMessage):
    """Begin to misbehave."""


class Question(TeamMessage):
    """From one agent to another."""


class Hostile(RoutedAgent):
    def __init__(self, seat: Seat) -> None:
        super().__init__("hostile")
        self._seat = seat
        self._way: Way = seat.options.ways[int(seat.name[1:])]
        self._said: list[str] = []

    @message_handler
    async def go(self, message: Go, ctx: MessageContext) -> Any:
        self._said.append("go")
        return await WAYS.get(self._way, _healthy)(self._seat, self)

    @message_handler
    async def said(self, message: PersonSaid, ctx: MessageContext) -> None:
        self._said.append(message.text)
        self._seat.emit("agent.message", {"agent": self._seat.name, "text": f"heard {message.text}"})

    @message_handler
    async def question(self, message: Question, ctx: MessageContext) -> str:
        await asyncio.Event().wait()
        return "never"

    async def save_state(self) -> Mapping[str, Any]:
        return {"said": self._said}  # the live list, as many agents do

    async def load_state(self, state: Mapping[str, Any]) -> None:
        self._said = list(state["said"])

    async def close(self) -> None:
        if self._way == "hangs_in_close":
            await asyncio.Event().wait()
        if self._way == "raises_in_close":
            raise RuntimeError("no")


async def _healthy(seat: Seat, agent: Hostile) -> None:
    seat.emit("agent.message", {"agent": seat.name, "text": "well"})


async def _asks(seat: Seat, agent: Hostile) -> NeedsInput:
    return NeedsInput(prompt="What now?")


async def _sleeps(seat: Seat, agent: Hostile) -> None:
    while True:  # noqa: ASYNC110 - that is what it is here for
        await asyncio.sleep(1000)


async def _swallows_cancellation(seat: Seat, agent: Hostile) -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)


async def _swallows_everything(seat: Seat, agent: Hostile) -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except BaseException:
            continue


async def _spins(seat: Seat, agent: Hostile) -> None:
    while True:
        pass


async def _blocks_in_sleep(seat: Seat, agent: Hostile) -> None:
    time.sleep(1000)  # noqa: ASYNC251 - so is this


async def _blocks_a_thread(seat: Seat, agent: Hostile) -> None:
    RELEASE.clear()
    await asyncio.to_thread(RELEASE.wait, THREAD_S)


async def _exits(seat: Seat, agent: Hostile) -> None:
    sys.exit(3)


async def _raises(seat: Seat, agent: Hostile) -> None:
    raise RuntimeError("no")


async def _starts_a_stray(seat: Seat, agent: Hostile) -> None:
    agent._stray = asyncio.create_task(_swallows_cancellation(seat, agent))  # type: ignore[attr-defined]


async def _asks_a_dead_end(seat: Seat, agent: Hostile) -> None:
    """Its question to itself is never answered."""
    await agent.send_message(Question(), AgentId(seat.name, seat.sid))


async def _floods(seat: Seat, agent: Hostile) -> None:
    while True:
        await agent.publish_message(Go(), TopicId(seat.topic("flood"), seat.sid))


async def _returns_nonsense(seat: Seat, agent: Hostile) -> object:
    return object()


async def _publishes_elsewhere(seat: Seat, agent: Hostile) -> None:
    await agent.publish_message(Go(), TopicId("s.another:moves", "s.another"))


WAYS: dict[str, Callable[[Seat, Hostile], Awaitable[Any]]] = {
    "asks": _asks,
    "sleeps": _sleeps,
    "swallows_cancellation": _swallows_cancellation,
    "swallows_everything": _swallows_everything,
    "spins": _spins,
    "blocks_in_sleep": _blocks_in_sleep,
    "blocks_a_thread": _blocks_a_thread,
    "exits": _exits,
    "raises": _raises,
    "starts_a_stray": _starts_a_stray,
    "asks_a_dead_end": _asks_a_dead_end,
    "floods": _floods,
    "returns_nonsense": _returns_nonsense,
    "publishes_elsewhere": _publishes_elsewhere,
}


def _cast(options: Options) -> Sequence[Role]:
    return [Role(f"a{index}", Hostile) for index in range(len(options.ways))]


def _opening(options: Options) -> Sequence[Out]:
    return [Out(TEAM.encode(Go()), agent=role.name) for role in _cast(options)]


TEAM = Team(
    name="hostile",
    options=Options,
    messages=(Go, Question),
    cast=_cast,
    opening=_opening,
    route=lambda text, options: "a0",
)
