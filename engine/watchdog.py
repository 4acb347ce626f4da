"""A handler that spins or sleeps without giving up the loop is interrupted where it stands.

A thread watches whether the loop turns. While it stands still, signals are sent to the loop's thread; Python runs
their handler between two bytecodes (and inside time.sleep), and there HandlerBlocked is raised in the code of the
handler that is on the stack. C code that keeps the interpreter lock cannot be reached so.

Time in which the loop's thread could have run but got no processor does not count: on a machine that is busy with
other things every step is slow, and nobody here is to blame.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

from .errors import HandlerBlocked
from .tasks import Owner, current_owner

BEAT_S: Final = 0.1
LATE_BEATS: Final = 3  # in a row; one late turn is a hiccup, not a loop that has too much to do
BLOCKED_S: Final = 0.4  # the loop has not turned for so long
HELD_S: Final = 0.25  # … and one owner was on the stack for so long; a turn full of short steps is nobody's fault
SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")  # Linux: ns on a processor, ns waiting for one, turns
SIGNAL: Final = signal.SIGURG  # ignored by default, and used for nothing else here

log = logging.getLogger("steward.watchdog")


class Watchdog:
    """start() in the loop's thread; a loop outside the main thread cannot be watched, which is logged."""

    def __init__(self) -> None:
        self._beat = self._beat_ran = 0.0
        self._late: deque[float] = deque(maxlen=LATE_BEATS)
        self._suspect: tuple[float, Owner] | None = None
        self._suspect_since = 0.0
        self._schedstat: int | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._handle: asyncio.TimerHandle | None = None
        self._previous: Any = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._thread is not None:
            return
        if threading.current_thread() is not threading.main_thread() or not _is_real(loop):
            log.info("this loop is not watched: it is not the main thread's, or its time is virtual")
            return
        self._over.clear()
        # Kept open: a clock that fails when descriptors run out would jump.
        self._schedstat = os.open(SCHEDSTAT, os.O_RDONLY) if SCHEDSTAT.exists() else None
        self._previous = signal.signal(SIGNAL, self._interrupt)
        self._tick(loop)
        self._thread = threading.Thread(target=self._watch, name="steward watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Restore the signal's handler. May be called twice."""
        self._over.set()
        if self._handle is not None:
            self._handle.cancel()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            schedstat, self._schedstat = self._schedstat, None  # a signal may still be under way, and reads it
            if schedstat is not None:
                os.close(schedstat)
            # None: it was not set from Python, so Python cannot set it back.
            signal.signal(SIGNAL, self._previous if self._previous is not None else signal.SIG_DFL)

    @property
    def lag_s(self) -> float:
        """How late each of the last LATE_BEATS turns came at least; 0 where the loop is not watched."""
        return min(self._late) if len(self._late) == LATE_BEATS else 0.0

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        if self._handle is not None:
            self._late.append(now - self._beat - BEAT_S)
        self._beat, self._beat_ran = now, self._ran_s()
        self._handle = loop.call_later(BEAT_S, self._tick, loop)

    def _ran_s(self) -> float:
        """A clock that stands still while the loop's thread waits for a processor."""
        return time.monotonic() - starved_s(self._schedstat)

    def _watch(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        while not self._over.wait(BEAT_S):
            if time.monotonic() - self._beat > BLOCKED_S:
                signal.pthread_kill(main, SIGNAL)

    def _interrupt(self, number: int, frame: Any) -> None:
        """Runs in the loop's thread, on top of whatever blocks it; only a handler's code is interrupted."""
        now, owner = self._ran_s(), current_owner()
        blocked_s = now - self._beat_ran
        if owner is None or blocked_s <= BLOCKED_S:
            self._suspect = None
            return
        if self._suspect != (self._beat, owner):
            self._suspect, self._suspect_since = (self._beat, owner), now
        if now - self._suspect_since < HELD_S:
            return
        self._beat, self._beat_ran, self._suspect = time.monotonic(), now, None
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "?"
        log.error("the loop was blocked for %.1f s by %s at %s", blocked_s, owner, where)
        raise HandlerBlocked(f"blocked the loop for {blocked_s:.1f} s")


def starved_s(schedstat: int | None) -> float:
    """How long the thread whose file that is has waited for a processor so far; 0 where the kernel does not tell."""
    return int(os.pread(schedstat, 128, 0).split()[1]) / 1e9 if schedstat is not None else 0.0


def _is_real(loop: asyncio.AbstractEventLoop) -> bool:
    return abs(loop.time() - time.monotonic()) < 1.0
