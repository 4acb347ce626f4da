"""Handlers of the large file: what they acquire is all that matters."""

from __future__ import annotations

from typing import Any

from engine.registry import action, guard, probe


@action(acquires="desk")
async def open_desk(ctx: Any) -> None: ...


@action(acquires="lamp")
async def light_lamp(ctx: Any) -> None: ...


@action()
async def close_desk(ctx: Any) -> None: ...


@action()
async def put_out_lamp(ctx: Any) -> None: ...


@action()
def look(ctx: Any) -> None: ...


@guard()
def is_open(ctx: Any) -> bool:
    return True


@probe("desk")
def desk_is_gone(resource: Any) -> bool:
    return True


@probe("lamp")
def lamp_is_out(resource: Any) -> bool:
    return True
