"""A process that dies after any record, and the next one that finds its journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from ..journal.memory import MemoryJournal
from ..steps.scope import end_task
from .rig import Rig
from .virtual import VirtualLoop

KILL_ROUNDS: Final = 3  # what is ended may start something while it unwinds


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


def kill(loop: VirtualLoop) -> None:
    """End everything that runs on a loop, as it is when its process dies. Hold the journal first: code unwinds."""
    loop.set_exception_handler(lambda loop, context: None)
    for _ in range(KILL_ROUNDS):
        for task in asyncio.all_tasks(loop):
            loop.run_until_complete(end_task(task))
    loop.close()
