"""A process that dies after any record, and the next one that finds its journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..journal.memory import MemoryJournal
from .rig import Rig


class DyingJournal(MemoryJournal):
    """Takes nothing after a number of appends, as if the process died right there."""

    def __init__(self, appends: int) -> None:
        super().__init__()
        self.left = appends
        self.died = asyncio.Event()

    def append(self, append: Any) -> Any:
        if self.left == 0 and not self._is_held:
            # What was queued before is durable; from here on nothing is.
            self._run()
            self.hold()
            self.died.set()
        self.left -= 1
        return super().append(append)


async def live_until_dead(journal: DyingJournal, r: Rig, life: Callable[[Rig], Coroutine[Any, Any, Any]]) -> None:
    """Run life to its end, or to where the journal dies; nothing is shut down."""
    await r.manager.start()
    living = asyncio.ensure_future(life(r))
    dying = asyncio.ensure_future(journal.died.wait())
    await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED)
    journal.hold()
    living.cancel()
    dying.cancel()
    await asyncio.wait({living, dying})
