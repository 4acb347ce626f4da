"""What makes a team: its options, its agents, its messages, and how a game, a talk or a task with it begins.

A module that offers teams exposes them as TEAM or TEAMS; the configuration names the module.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import Refused
from engine.language.sentences import sentence, unknown

from .backend import Message, Out, RequestKind
from .stream import Stream

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
TOPIC: Final = re.compile(r"[\w.=-]{1,64}")  # no colon: that one divides the session from the topic


class TeamMessage(BaseModel):
    """Root of everything that agents say to each other: JSON by way of pydantic."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PersonSaid(TeamMessage):
    """A person wrote to this agent, asked or not. request: the open question that this answers, "" if there was none
    or if it was said before an approval was asked for: nobody approves what they have not seen."""

    text: str
    by: str = ""
    request: str = ""


class NeedsInput(TeamMessage):
    """What a handler returns to say: I can go on only when a person has said something.

    kind: `approval` asks for yes or no. details: JSON, what a page may show beside the prompt.
    """

    prompt: str
    kind: RequestKind = "text"
    details: dict[str, Any] = Field(default_factory=dict)


class Seat(Protocol):
    """An agent's place in its team: what its factory gets, and all it may do beside sending messages."""

    @property
    def name(self) -> str: ...
    @property
    def sid(self) -> str: ...
    @property
    def options(self) -> Any: ...
    @property
    def workspace(self) -> Path | None:
        """A directory of this session's own, if there is one."""

    def topic(self, name: str) -> str:
        """The session's own form of a topic: f"{sid}:{name}". Publishing anywhere else is refused."""

    def emit(self, kind: str, data: Mapping[str, Any]) -> None:
        """A durable update for clients; it happens with the handler's success or not at all."""

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """A volatile hint for whoever is connected now."""

    def stream(self) -> Stream:
        """The answer that this handler writes, told while it is written; one for each handler."""

    def process(self, *argv: str, **kwargs: Any) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
        """`async with seat.process("python", "x.py", stdout=PIPE) as child`: a child process at the head of a process
        group of its own. Whoever is left of the group ends with the block, or with the handler if that ends first.

        The agent's actor owns it: it counts against `processes` (LimitExceeded) and stands in the clean-up report.
        """


@dataclass(frozen=True, slots=True)
class Role:
    """One agent of a team. make: its factory; topics: what it subscribes to, without the session's prefix."""

    name: str
    make: Callable[[Seat], Any]
    topics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or not all(TOPIC.fullmatch(topic) for topic in self.topics):
            raise ValueError(f"the role {self.name!r} or one of its topics {self.topics!r} is no valid name")


@dataclass(frozen=True)
class Team:
    """cast: who plays, given the options. opening: the first messages, sent once in a session's life. route: which
    agent gets what a person says, when no agent waits for it; raises Refused if it is for nobody. description: one
    sentence for whoever chooses a team. breaking: the options where the operator lets clients break things
    (--allow-breaking), if those are others."""

    name: str
    options: type[BaseModel]
    messages: tuple[type[TeamMessage], ...]
    cast: Callable[[Any], Sequence[Role]]
    opening: Callable[[Any], Sequence[Out]]
    route: Callable[[str, Any], str]
    description: str = ""
    breaking: type[BaseModel] | None = None

    def offered(self, may_break: bool = False) -> type[BaseModel]:
        """The options that a session may choose here."""
        return self.breaking or self.options if may_break else self.options

    def read_options(self, given: Mapping[str, Any] | None, may_break: bool = False) -> Any:
        """Raises Refused naming every option that does not fit."""
        offered = self.offered(may_break)
        try:
            return offered.model_validate(dict(given or {}))
        except ValidationError as error:
            problems = "; ".join(self._problem(one, offered) for one in error.errors(include_input=False))
            raise Refused("bad_payload", f"options of the team {self.name}: {problems}") from None

    def _problem(self, item: Mapping[str, Any], offered: type[BaseModel]) -> str:
        where = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden" and len(item["loc"]) == 1:
            return unknown("option", where, list(offered.model_fields))
        return f"{where}: {sentence(item)}" if where else sentence(item)

    def encode(self, message: TeamMessage) -> dict[str, Any]:
        """Raises TypeError for a message that is none of the team's."""
        if type(message) not in (*self.messages, PersonSaid):
            raise TypeError(f"{type(message).__name__} is no message of the team {self.name}")
        return {"type": type(message).__name__, "body": message.model_dump(mode="json")}

    def decode(self, message: Message) -> TeamMessage:
        """Raises ValueError for what is no message of the team."""
        kinds: tuple[type[TeamMessage], ...] = (*self.messages, PersonSaid)
        for kind in kinds:
            if kind.__name__ == message["type"]:
                return kind.model_validate(message["body"])
        raise ValueError(f"{message['type']!r} is no message of the team {self.name}")

    def subscribers(self, topic: str, options: Any) -> list[str]:
        return [role.name for role in self.cast(options) if topic in role.topics]

    def role(self, name: str, options: Any) -> Role:
        """Raises Refused if nobody of that name plays."""
        for role in self.cast(options):
            if role.name == name:
                return role
        raise Refused("unknown_actor", f"the team {self.name} has no agent {name!r} with these options")


def may_break(services: Mapping[str, Any]) -> bool:
    """Whether the operator lets clients break things on purpose."""
    return services.get("allow_breaking") is True


def find_team(teams: Mapping[str, Team], name: str) -> Team:
    """Raises Refused naming the teams there are."""
    if name not in teams:
        raise Refused("bad_payload", unknown("team", name, sorted(teams)))
    return teams[name]
