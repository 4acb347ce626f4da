"""What cannot suspend is called straight: told from the code, and safe from what such a handler may do."""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import pytest

from engine.errors import HandlerFailed
from engine.straight import never_suspends, run_straight, take_back
from engine.testing.virtual import in_virtual_time


async def plain_words(ctx: Any) -> int:
    """Branches, loops, a nested coroutine that is made and not awaited: none of it suspends here."""

    async def inner() -> None:
        await asyncio.sleep(1)

    inner().close()
    return sum(n for n in range(3) if n)


async def awaits(ctx: Any) -> None:
    if ctx is None:
        await asyncio.sleep(0)


async def loops(ctx: Any) -> None:
    async for _ in ctx:
        pass


async def enters(ctx: Any) -> None:
    async with ctx:
        pass


async def comprehends(ctx: Any) -> list[Any]:
    return [one async for one in ctx]


async def yields(ctx: Any) -> AsyncIterator[int]:
    yield 1


@types.coroutine
def old_style(ctx: Any) -> Generator[Any, Any, None]:
    yield


def returns_a_coroutine(ctx: Any) -> Awaitable[None]:
    return awaits(ctx)


@functools.wraps(plain_words)
async def wrapped(*args: Any) -> None:
    """Whoever looks through a wrapper sees another function than the one that is called."""


class Callable_:
    async def __call__(self, ctx: Any) -> None:
        """An object that is called like a function."""


@pytest.mark.parametrize(
    "function",
    [
        awaits,
        loops,
        enters,
        comprehends,
        yields,
        old_style,
        returns_a_coroutine,
        wrapped,
        functools.partial(plain_words),
        Callable_(),
    ],
)
def test_what_may_suspend_or_cannot_be_told_keeps_its_task(function: Callable[..., Any]) -> None:
    """M7: whatever may wait is bounded."""
    assert not never_suspends(function)


def test_an_async_function_without_an_await_is_over_after_one_step() -> None:
    """What it returns and raises is what an await of it would give."""
    assert never_suspends(plain_words)
    assert run_straight(plain_words, None) == 3

    async def fails(ctx: Any) -> None:
        raise KeyError("on purpose")

    assert never_suspends(fails)
    with pytest.raises(KeyError):
        run_straight(fails, None)


@in_virtual_time
async def test_a_handler_that_cancels_the_task_it_is_called_in_harms_only_itself() -> None:
    """M3: the step's task is not the handler's to cancel; the cancellation is used up, and the handler has failed."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    task.cancel()
    with pytest.raises(HandlerFailed, match="cancelled itself"):
        await take_back(task, 2, "quitter")
    assert task.cancelling() == 0
    await asyncio.sleep(1)


@in_virtual_time
async def test_a_cancellation_that_comes_meanwhile_is_not_taken_back() -> None:
    """M6: nothing swallows the CancelledError that somebody else asked for."""

    async def step() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        asyncio.get_running_loop().call_soon(task.cancel)
        await take_back(task, 1, "quitter")

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(step())
