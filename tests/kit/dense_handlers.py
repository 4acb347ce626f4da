"""Handlers of files/dense.yaml."""

from __future__ import annotations

import asyncio
import weakref

from engine.context import Context, GuardContext, RunContext
from engine.registry import action, guard, probe
from engine.resources import Resource


class Box:
    """Something that must be closed."""

    open: weakref.WeakSet[Box] = weakref.WeakSet()


@guard()
def is_odd(ctx: GuardContext) -> bool:
    return ctx.event.payload["n"] % 2 == 1


@action(acquires="box")
async def open_box(ctx: RunContext) -> None:
    await asyncio.sleep(0)
    box = Box()
    Box.open.add(box)
    ctx.resources.hold("box", "the box", box)


@action()
async def close_box(ctx: Context) -> None:
    await asyncio.sleep(0)
    for resource in ctx.resources.held("box"):
        Box.open.discard(resource.handle)


@action()
def break_box(ctx: Context) -> None:
    for resource in ctx.resources.held("box"):
        Box.open.discard(resource.handle)


@probe("box")
def box_is_closed(resource: Resource) -> bool:
    return resource.handle not in Box.open


@action()
async def start_worker(ctx: RunContext) -> None:
    await ctx.start_child("worker", "w", {})


@action()
def make_worker(ctx: RunContext) -> None:
    return None


@action()
async def work_long(ctx: RunContext) -> None:
    await asyncio.sleep(1)


@action()
def note(ctx: Context) -> None:
    ctx.data["notes"] = ctx.data.get("notes", 0) + 1
    ctx.emit("noted", {"notes": ctx.data["notes"]})


@action()
def tell_worker(ctx: Context) -> None:
    if "w" in ctx.children:
        ctx.send("w", "work")


@action()
def answer(ctx: Context) -> None:
    ctx.send("parent", "answered")
