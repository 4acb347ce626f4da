"""What an orchestrator does: builds the runtime, seats the agents, carries messages between them, keeps the turn."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from engine.context import Context, GuardContext, RunContext
from engine.errors import HandlerFailed
from engine.registry import action, check, probe
from engine.resources import Resource

from . import turn
from .autogen import AutoGenBackend
from .backend import Backend, BackendContext, Limits, Spawn

LIMITS: Final = Limits()
OLDEST_S: Final = 900.0  # a handler at work for longer has outlived its own time-out


def backend_of(ctx: GuardContext) -> Backend:
    """The runtime of this actor, or of its orchestrator. Raises HandlerFailed if there is none (yet)."""
    resource = ctx.find("runtime")
    if resource is None:
        raise HandlerFailed("runtime", "raised", "there is no runtime")
    backend: Backend = resource.handle
    return backend


@action(acquires="runtime", once=True)
async def build_runtime(ctx: RunContext) -> None:
    """services["backend"]: what to build instead of AutoGenBackend, with the same three arguments;
    services["agent_limits"]: its Limits."""
    if ctx.held("runtime"):
        return
    team, options = turn.team_of(ctx)
    workspace = ctx.find("workspace")
    make: Callable[..., Backend] = ctx.services.get("backend", AutoGenBackend)
    backend = make(team, options, Path(workspace.handle) if workspace is not None else None)
    ctx.resources.hold("runtime", team.name, backend)
    limits: Limits = ctx.services.get("agent_limits", LIMITS)
    await backend.start(BackendContext(ctx.sid, _spawn_here(), limits))


def _spawn_here() -> Spawn:
    """A spawn for as long as the runtime lives, which is longer than this step: what it starts belongs to whom this
    context belongs to, the orchestrator."""
    context = contextvars.copy_context()

    def spawn(coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        loop = asyncio.get_running_loop()
        return context.copy().run(lambda: loop.create_task(coro, name=name))

    return spawn


@action(acquires="children")
async def start_agents(ctx: RunContext) -> None:
    """Start the team's agents; those that are there already, suspended, are told that there is a runtime again."""
    team, options = turn.team_of(ctx)
    known = set(ctx.children)
    for role in team.cast(options):
        await ctx.start_child("agent", role.name, {"agent": role.name})
        if role.name in known:
            ctx.send(role.name, "seat")


@action(acquires="gate", once=True)
def open_gate(ctx: RunContext) -> None:
    if not ctx.held("gate"):
        ctx.resources.hold("gate", "gate", backend_of(ctx))
    backend_of(ctx).open()


@action()
def close_gate(ctx: Context) -> None:
    for resource in ctx.held("gate"):
        resource.handle.close_gate()


@probe("gate")
def gate_is_closed(resource: Resource) -> bool:
    return not resource.handle.is_accepting


@action()
async def stop_runtime(ctx: Context) -> None:
    """Raises HandlerFailed if something of an agent is left: its text is in the server's log, by reference."""
    for resource in ctx.held("runtime"):
        report = await resource.handle.stop()
        if not report.is_clean:
            raise HandlerFailed("stop_runtime", "unclean", str(report), public=report.names)


@action()
async def abandon_runtime(ctx: Context) -> None:
    for resource in ctx.held("runtime"):
        resource.handle.abandon()
    await asyncio.sleep(0)  # what was forced notices a turn or two later
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@probe("runtime")
def runtime_is_gone(resource: Resource) -> bool:
    return bool(resource.handle.is_gone)


# The turn


@action()
def open_play(ctx: Context) -> None:
    """Tell the team to begin, once in the life of the orchestrator."""
    ctx.data["opened"] = True
    _write(ctx, turn.after_opening(ctx))


@action()
def hand_to_agents(ctx: Context, *, first: str | None = None) -> None:
    """What a person says: to the agent named, else to one in the state `first`, else to whom the team names."""
    payload = ctx.event.payload
    team, options = turn.team_of(ctx)
    waiting = [name for name, view in ctx.children.items() if view.state == first]
    agent = payload["agent"] or next(iter(waiting), None) or team.route(payload["text"], options)
    team.role(agent, options)
    found = turn.book(ctx.data)
    number = found.take(agent)
    _write(ctx, found)
    said = {"text": payload["text"], "by": payload["by"] or "", "at": payload["at"]}
    ctx.send(agent, "person_said", {"id": number, **said})


@action()
def pass_up(ctx: Context) -> None:
    """An agent's reply: what it sends goes to the agents it is for."""
    _write(ctx, turn.after_reply(ctx))


@action()
def count_resumed(ctx: Context) -> None:
    """An agent was answered by a client directly, and works again."""
    found = turn.book(ctx.data)
    found.open.setdefault(ctx.event.sender.rsplit("/", 1)[-1], []).append(ctx.event.payload["id"])
    _write(ctx, found)


@action()
def interrupt_agents(ctx: Context) -> None:
    """Call off the work of one agent or of all, also what is on its way to them."""
    found = turn.book(ctx.data)
    one = ctx.event.payload.get("agent")
    for agent in ctx.children if one is None else [one]:
        found.open.pop(agent, None)
        ctx.send(agent, "interrupt", {"before": found.next})
    _write(ctx, found)


@action()
def suspend_agents(ctx: Context) -> None:
    """They let go of the old runtime and wait for the new one; what they were at is done again there."""
    for agent in ctx.children:
        ctx.send(agent, "suspend")


def _write(ctx: Context, found: turn.Book) -> None:
    ctx.data["open"] = found.open
    ctx.data["next"] = found.next
    for agent, payload in found.messages:
        ctx.send(agent, "work", payload)


# Health


@check()
def runtime_moves(ctx: GuardContext, *, states: list[str]) -> str | None:
    """While the orchestrator is in one of these states, its runtime is there and accepts messages."""
    if ctx.state not in states:
        return None
    return None if backend_of(ctx).is_accepting else "the runtime accepts nothing"


@check()
def agents(ctx: GuardContext) -> str | None:
    """No agent keeps a handler that was told to end, or one that outlived its time-out."""
    if ctx.held("runtime") == ():
        return None
    ill = [one.agent for one in backend_of(ctx).health() if one.zombies or one.oldest_s > OLDEST_S]
    return f"handlers that do not end: {', '.join(ill)}" if ill else None
