"""Handlers of files/small.yaml: a session with a thing and two workers; Switches decide what misbehaves."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from engine.context import Context, GuardContext, RunContext
from engine.registry import action, guard, probe
from engine.resources import Resource


class Thing:
    """Something that must be closed; counted by weak references, not by the engine's books."""

    alive: weakref.WeakSet[Thing] = weakref.WeakSet()

    def __init__(self) -> None:
        self.is_open = True
        Thing.alive.add(self)


@guard()
def sender_has_role(ctx: GuardContext, role: str) -> bool:
    return role in ctx.event.caller.roles


@action(acquires="thing")
async def open_thing(ctx: RunContext) -> None:
    await asyncio.sleep(0)
    ctx.resources.hold("thing", "the thing", Thing())


@action()
async def close_thing(ctx: Context) -> None:
    if ctx.services.get("stuck_thing"):
        raise RuntimeError("it does not close")
    for resource in ctx.resources.held("thing"):
        resource.handle.is_open = False


@action()
async def kill_thing(ctx: Context) -> None:
    if ctx.services.get("unkillable_thing"):
        raise RuntimeError("it does not die")
    for resource in ctx.resources.held("thing"):
        resource.handle.is_open = False


@probe("thing")
def thing_is_gone(resource: Resource) -> bool:
    return not resource.handle.is_open


@action()
async def start_workers(ctx: RunContext) -> None:
    for name in ctx.services.get("workers", ("w1", "w2")):
        await ctx.start_child("worker", name, {"name": name})


@action()
async def remember(ctx: Context) -> None:
    ctx.data.setdefault("said", []).append(ctx.event.payload["text"])
    ctx.emit("agent.message", {"text": ctx.event.payload["text"]})


@action()
def remember_nothing(ctx: Context) -> None:
    ctx.data["trace"] = "must not be seen unless the step is taken"


@action()
def raise_error(ctx: Context) -> None:
    raise ValueError("the text of this error is for the log only")


@action()
def tell_worker(ctx: Context) -> None:
    ctx.send("w1", "work", {"text": ctx.event.payload["text"]})


@action()
def note_echo(ctx: Context) -> None:
    ctx.data.setdefault("echoes", []).append(ctx.event.payload["text"])
    ctx.emit("agent.message", {"text": ctx.event.payload["text"], "echo": True})


@action()
async def wait_long(ctx: RunContext) -> None:
    await asyncio.sleep(3600)


@action()
async def make_worker(ctx: RunContext) -> None:
    await asyncio.sleep(0)


@action()
async def do_work(ctx: RunContext) -> dict[str, Any]:
    way = ctx.services.get("work", "well")
    if way == "raise":
        raise RuntimeError("no")
    if way == "hang":
        await asyncio.sleep(3600)
    if way == "swallow":
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue
    await asyncio.sleep(1)
    return {"text": str(ctx.event.payload["text"]).upper()}


@action()
def echo(ctx: Context) -> None:
    ctx.send("parent", "echoed", {"text": ctx.event.payload["result"]["text"]})
