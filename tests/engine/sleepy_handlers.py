"""Handlers of files/sleepy.yaml: a session that mostly waits, for hours."""

from __future__ import annotations

import asyncio

from small_handlers import (
    close_thing,
    kill_thing,
    make_worker,
    note_echo,
    open_thing,
    remember,
    tell_worker,
    thing_is_gone,
)

from engine.context import Context, RunContext
from engine.registry import action

__all__ = [
    "close_thing",
    "kill_thing",
    "make_worker",
    "note_echo",
    "open_thing",
    "remember",
    "tell_worker",
    "thing_is_gone",
]


@action()
async def start_workers(ctx: RunContext) -> None:
    for name in ("w1", "w2"):
        await ctx.start_child("helper", name, {"name": name})


@action()
def note_time(ctx: Context) -> None:
    ctx.data.setdefault("noted", []).append(ctx.event.name)
    ctx.emit("agent.message", {"text": ctx.event.name})


@action()
async def digest(ctx: RunContext) -> None:
    await asyncio.sleep(5)  # it works


@action()
def brood_for_an_hour(ctx: Context) -> None:
    ctx.spawn(asyncio.sleep(3600), "brooding")


@action()
def keep_text(ctx: Context) -> None:
    ctx.data["text"] = ctx.event.payload["text"]


@action()
def echo_kept(ctx: Context) -> None:
    ctx.send("parent", "echoed", {"text": ctx.data["text"].upper()})
