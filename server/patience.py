"""How long an HTTP call waits for what it has begun: a store that stalls holds up no caller for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from .codes import Fault

CALLS_UNDER_WAY_MAX: Final = 1024  # also of those nobody waits for any more; above it callers come again later
T = TypeVar("T")
log = logging.getLogger("steward.patience")


class Patience:
    """answer_s: seconds that a call gets."""

    def __init__(self, answer_s: float) -> None:
        self._answer_s = answer_s
        self._under_way: set[asyncio.Task[Any]] = set()

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What work gives. It goes on whole if it takes longer, or if its caller leaves: a right that is revoked
        half, or a session that nobody counts, would be worse than a late answer.

        Raises Fault("store_unavailable") when the time is over, Fault("overloaded") if too much is under way.
        """
        if len(self._under_way) >= CALLS_UNDER_WAY_MAX:
            work.close()
            raise Fault("overloaded", "too many calls wait for the store; come again later")
        task = asyncio.create_task(work, name="HTTP call")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            await asyncio.wait({task}, timeout=self._answer_s)
        finally:
            if not task.done():
                task.add_done_callback(_tell_late)
        if not task.done():
            raise Fault("store_unavailable", f"there was no answer within {self._answer_s:g} s; what was begun goes on")
        return task.result()


def _tell_late(task: asyncio.Task[Any]) -> None:
    """Its caller has its answer, so an error that came after it is told here or nowhere."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("a call that nobody waited for any more has failed: %s", error)
