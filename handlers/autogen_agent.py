"""An agent of AutoGen under guard: every handler in a task of its own, everything it sends caught on the way.

The runtime sees GuardedAgent, the agent inside sees SeatRuntime; neither sees the other.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autogen_core import (
    Agent,
    AgentId,
    AgentMetadata,
    AgentRuntime,
    BaseAgent,
    CancellationToken,
    MessageContext,
    TopicId,
)

from engine.codec import decode, encode
from engine.errors import HandlerFailed

from .backend import Out, Reply, Spawn
from .operation import Operation, current_operation
from .stream import Stream
from .team import TOPIC, NeedsInput, Team, TeamMessage

Ask = Callable[[str, TeamMessage, str], Awaitable[Any]]  # (recipient, message, sender) -> its handler's answer


class AgentSeat:
    """The Seat of one agent."""

    def __init__(self, name: str, sid: str, options: Any, workspace: Path | None) -> None:
        self.name = name
        self.sid = sid
        self.options = options
        self.workspace = workspace

    def topic(self, name: str) -> str:
        if not TOPIC.fullmatch(name):
            raise ValueError(f"{name!r} is no topic: letters, digits and _ - . = only")
        return f"{self.sid}:{name}"

    def emit(self, kind: str, data: Mapping[str, Any]) -> None:
        current_operation().capture(emit=(kind, decode(encode(data))))

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        current_operation().note(kind, {"agent": self.name, **data})

    def stream(self) -> Stream:
        return Stream(self, current_operation().answer_id)

    @asynccontextmanager
    async def process(self, *argv: str, **kwargs: Any) -> AsyncIterator[asyncio.subprocess.Process]:
        children = current_operation().children
        process = await children.start(*argv, **kwargs)
        try:
            yield process
        finally:
            await children.end(process)


class SeatRuntime:
    """What an agent takes for its runtime. Published messages go into its operation, questions to the backend."""

    def __init__(self, seat: AgentSeat, team: Team, ask: Ask) -> None:
        self._seat = seat
        self._team = team
        self._ask: Ask | None = ask

    def unplug(self) -> None:
        """The agent is gone; break the circle of references so that it can be seen to be."""
        self._ask = None

    async def publish_message(
        self,
        message: Any,
        topic_id: TopicId,
        *,
        sender: AgentId | None = None,
        cancellation_token: CancellationToken | None = None,
        message_id: str | None = None,
    ) -> None:
        own, _, topic = topic_id.type.partition(":")
        if own != self._seat.sid or topic_id.source != self._seat.sid or not TOPIC.fullmatch(topic):
            raise PermissionError(f"{topic_id} is no topic of this session: TopicId(seat.topic(name), seat.sid) is")
        current_operation().capture(out=Out(self._team.encode(message), topic=topic))

    async def send_message(
        self,
        message: Any,
        recipient: AgentId,
        *,
        sender: AgentId | None = None,
        cancellation_token: CancellationToken | None = None,
        message_id: str | None = None,
    ) -> Any:
        current_operation()
        if recipient.key != self._seat.sid or self._ask is None:
            raise PermissionError(f"{recipient} is no agent of this session")
        return await self._ask(recipient.type, message, self._seat.name)


class GuardedAgent:
    """The Agent that the runtime calls. Its handlers' errors never reach the runtime, only their operation."""

    def __init__(
        self, seat: AgentSeat, team: Team, inner: Agent, facade: SeatRuntime, find: Callable[[str], Job | None]
    ) -> None:
        self.seat = seat
        self.team = team
        self.inner: Agent | None = inner
        self.facade = facade
        self.operations: dict[str, Operation] = {}
        self.is_spoiled = False
        self.errors = 0
        self.last_success: float | None = None
        self._id = AgentId(seat.name, seat.sid)
        self._find: Callable[[str], Job | None] | None = find

    @property
    def id(self) -> AgentId:
        return self._id

    @property
    def metadata(self) -> AgentMetadata:
        return AgentMetadata(type=self._id.type, key=self._id.key, description="guarded")

    async def bind_id_and_runtime(self, id: AgentId, runtime: AgentRuntime) -> None:
        """The inner agent was bound to its facade when it was made."""

    async def on_message(self, message: Any, ctx: MessageContext) -> None:
        """Begin the operation that waits under this message's id.

        The runtime is not kept waiting for it: nothing of a handler, not even its error, is ever inside the runtime,
        so ending it needs nothing from there.
        """
        job = self._find(ctx.message_id) if self._find is not None else None
        if job is not None and self.inner is not None:
            job.begin(self)

    async def save_state(self) -> Mapping[str, Any]:
        return await save_state(self.inner)

    async def load_state(self, state: Mapping[str, Any]) -> None:
        if self.inner is not None and state:
            await self.inner.load_state(state)

    async def close(self) -> None:
        """The backend closes the inner agent itself, bounded."""

    def clear(self) -> None:
        self.inner = None
        self._find = None
        self.facade.unplug()


@dataclass(frozen=True, slots=True)
class Job:
    """One message on its way into one agent: what a GuardedAgent needs to run it."""

    operation: Operation
    message: TeamMessage
    sender: str
    topic: str | None
    spawn: Spawn
    is_rpc: bool

    def begin(self, agent: GuardedAgent) -> None:
        operation = self.operation
        name = f"{agent.seat.sid} agent {agent.seat.name} #{operation.number}"
        operation.begin(_work(agent, self), self.spawn, name)


async def _work(agent: GuardedAgent, job: Job) -> Any:
    inner = agent.inner
    assert inner is not None, "an operation begins only in an agent that is there"
    job.operation.wear_badge()
    sid = agent.seat.sid
    # A token of its own: cancelling the runtime's and raising afterwards upsets the queue's count (autogen-core 0.7.5).
    ctx = MessageContext(
        sender=AgentId(job.sender, sid) if job.sender else None,
        topic_id=TopicId(agent.seat.topic(job.topic), sid) if job.topic is not None else None,
        is_rpc=job.is_rpc,
        cancellation_token=CancellationToken(),
        message_id=job.operation.number,
    )
    try:
        answer = await inner.on_message(job.message, ctx)
        return answer if job.is_rpc else await _reply(agent, job.operation, answer)
    except (SystemExit, KeyboardInterrupt) as error:
        # asyncio lets these out of the loop: one agent's sys.exit() would end the server.
        raise HandlerFailed(agent.seat.name, "raised", f"{type(error).__name__}: {error}") from error


async def _reply(agent: GuardedAgent, operation: Operation, answer: Any) -> Reply:
    if answer is not None and not isinstance(answer, NeedsInput):
        kind = type(answer).__name__
        raise HandlerFailed(agent.seat.name, "nonsense", f"its handler returned {kind}, not None or NeedsInput")
    state = decode(encode(dict(await save_state(agent.inner))))
    operation.capture(emit=("", state))  # only to count its bytes
    operation.emits.pop()
    sends, emits = tuple(operation.sends), tuple(operation.emits)
    if answer is None:
        return Reply("done", sends, emits, state)
    return Reply("needs_input", sends, emits, state, answer.prompt, answer.kind, answer.details)


async def save_state(inner: Agent | None) -> Mapping[str, Any]:
    """{} for an agent that says nothing about its state; the base class would warn instead."""
    if inner is None or getattr(type(inner), "save_state", None) is BaseAgent.save_state:
        return {}
    return await inner.save_state()


async def make_agent(seat: AgentSeat, team: Team, ask: Ask, find: Callable[[str], Job | None]) -> GuardedAgent:
    """An agent by its role's factory, bound to a facade of its own."""
    made = team.role(seat.name, seat.options).make(seat)
    inner = await made if inspect.isawaitable(made) else made
    facade = SeatRuntime(seat, team, ask)
    await inner.bind_id_and_runtime(AgentId(seat.name, seat.sid), facade)
    return GuardedAgent(seat, team, inner, facade, find)
