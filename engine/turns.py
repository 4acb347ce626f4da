"""Triggers of one model take turns, each a task of its own, so that cancelling its caller leaves it whole (M6)."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

log = logging.getLogger("steward.machine")


class Turn:
    """One trigger from outside a model's callbacks. It is over when its transition is; what it left running then
    waits for a turn like everybody else."""

    __slots__ = ("has_begun", "is_over", "model")

    def __init__(self, model: Any) -> None:
        self.model = model
        self.has_begun = False
        self.is_over = False


# By id() of the model, of all machines together, because a model may have several: how many wait or are under way.
TAKEN: Final[dict[int, tuple[asyncio.Lock, int]]] = {}
_running: Final[set[asyncio.Task[Any]]] = set()  # a loop keeps only weak references to its tasks
_inside: contextvars.ContextVar[tuple[Turn, ...]] = contextvars.ContextVar("steward_turns", default=())


async def take(model: Any, work: Callable[[], Awaitable[Any]]) -> Any:
    """Do work when it is model's turn. From inside a callback it is done within its parent, as in the stock class."""
    if any(turn.model is model and not turn.is_over for turn in _inside.get()):
        return await work()
    turn = Turn(model)
    task = asyncio.ensure_future(_in_turn(turn, work))
    _running.add(task)
    task.add_done_callback(_running.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if turn.has_begun:
            task.add_done_callback(_report_unheard)
        else:
            task.cancel()
        raise


async def _in_turn(turn: Turn, work: Callable[[], Awaitable[Any]]) -> Any:
    key = id(turn.model)
    lock, users = TAKEN.get(key, (asyncio.Lock(), 0))
    TAKEN[key] = (lock, users + 1)
    _inside.set((*_inside.get(), turn))
    try:
        async with lock:
            turn.has_begun = True
            return await work()
    finally:
        turn.is_over = True
        users = TAKEN[key][1] - 1
        TAKEN[key] = (lock, users)
        if not users:
            del TAKEN[key]


def _report_unheard(task: asyncio.Task[Any]) -> None:
    """Log the error of a transition whose caller was cancelled: nobody else hears of it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a transition failed after its caller was cancelled", exc_info=error)
