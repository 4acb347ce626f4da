"""Which functions cannot suspend: what is told from their code, once, when names are resolved.

A coroutine without an await is over after its first step: it needs no task, no timer and no shield, because there is
no moment at which anything could cut it short. Plain functions always were called so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import CO_COROUTINE, CO_ITERABLE_COROUTINE
from opcode import opmap
from types import FunctionType
from typing import Any, Final

from .errors import HandlerFailed

# Each of them is in the code of an await, `async for`, `async with` or asynchronous comprehension (3.11 to 3.14).
_SUSPENDING: Final = frozenset(
    opmap[name] for name in ("GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "SEND", "YIELD_VALUE") if name in opmap
)


def never_suspends(function: Callable[..., Any]) -> bool:
    """Whether function is an `async def` that awaits nothing. False for what cannot be told: a wrapper, a partial,
    an object with __call__, and a plain function, which may return anything."""
    if type(function) is not FunctionType or hasattr(function, "__wrapped__"):
        return False
    code = function.__code__
    is_coroutine = bool(code.co_flags & CO_COROUTINE) and not code.co_flags & CO_ITERABLE_COROUTINE
    return is_coroutine and _SUSPENDING.isdisjoint(code.co_code[::2])


def run_straight(function: Callable[..., Any], *args: Any) -> Any:
    """What a function of which never_suspends() holds returns or raises."""
    coro = function(*args)
    try:
        coro.send(None)
    except StopIteration as end:
        return end.value
    coro.close()
    raise RuntimeError(f"{function!r} suspended, though it awaits nothing")


async def take_back(task: asyncio.Task[Any], count: int, name: str) -> None:
    """Code that task called straight has cancelled task `count` times, as if it were its own. Raises HandlerFailed,
    once that cancellation is used up; what another asked for meanwhile stays a cancellation."""
    others = task.cancelling() - count
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        for _ in range(count):
            task.uncancel()
        if task.cancelling() > others:
            raise
    raise HandlerFailed(name, "raised", "cancelled itself")
