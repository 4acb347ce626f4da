"""Handlers of small.yaml: everybody holds something that has to be let go, and says what came of each command."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from ..registry import action, guard, probe
from .sabotage import Trouble

THINK_S: Final = 0.2


class Thing:
    """What must be closed; kept count of by the world outside, not by the engine's books."""

    def __init__(self) -> None:
        self.is_open = False


def _take(ctx: Any, kind: str) -> None:
    if not ctx.resources.held(kind):
        thing = Thing()
        ctx.resources.hold(kind, f"the {kind}", thing)  # before it is open: what nobody holds is never let go
        thing.is_open = True
        ctx.services["alive"].append(thing)


def _close(ctx: Any, kind: str) -> None:
    for resource in ctx.resources.held(kind):
        resource.handle.is_open = False


@guard()
def has_team(ctx: Any) -> bool:
    return "team" in ctx.children


@action(acquires="desk")
async def open_desk(ctx: Any) -> None:
    await asyncio.sleep(0)
    _take(ctx, "desk")


@action()
async def start_team(ctx: Any) -> None:
    await ctx.start_child("orchestrator", "team")


@action()
async def start_agents(ctx: Any) -> None:
    await asyncio.gather(*(ctx.start_child("agent", name) for name in ctx.services.get("agents", ("a",))))


@action(acquires="tool")
async def take_tool(ctx: Any) -> None:
    _take(ctx, "tool")


@action()
def repeat(ctx: Any) -> None:
    ctx.data["said"] = ctx.data.get("said", 0) + 1
    ctx.emit("agent.message", {"text": ctx.event.payload["text"]})


@action()
def forget(ctx: Any) -> None:
    ctx.data.clear()


@action()
def fall(ctx: Any) -> None:
    raise Trouble("it stumbles, as it was told to")


@action()
def pass_on(ctx: Any) -> None:
    ctx.send("team", "task", {"text": ctx.event.payload["text"]})


@action()
def hand_out(ctx: Any) -> None:
    for name in ctx.children:
        ctx.send(name, "work", {"text": ctx.event.payload["text"]})


@action()
async def think(ctx: Any) -> str:
    await asyncio.sleep(THINK_S)
    return str(ctx.event.payload["text"])


@action()
def reply(ctx: Any) -> None:
    ctx.send("parent", "result", {"text": ctx.event.payload["result"] or ""})


@action()
def apologise(ctx: Any) -> None:
    ctx.send("parent", "result", {"text": "sorry"})


@action()
def tell_up(ctx: Any) -> None:
    ctx.send("parent", "answered", {"text": ctx.event.payload["text"]})


@action()
def tell_answer(ctx: Any) -> None:
    ctx.emit("agent.message", {"text": f"answer: {ctx.event.payload['text']}"})


@action()
async def close_desk(ctx: Any) -> None:
    await asyncio.sleep(0)
    _close(ctx, "desk")


@action()
def clear_desk(ctx: Any) -> None:
    _close(ctx, "desk")


@action()
async def close_tool(ctx: Any) -> None:
    _close(ctx, "tool")


@action()
def break_tool(ctx: Any) -> None:
    _close(ctx, "tool")


@probe("desk")
def desk_is_closed(resource: Any) -> bool:
    return not resource.handle.is_open


@probe("tool")
def tool_is_closed(resource: Any) -> bool:
    return not resource.handle.is_open
