"""Handlers of files/wire.yaml. GATES holds what `wait` waits for, by session."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import Any

from engine.errors import Busy
from engine.registry import action, probe

GATES: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
STUCK: set[str] = set()


@action()
async def prepare(ctx: Any) -> None:
    if ctx.data.get("options", {}).get("is_slow"):
        await GATES[ctx.sid].wait()


@action()
def repeat(ctx: Any) -> None:
    ctx.data["said"] = ctx.data.get("said", 0) + 1
    ctx.emit("agent.message", {"text": ctx.event.payload["text"], "number": ctx.data["said"]})


@action()
def repeat_big(ctx: Any) -> None:
    ctx.emit("agent.message", {"text": "x" * ctx.event.payload["size"]})


@action()
def whisper_back(ctx: Any) -> None:
    ctx.note("agent.chunk", {"msg": "m1", "at": 0, "text": ctx.event.payload["text"]})


@action()
async def wait_for_gate(ctx: Any) -> None:
    await GATES[ctx.sid].wait()


@action()
def spin_for_ever(ctx: Any) -> None:
    """Nothing ends this but the end of the process."""
    while True:
        with suppress(BaseException):
            while True:
                pass


@action()
def stumble(ctx: Any) -> None:
    raise RuntimeError("the secret text of a handler's error")


@action()
def be_busy(ctx: Any) -> None:
    raise Busy("nobody here takes any more")


@action(acquires="stone")
def take_stone(ctx: Any) -> None:
    STUCK.add(ctx.sid)
    ctx.resources.hold("stone", "a stone", ctx.sid)


@action()
def drop_stone(ctx: Any) -> None:
    """Does nothing: what the probe calls gone is gone."""


@probe("stone")
def stone_is_gone(resource: Any) -> bool:
    return resource.handle not in STUCK
