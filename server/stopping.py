"""SIGTERM and Ctrl-C, at any moment and as often as they come: asked once, insisted on twice, kept in time."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
GRACE_S: Final = 10.0  # until the settings are read
OVERTIME_S: Final = 8.0  # after the grace, for what closes; then the process ends however it stands
INSISTED_S: Final = 3.0  # the same after the second signal
FORCED: Final = 70  # exit code of a process that could not stop by itself


class Stopper:
    """Counts the signals. The first asks to stop within a grace, the second ends the grace.

    Installed before anything heavy is imported and before a loop runs. A thread holds the end in time even if the
    loop is stuck in code that never yields.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.count = 0
        self.grace_s = grace_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()
        self._insisted = asyncio.Event()

    def install(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def settle(self) -> None:
        """The stop is done and the exit code decided: a signal that comes now must not kill what is already leaving.

        Ignored rather than counted, because the interpreter drops handlers of ours on its way out, but not this.
        """
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """From here on waiters on loop are woken; signals that came before count."""
        self._loop = loop
        self._tell()

    async def asked(self) -> None:
        await self._asked.wait()

    async def insisted(self) -> None:
        await self._insisted.wait()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count <= 2:
            self._limit(self.grace_s + OVERTIME_S if self.count == 1 else INSISTED_S)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self.count >= 1:
            self._asked.set()
        if self.count >= 2:
            self._insisted.set()

    def _limit(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        os.write(2, b"steward: something does not let go; the process ends without it\n")
        os._exit(FORCED)
