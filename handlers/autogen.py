"""Agents on AutoGen: one SingleThreadedAgentRuntime an orchestrator, pumped here, torn down with proof.

The runtime's own stop(), close() and save_state() are not used: they leave handlers and callers behind
(autogen-core 0.7.5; issues 7007, 5374, 3924, 4893 there). It queues, routes and gives agents their context.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from autogen_core import AgentId, SingleThreadedAgentRuntime, TopicId, TypeSubscription

from engine.codec import decode, encode
from engine.errors import HandlerFailed, LimitExceeded

from . import autogen_stop
from .autogen_agent import AgentSeat, GuardedAgent, Job, make_agent, save_state
from .backend import AgentHealth, BackendContext, Envelope, Note, Reply, SessionClosed, Spawn, StopReport
from .children import Children, StartProcess
from .operation import Operation
from .team import Team, TeamMessage

INBOX: Final = "inbox"  # f"{sid}:inbox:{agent}": the colon keeps it apart from every topic of a team


class AutoGenBackend:
    """See backend.Backend. Errors of agents come from its own operations, never through the runtime."""

    def __init__(self, team: Team, options: Any, workspace: Path | None = None) -> None:
        self.team = team
        self.options = options
        self.agents: dict[str, GuardedAgent] = {}
        self.jobs: dict[str, Job] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self.runtime: SingleThreadedAgentRuntime | None = None
        self.pump: asyncio.Task[None] | None = None
        self.forced: dict[str, None] = {}
        self.errors: list[str] = []
        self._workspace = workspace
        self._accepting = False
        self._turns: dict[str, asyncio.Lock] = {}
        self._numbers = itertools.count(1)
        self._seen: list[weakref.ref[Any]] = []
        self._ctx: BackendContext | None = None

    # Life

    async def start(self, ctx: BackendContext) -> None:
        self._ctx = ctx
        self.runtime = SingleThreadedAgentRuntime()
        self._seen.append(weakref.ref(self.runtime))
        self.pump = self.spawn(self._pump(self.runtime), f"{ctx.sid} agent runtime")

    @property
    def ctx(self) -> BackendContext:
        if self._ctx is None:
            raise SessionClosed("the backend was not started")
        return self._ctx

    def spawn(self, coro: Any, name: str) -> asyncio.Task[Any]:
        return self.track(self.ctx.spawn(coro, name))

    def track(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        """Keep a task in the books until it is done: is_gone looks here."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    @staticmethod
    async def _pump(runtime: SingleThreadedAgentRuntime) -> None:
        while True:
            await runtime.process_next()

    def open(self) -> None:
        if self.runtime is None or self.is_closed:
            raise SessionClosed("the backend is stopped")
        self._accepting = True

    def close_gate(self) -> None:
        self._accepting = False

    @property
    def is_accepting(self) -> bool:
        return self._accepting

    @property
    def is_closed(self) -> bool:
        return self.pump is None or self.pump.done()

    # Agents

    def has_agent(self, agent: str) -> bool:
        return agent in self.agents

    async def seat(self, agent: str, state: Mapping[str, Any] | None) -> bool:
        if agent in self.agents and not self.agents[agent].is_spoiled:
            return False
        async with self._turn(agent):
            if agent in self.agents:
                await self.dismiss(agent)
                self.force(agent)
            await self._register(await self._make(agent, state))
        return True

    async def _make(self, agent: str, state: Mapping[str, Any] | None) -> GuardedAgent:
        if self.is_closed:
            raise SessionClosed("the backend is stopped")
        seat = AgentSeat(agent, self.ctx.sid, self.options, self._workspace)
        made = await make_agent(seat, self.team, self._ask, self.jobs.get)
        self._seen += [weakref.ref(made), weakref.ref(made.inner)]
        await made.load_state(state or {})
        return made

    async def _register(self, made: GuardedAgent) -> None:
        runtime, name, sid = self.runtime, made.seat.name, self.ctx.sid
        if runtime is None or self.is_closed:
            raise SessionClosed("the backend is stopped")
        await runtime.register_agent_instance(made, AgentId(name, sid))
        await runtime.add_subscription(TypeSubscription(self._inbox(name), name, id=name))
        self.agents[name] = made

    def _inbox(self, agent: str) -> str:
        return f"{self.ctx.sid}:{INBOX}:{agent}"

    def unregister(self, name: str) -> None:
        """Take an agent out of the runtime, which has no public way to do so."""
        made = self.agents.pop(name, None)
        self._turns.pop(name, None)
        if made is not None:
            made.clear()
        if self.runtime is not None:
            self.runtime._instantiated_agents.pop(AgentId(name, self.ctx.sid), None)
            self.runtime._agent_factories.pop(name, None)
            self.runtime._agent_instance_types.pop(name, None)
            autogen_stop.unsubscribe(self.runtime, name)

    async def dismiss(self, agent: str) -> None:
        made = self.agents.get(agent)
        if made is None:
            return
        await autogen_stop.end_operations(list(made.operations.values()), self.ctx.limits)
        self.errors += await autogen_stop.close_agents(self, [made])
        if not made.operations and not autogen_stop.closing(self, made):
            self.unregister(agent)

    def force(self, agent: str) -> None:
        made = self.agents.get(agent)
        if made is None:
            return
        autogen_stop.force_agent(self, made)
        self.forced[agent] = None
        self.unregister(agent)

    # Messages

    async def deliver(
        self,
        envelope: Envelope,
        *,
        spawn: Spawn | None = None,
        note: Note | None = None,
        process: StartProcess | None = None,
    ) -> Reply:
        message = self.team.decode(envelope.message)
        async with self._turn(envelope.agent):
            agent = self._agent(envelope.agent)
            limits = self.ctx.limits
            # Until the handler has ended well, what it changed in the agent is half of something.
            agent.is_spoiled = True
            job = self._job(agent, message, envelope.sender, envelope.topic, spawn, limits.operation_s)
            job.operation.note = note or job.operation.note
            job.operation.children = Children(process)
            job.operation.answer_id = envelope.id
            reply = await self._run(agent, job)
            agent.is_spoiled = False
        agent.last_success = asyncio.get_running_loop().time()
        assert isinstance(reply, Reply)
        return reply

    def _turn(self, agent: str) -> asyncio.Lock:
        return self._turns.setdefault(agent, asyncio.Lock())

    def _agent(self, name: str) -> GuardedAgent:
        if not self._accepting or self.is_closed:
            raise SessionClosed("the backend accepts no messages")
        if name not in self.agents:
            raise SessionClosed(f"there is no agent {name!r} at work")
        if self.agents[name].is_spoiled:
            raise HandlerFailed(name, "raised", "its last handler did not end well, and it was not made again")
        return self.agents[name]

    async def _ask(self, recipient: str, message: TeamMessage, sender: str) -> Any:
        """One agent's question to another: runs beside the other's own work, and changes no stored state."""
        self.team.encode(message)
        if recipient not in self.agents:
            raise LookupError(f"there is no agent {recipient!r} at work")
        agent = self.agents[recipient]
        return await self._run(agent, self._job(agent, message, sender, None, None, self.ctx.limits.rpc_s, is_rpc=True))

    def _job(
        self,
        agent: GuardedAgent,
        message: TeamMessage,
        sender: str,
        topic: str | None,
        spawn: Spawn | None,
        timeout_s: float,
        *,
        is_rpc: bool = False,
    ) -> Job:
        limits = self.ctx.limits
        if len(self.jobs) >= limits.in_flight:
            raise LimitExceeded("in_flight", limits.in_flight)
        number = str(next(self._numbers))

        def over(operation: Operation) -> None:
            self.jobs.pop(number, None)
            agent.operations.pop(number, None)
            if operation.was_forced:
                self.forced[agent.seat.name] = None

        operation = Operation(self.ctx.sid, number, agent.seat.name, limits, timeout_s, over)
        owner = spawn or self.ctx.spawn
        job = Job(operation, message, sender, topic, lambda coro, name: self.track(owner(coro, name)), is_rpc)
        self.jobs[number] = job
        agent.operations[number] = operation
        return job

    async def _run(self, agent: GuardedAgent, job: Job) -> Any:
        """Put a job's message into the runtime and wait for its operation."""
        assert self.runtime is not None, "an agent at work has a runtime"
        operation = job.operation
        try:
            inbox = TopicId(self._inbox(agent.seat.name), self.ctx.sid)
            await self.runtime.publish_message(job.message, inbox, message_id=operation.number)
            return await asyncio.shield(operation.outcome)
        except BaseException as error:
            agent.errors += not isinstance(error, asyncio.CancelledError)
            operation.end(HandlerFailed(agent.seat.name, "raised", "it was interrupted"))
            raise

    # State

    async def snapshot(self) -> bytes:
        # Bytes at once: what save_state() returns may be the agent's live lists.
        return encode({name: decode(encode(dict(await save_state(one.inner)))) for name, one in self.agents.items()})

    async def restore(self, snapshot: bytes) -> None:
        states = decode(snapshot)
        if set(states) != set(self.agents):
            raise ValueError(f"a snapshot of {sorted(states)}, but these agents are here: {sorted(self.agents)}")
        made = [await self._make(name, states[name]) for name in states]
        for one in made:
            self.unregister(one.seat.name)
            await self._register(one)

    # The end

    def is_idle(self) -> bool:
        """Nothing under way: no handler, no message of ours waiting, nothing in the runtime's queue."""
        runtime = self.runtime
        in_runtime = runtime is not None and (runtime.unprocessed_messages_count or runtime._background_tasks)
        return not self.jobs and not in_runtime

    async def quiesce(self, deadline_s: float) -> tuple[bool, Sequence[Envelope]]:
        self.close_gate()
        waiting = [job for job in self.jobs.values() if job.operation.task is None]
        for job in waiting:
            job.operation.end(SessionClosed("it was handed back before it began"))
        await autogen_stop.drain(self, deadline_s)
        undelivered = [
            Envelope(job.operation.agent, self.team.encode(job.message), job.sender, job.topic) for job in waiting
        ]
        return self.is_idle(), undelivered

    async def stop(self) -> StopReport:
        return await autogen_stop.tear_down(self)

    def abandon(self) -> StopReport:
        return autogen_stop.abandon(self)

    @property
    def is_gone(self) -> bool:
        return self.runtime is None and not (self.agents or self.jobs or self.tasks)

    def weakrefs(self) -> list[weakref.ref[Any]]:
        """The runtime, every guard and every agent there ever was: all dead once the backend is gone."""
        return list(self._seen)

    def health(self) -> Sequence[AgentHealth]:
        now = asyncio.get_running_loop().time()
        return [
            AgentHealth(
                agent=name,
                in_flight=len(one.operations),
                oldest_s=max((now - operation.began_at for operation in one.operations.values()), default=0.0),
                last_success=one.last_success,
                errors=one.errors,
                zombies=sum(operation.is_ending for operation in one.operations.values()),
            )
            for name, one in self.agents.items()
        ]
