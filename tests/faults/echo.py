"""Handlers of files/echo.yaml."""

from __future__ import annotations

from typing import Any

from engine.registry import action


@action()
async def start_worker(ctx: Any) -> None:
    await ctx.start_child("worker", "echo", {})


@action()
def pass_on(ctx: Any) -> None:
    ctx.send("echo", "work", {"text": ctx.event.payload["text"]})


@action()
def wake(ctx: Any) -> None:
    """A worker is there once it has left its first state."""


@action()
def take(ctx: Any) -> None:
    ctx.data["text"] = ctx.event.payload["text"]


@action()
def think(ctx: Any) -> str:
    return str(ctx.data["text"])


@action()
def repeat(ctx: Any) -> None:
    """Its number is the worker's own count: a message that counts twice, or is lost in a crash, shows in it."""
    ctx.data["count"] = ctx.data.get("count", 0) + 1
    ctx.emit("agent.message", {"text": ctx.event.payload["result"], "number": ctx.data["count"]})
