"""Leaving: everybody is told when to dial again, what is under way is committed, then every socket is closed.

In that order (protocol.md, rule 13), so that a session which ends within the grace is still seen to end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

from engine.sessions import SessionManager

from .codes import Fault
from .desk import Desk
from .outbox import CLOSE_S
from .pool import Pool

SUCCESSOR_START_S: Final = 1.0  # until whoever comes after us can be listening
HELLOS_PER_S: Final = 400.0  # what it takes while it also brings its sessions back
SPREAD_S_MAX: Final = 20.0  # the last slot; a reconnection window of 30 s still holds
LAST_WORDS_S: Final = 5.0  # of the grace, for sockets and HTTP calls after the sessions
log = logging.getLogger("steward.leaving")


class Slots:
    """Moments at which clients dial the successor, one after the other, so that it is not stormed."""

    def __init__(self) -> None:
        self._numbers = count()

    def next_ms(self) -> int:
        """Milliseconds from now."""
        # More than fit in come round again: all at the last moment would be the storm.
        offset_s = next(self._numbers) / HELLOS_PER_S % (SPREAD_S_MAX - SUCCESSOR_START_S)
        return round((SUCCESSOR_START_S + offset_s) * 1000)


class Leaving:
    """One server's way out. run() may be called again; the first time counts.

    is_up: whether the manager was started and has to be shut down. insisted: waits for the signal that ends the grace.
    """

    def __init__(
        self,
        desk: Desk,
        pool: Pool,
        grace_s: float,
        insisted: Callable[[], Awaitable[Any]],
    ) -> None:
        self.is_up = False
        self._desk = desk
        self._pool = pool
        self._grace_s = grace_s
        self._insisted = insisted
        self._running: asyncio.Task[None] | None = None

    async def run(self, stop_listening: Callable[[], Awaitable[None]] | None = None) -> None:
        """stop_listening: called when there is nothing left to tell to who dials."""
        if self._running is None:
            self._running = asyncio.create_task(self._run(stop_listening), name="leaving")
        await self._running

    async def _run(self, stop_listening: Callable[[], Awaitable[None]] | None) -> None:
        self._desk.is_leaving = True
        was_up, self.is_up = self.is_up, False
        level = logging.INFO if was_up else logging.DEBUG  # who never came up takes leave of nobody
        self._pool.leave(Slots().next_ms)
        log.log(level, "leaving: %d connections are told when to dial again", len(self._pool.connections))
        if was_up:
            await self._let_sessions_go(self._desk.manager)
        log.log(level, "leaving: sessions are let go; %d connections are closed", len(self._pool.connections))
        if stop_listening is not None:
            await stop_listening()
        self._pool.stop_all(Fault("leaving"))
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S + 1):
                await self._pool.wait_fewer(1)
        if self._pool.connections:
            log.log(level, "leaving: %d connections did not answer the close", len(self._pool.connections))

    async def _let_sessions_go(self, manager: SessionManager) -> None:
        """They get the grace but for its end, and a second signal ends it."""
        ending = asyncio.ensure_future(manager.shutdown(max(self._grace_s / 2, self._grace_s - LAST_WORDS_S)))
        insisted = asyncio.ensure_future(self._insisted())
        await asyncio.wait({ending, insisted}, return_when=asyncio.FIRST_COMPLETED)
        insisted.cancel()
        if not ending.done():
            log.warning("a second signal: the grace is over")
            ending.cancel()
        await asyncio.wait({ending})
        if not ending.cancelled():
            ending.result()  # raises what went wrong
