"""Handlers for a session that is left while a clean-up of it is under way."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.registry import action, probe

OPEN: set[str] = set()
CALLED: list[str] = []


@action(acquires="thing", survives=True)
async def open_thing(ctx: Any) -> None:
    OPEN.add("t")
    ctx.resources.hold("thing", "t", "t")


@action()
async def close_thing(ctx: Any) -> None:
    await asyncio.sleep(1)
    OPEN.difference_update(one.handle for one in ctx.resources.held("thing"))


@probe("thing")
def thing_is_gone(resource: Any) -> bool:
    return resource.handle not in OPEN


@action()
async def first(ctx: Any) -> None:
    CALLED.append("first")
    await asyncio.sleep(5)


@action()
async def second(ctx: Any) -> None:
    CALLED.append("second")
