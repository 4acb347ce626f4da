"""The seam to whatever runs agents: what goes in, what comes out, what it promises. No framework's types here.

One backend serves one orchestrator. A message goes in with `deliver`; everything its agent did comes back as one
Reply, so that it can be committed together or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from engine.errors import StewardError

from .children import StartProcess

Message = Mapping[str, Any]  # {"type": name of a message of the team, "body": its JSON}
Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]
Note = Callable[[str, Mapping[str, Any]], None]


class SessionClosed(StewardError):
    """What was asked of a backend that accepts nothing (any more)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one backend, in seconds, pieces and bytes. The first is a net below the file's own time-outs."""

    operation_s: float = 600.0
    grace_s: float = 1.0  # between a cancellation and force
    close_s: float = 1.0  # for one agent's own close()
    drain_s: float = 0.25  # for what runs when the backend is stopped
    rpc_s: float = 60.0  # for one agent's question to another
    in_flight: int = 64  # handlers at once, of all agents; more is refused
    sends: int = 64  # by one handler
    emits: int = 256  # by one handler
    reply_bytes: int = 256 * 1024  # of one reply as JSON: sends, emits and state together


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message for one agent. sender: an agent of the team, or "" for a person; topic: where it was published,
    None if it was sent to this agent alone; id: what its answer is called while it is streamed, the same each time
    the message is handled."""

    agent: str
    message: Message
    sender: str = ""
    topic: str | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Out:
    """One message on its way: to an agent, or to all who subscribe to a topic."""

    message: Message
    agent: str | None = None
    topic: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"message": dict(self.message), "agent": self.agent, "topic": self.topic}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Out:
        return cls(plain["message"], plain["agent"], plain["topic"])


Result = Literal["done", "needs_input"]
RequestKind = Literal["text", "approval"]


@dataclass(frozen=True, slots=True)
class Reply:
    """Everything one handler did. state: the agent's own, JSON, taken the moment the handler ended. prompt, kind and
    details: of the question to a person, if its outcome is one."""

    outcome: Result
    sends: Sequence[Out] = ()
    emits: Sequence[tuple[str, Mapping[str, Any]]] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""
    kind: RequestKind = "text"
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "sends": [out.to_json() for out in self.sends],
            "emits": [[kind, dict(data)] for kind, data in self.emits],
            "state": dict(self.state),
            "prompt": self.prompt,
            "kind": self.kind,
            "details": dict(self.details),
        }


@dataclass(frozen=True, slots=True)
class StopReport:
    """errors: sentences; forced: agents that had to be ended; left: what is still there, by name."""

    errors: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not (self.errors or self.forced or self.left)

    @property
    def names(self) -> str:
        """What was forced and what is left, by name; nothing that an agent's code said."""
        said = (("forced", self.forced), ("left", self.left))
        return "; ".join(f"{word} {', '.join(names)}" for word, names in said if names)


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """oldest_s: age of the oldest handler at work, 0 if none. last_success: loop time, None if there was none.
    zombies: handlers that were told to end and have not."""

    agent: str
    in_flight: int
    oldest_s: float
    last_success: float | None
    errors: int
    zombies: int


def _no_tasks() -> Collection[asyncio.Task[Any]]:
    return ()


@dataclass(frozen=True, slots=True)
class BackendContext:
    """What a backend needs to know and may do. spawn: a tracked task, for the backend's own work, as
    long as it lives; strays: tasks that agents started on their own, as far as the caller's books know them."""

    sid: str
    spawn: Spawn
    limits: Limits = Limits()
    strays: Callable[[], Collection[asyncio.Task[Any]]] = _no_tasks


class Backend(Protocol):
    """One runtime with the agents of one orchestrator. Every wait in it is bounded by its Limits."""

    async def start(self, ctx: BackendContext) -> None:
        """Build the runtime; it accepts nothing yet."""

    async def seat(self, agent: str, state: Mapping[str, Any] | None) -> bool:
        """Make an agent with this state, unless it is there and sound; whether it was made.

        One whose last handler did not end well is made anew: half a handler's changes are none.
        """

    def open(self) -> None:
        """Accept messages from now on."""

    def close_gate(self) -> None:
        """Accept none from now on."""

    async def deliver(
        self,
        envelope: Envelope,
        *,
        spawn: Spawn | None = None,
        note: Note | None = None,
        process: StartProcess | None = None,
    ) -> Reply:
        """One message in; resolves exactly once. spawn: who owns the handler's task, else the backend; note: takes
        volatile hints to clients; process: starts child processes and owns them, else the handler may start none.

        Raises SessionClosed when the backend is stopped, HandlerFailed for whatever the agent did wrong.
        Cancelling the call cancels the handler, which is forced after the grace, wait or no wait.
        """

    async def quiesce(self, deadline_s: float) -> tuple[bool, Sequence[Envelope]]:
        """Stop accepting and let what runs end: whether it did, and what was accepted but never began."""

    async def snapshot(self) -> bytes:
        """Every agent's state, serialised at once."""

    async def restore(self, snapshot: bytes) -> None:
        """Every agent with the state of a snapshot, or none of them and an error."""

    async def dismiss(self, agent: str) -> None:
        """Politely let go of an agent: cancel, wait the grace, its own close(). One that stays, stays: see force."""

    def force(self, agent: str) -> None:
        """End an agent without its consent."""

    async def stop(self) -> StopReport:
        """The verified tear-down; may be called twice, and after it was cut short."""

    def abandon(self) -> StopReport:
        """Everything of stop() that does not wait."""

    def has_agent(self, agent: str) -> bool: ...

    @property
    def is_accepting(self) -> bool: ...

    @property
    def is_gone(self) -> bool:
        """Nothing of it is alive: no task, no agent, no entry in the runtime's own registries."""

    def health(self) -> Sequence[AgentHealth]: ...
