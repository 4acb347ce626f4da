"""Handlers of the files in defective/ and sound/: they do nothing, their decorators say what the proofs need."""

from __future__ import annotations

from typing import Any

from engine.registry import action, check, guard, probe


@action(acquires="desk")
async def open_desk(ctx: Any) -> None: ...


@action(acquires="desk", once=True)
async def keep_desk(ctx: Any) -> None: ...


@action(releases="desk")
async def give_back_desk(ctx: Any) -> None: ...


@action()
async def close_desk(ctx: Any) -> None: ...


@action()
async def burn_desk(ctx: Any) -> None: ...


@probe("desk")
def desk_is_gone(resource: Any) -> bool:
    return True


@action(acquires="lamp")
async def light_lamp(ctx: Any) -> None: ...


@action()
async def put_out_lamp(ctx: Any) -> None: ...


@probe("lamp")
def lamp_is_out(resource: Any) -> bool:
    return True


@action(acquires="van", survives=True)
async def hire_van(ctx: Any) -> None: ...


@action()
async def return_van(ctx: Any) -> None: ...


@probe("van")
def van_is_back(resource: Any) -> bool:
    return True


@action(acquires=("desk", "lamp"))
async def furnish(ctx: Any) -> None: ...


@action(acquires="files")
async def open_book(ctx: Any) -> None: ...


@action(acquires="children")
async def hire_team(ctx: Any) -> None: ...


@action()
async def call_team(ctx: Any) -> None: ...


@action()
async def work(ctx: Any) -> None: ...


@action()
async def rest(ctx: Any) -> None: ...


@action()
def note(ctx: Any) -> None: ...


@guard()
def is_open(ctx: Any) -> bool:
    return True


@guard()
def is_paid(ctx: Any) -> bool:
    return True


@guard()
def is_rich(ctx: Any, *, than: int = 5) -> bool:
    return True


@check()
def stock(ctx: Any) -> str | None:
    return None
