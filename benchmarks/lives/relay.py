"""A team of three that passes one message from hand to hand, and one whose agent will not go: for measuring lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from autogen_core import MessageContext, RoutedAgent, TopicId, message_handler
from pydantic import BaseModel, ConfigDict

from handlers.backend import Out
from handlers.team import Role, Team, TeamMessage

HANDS: Final = ("first", "second", "third")


class Seat(Protocol):
    """What the agents need of handlers.team.Seat, so that they also run without it."""

    @property
    def name(self) -> str: ...
    @property
    def sid(self) -> str: ...
    @property
    def options(self) -> Any: ...
    def topic(self, name: str) -> str: ...
    def emit(self, kind: str, data: Mapping[str, Any]) -> None: ...


class Passed(TeamMessage):
    """What goes from hand to hand."""

    text: str


class Hand(RoutedAgent):
    """Publishes what it gets to the next one; the last says that the round is over."""

    def __init__(self, seat: Seat) -> None:
        super().__init__("passes on")
        self._seat = seat

    @message_handler
    async def passed(self, message: Passed, ctx: MessageContext) -> None:
        position = HANDS.index(self._seat.name) + 1
        if position == len(HANDS):
            self._seat.emit("agent.message", {"agent": self._seat.name, "text": message.text})
            return
        topic = TopicId(self._seat.topic(HANDS[position]), self._seat.sid)
        await self.publish_message(Passed(text=message.text), topic)

    async def save_state(self) -> Mapping[str, Any]:
        return {}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """It has none."""


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _begin(options: Options) -> Sequence[Out]:
    return [Out(RELAY.encode(Passed(text="a round")), agent=HANDS[0])]


RELAY: Final[Team] = Team(
    name="relay",
    options=Options,
    messages=(Passed,),
    cast=lambda options: [Role(name, Hand, topics=(name,)) for name in HANDS],
    opening=_begin,
    route=lambda text, options: HANDS[0],
)

Way = Literal["well", "swallows", "swallows_everything", "hangs"]
HOSTILE: Final[tuple[Way, ...]] = ("swallows", "swallows_everything", "hangs")


class Ways(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    way: Way = "well"


async def _well() -> None:
    """Is done."""


async def _hangs() -> None:
    await asyncio.Event().wait()


async def _swallows() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def _swallows_everything() -> None:
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.Event().wait()


WAYS: Final[Mapping[Way, Callable[[], Awaitable[None]]]] = {
    "well": _well,
    "hangs": _hangs,
    "swallows": _swallows,
    "swallows_everything": _swallows_everything,
}


class Stubborn(RoutedAgent):
    """Behaves as its options say."""

    def __init__(self, seat: Seat) -> None:
        super().__init__("does not go")
        self._way: Way = seat.options.way

    @message_handler
    async def passed(self, message: Passed, ctx: MessageContext) -> None:
        await WAYS[self._way]()

    async def save_state(self) -> Mapping[str, Any]:
        return {}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """It has none."""


STUBBORN: Final[Team] = Team(
    name="stubborn",
    options=Ways,
    messages=(Passed,),
    cast=lambda options: [Role("agent", Stubborn)],
    opening=lambda options: [Out(STUBBORN.encode(Passed(text="begin")), agent="agent")],
    route=lambda text, options: "agent",
)
