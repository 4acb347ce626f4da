"""Calling one handler of an actor: its time-out, its retries, its owner."""

from __future__ import annotations

import asyncio
import inspect
import random
from typing import TYPE_CHECKING, Any

from ..context import Context
from ..errors import HandlerFailed, Refused
from ..plan import Call
from ..straight import run_straight, take_back
from ..tasks import call_owned
from .scope import handler_failure, run_bounded

if TYPE_CHECKING:
    from ..actor import Actor


async def call_handler(actor: Actor, call: Call, ctx: Context) -> Any:
    """What the handler returned. Raises HandlerFailed, with a reference into the log, once its attempts are used up."""
    attempts = call.retry.attempts if call.retry is not None else 1
    for attempt in range(1, attempts + 1):
        one = ctx.attempt(is_only=attempts == 1)
        try:
            value = await _once(actor, call, one, call.timeout_s)
            ctx.keep(one)
            return value
        except Exception as error:
            one.end()
            failure = as_failure(call.name, error)
            if attempt == attempts:
                raise failure from error
        await asyncio.sleep(_jitter(actor.session.random, call, attempt))
    raise AssertionError("a handler has at least one attempt")


async def _once(actor: Actor, call: Call, ctx: Context, timeout_s: float | None) -> Any:
    assert call.bound is not None, "built-in steps are not called through here"
    ctx.lend(call)
    task = asyncio.current_task()
    assert task is not None
    cancelling = task.cancelling()
    try:
        if call.bound.handler.is_straight:
            # Nothing can cut it short: a task, a timer and a wait for two of them were nearly half of an event.
            return call_owned(actor.holdings, run_straight, call.bound, ctx)
        value = call_owned(actor.holdings, call.bound, ctx)
    finally:
        if (count := task.cancelling() - cancelling) > 0:
            await take_back(task, count, call.name)
    if inspect.iscoroutine(value):
        return await run_bounded(value, actor.holdings, f"{actor.session.sid}{actor.path} {call.name}", timeout_s)
    return value


async def call_once(actor: Actor, call: Call, ctx: Context, timeout_s: float) -> Any:
    """One attempt within timeout_s: clean-up is not repeated, force is what comes next."""
    return await _once(actor, call, ctx, timeout_s)


def as_failure(name: str, error: Exception) -> HandlerFailed:
    """A refusal is meant for whoever asked, words included; anything else is for the log."""
    if isinstance(error, Refused):
        return HandlerFailed(name, error.code, error.message, ref="refused", public=error.message)
    return handler_failure(name, error)


def _jitter(source: random.Random, call: Call, attempt: int) -> float:
    """Full jitter: anywhere between nothing and the doubled back-off, so that retries of many do not meet."""
    assert call.retry is not None
    return source.uniform(0.0, min(call.retry.most_s, call.retry.backoff_s * 2 ** (attempt - 1)))
