"""What a session does: lets people in, starts its teams, passes on what they say, keeps its teams alive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.context import Context, GuardContext, RunContext
from engine.errors import HandlerFailed, Refused
from engine.registry import action, check, probe
from engine.resources import Resource

from .removal import remove_folder
from .team import NAME, find_team, may_break

DEFAULT_TEAM: Final = "chess"
REMOVE_S: Final = 2.5  # for a workspace; each of the two attempts has 3 s in lifecycle.yaml


def default_team(ctx: GuardContext) -> str:
    """Who plays if nobody was asked for: the first that the program has."""
    return next(iter(ctx.services["teams"]), DEFAULT_TEAM)


def teams_of(ctx: GuardContext) -> dict[str, dict[str, Any]]:
    """Orchestrators' ids and first data: one "main", or one for each of data["teams"] ({id: {team, options}})."""
    data: Mapping[str, Any] = ctx.data
    several = data.get("teams")
    if several is None:
        return {"main": {"team": data.get("team") or default_team(ctx), "options": data.get("options") or {}}}
    if not isinstance(several, dict) or not several or not all(NAME.fullmatch(str(name)) for name in several):
        raise Refused("bad_payload", "`teams` is an object of orchestrators' names, each with team and options")
    return {name: {"team": one["team"], "options": one.get("options") or {}} for name, one in several.items()}


@action()
def check_permissions(ctx: RunContext, *, role: str | None = None) -> None:
    """role: who creates a session must have it. Unknown teams and options that do not fit are refused here too."""
    if role is not None and role not in ctx.data.get("roles", ()):
        raise Refused("forbidden", f"to create a session one needs the role {role!r}")
    for one in teams_of(ctx).values():
        find_team(ctx.services["teams"], one["team"]).read_options(one["options"], may_break(ctx.services))


@action(acquires="workspace", survives=True)
def open_workspace(ctx: RunContext) -> None:
    """A directory of the session's own, if the program has a place for them."""
    root = ctx.services.get("workspace_root")
    if root is None or ctx.resources.held("workspace"):
        return
    path = Path(root) / ctx.sid
    # Held before it is made: a directory that nobody holds is never removed.
    ctx.resources.hold("workspace", path.name, str(path))
    path.mkdir(mode=0o700, parents=True, exist_ok=True)  # what an agent puts there is nobody else's


@action()
async def close_workspace(ctx: Context) -> None:
    """In a thread, for others go on meanwhile. It fails with the reason if something cannot be removed."""
    for resource in ctx.resources.held("workspace"):
        await asyncio.to_thread(remove_folder, Path(resource.handle), REMOVE_S)


@action()
async def remove_workspace(ctx: Context) -> None:
    """Once more, going on from there."""
    await close_workspace(ctx)


@probe("workspace")
def workspace_is_gone(resource: Resource) -> bool:
    return not Path(resource.handle).exists()


@action(acquires="children")
async def start_orchestrators(ctx: RunContext) -> None:
    """Those that are there already are waited for, until they have left their first state."""
    for name, data in teams_of(ctx).items():
        await ctx.start_child("orchestrator", name, data)


@action(acquires="children")
async def restart_ill_children(ctx: RunContext) -> None:
    """What has ended is started anew; what is on its way out is waited for by the health check that follows."""
    await start_orchestrators(ctx)


@action()
def check_health(ctx: RunContext) -> None:
    """Raises HandlerFailed naming what is ill."""
    if ill := orchestrators(ctx):
        raise HandlerFailed("check_health", "raised", ill)


@action()
def tell_report(ctx: Context) -> None:
    """What became of everything that a child held which ended before its parent did, or that this actor could not let
    go of itself."""
    payload = ctx.event.payload
    if report := payload.get("report"):
        ctx.emit("cleanup.report", {"actor": payload.get("path", "/"), "report": report})


@check()
def orchestrators(ctx: GuardContext) -> str | None:
    """Every orchestrator is there and works."""
    missing = [name for name in teams_of(ctx) if name not in ctx.children]
    ending = [name for name, view in ctx.children.items() if view.is_ending]
    ill = [*(f"{name} is gone" for name in missing), *(f"{name} is ending" for name in ending)]
    return "; ".join(ill) or None


@action()
def deliver(ctx: Context, *, first: str | None = None) -> None:
    """What a person says, to the orchestrator it is for. first: the state of agents that wait for a person."""
    payload = ctx.event.payload
    orchestrator, agent = find_receiver(ctx, payload.get("agent"), first)
    by = ctx.event.caller.user or ctx.user
    ctx.send(orchestrator, "task", {"text": payload["text"], "agent": agent, "by": by, "at": ctx.now})


@action()
def interrupt_work(ctx: Context) -> None:
    """Of one agent, or of everybody."""
    agent = ctx.event.payload.get("agent")
    if agent is None:
        for name in ctx.children:
            ctx.send(name, "interrupt", {"agent": None})
        return
    orchestrator, inner = find_receiver(ctx, agent)
    ctx.send(orchestrator, "interrupt", {"agent": inner})


def find_receiver(ctx: GuardContext, agent: str | None, first: str | None = None) -> tuple[str, str | None]:
    """(orchestrator, agent or None for the team to choose) of "orchestrator", "orchestrator/agent" or "agent".

    Nobody named: the orchestrator of which an agent is in the state `first`, else the first. Raises Refused.
    """
    if not ctx.children:
        raise Refused("unknown_actor", "no team is there")
    views = list(ctx.tree())
    if agent is None:
        waiting = (view.path.split("/")[1] for view in views if view.state == first)
        return next(waiting, next(iter(ctx.children))), None
    if agent in ctx.children:
        return agent, None
    for view in views:
        _, orchestrator, *rest = view.path.split("/")
        if rest and agent in (rest[0], f"{orchestrator}/{rest[0]}"):
            return orchestrator, rest[0]
    raise Refused("unknown_actor", f"there is no agent {agent!r} in this session")
