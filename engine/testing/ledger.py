"""What a process holds, measured: descriptors and children by /proc, tasks and timers by looking for the objects."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ..clock import Clock

PROC: Final = Path("/proc")
DESCRIPTORS: Final = PROC / "self" / "fd"
SOCKET: Final = "socket:"


class Ledger:
    """`with Ledger() as ledger:` begins to count; leaks() is what is there now and was not then.

    Where there is no /proc, files, sockets and processes are not measured.
    """

    def __enter__(self) -> Ledger:
        self._held = _held()
        self._old: weakref.WeakSet[Any] = weakref.WeakSet(_living())
        self._left: list[str] = []
        self._close = close = asyncio.Runner.close

        def look_and_close(runner: asyncio.Runner) -> None:
            self._look(runner)
            close(runner)

        # A runner cancels what is left on its loop before it closes it: nobody could see it afterwards.
        asyncio.Runner.close = look_and_close  # type: ignore[assignment, method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.Runner.close = self._close  # type: ignore[method-assign]

    def leaks(self) -> list[str]:
        """One line a leak: what it is, and its name."""
        more = (_held() - self._held).elements()
        return [*self._left, *more, *(line for one in _living() if (line := self._line(one)))]

    def _look(self, runner: asyncio.Runner) -> None:
        try:
            loop = runner.get_loop()
        except RuntimeError:
            return  # it was closed before
        tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
        clocks = [one for one in _living() if isinstance(one, Clock) and one._loop is loop]
        self._left += [line for one in (*tasks, *clocks) if (line := self._line(one))]
        self._old.update(clocks)

    def _line(self, one: Any) -> str:
        if one in self._old:
            return ""
        if isinstance(one, Clock):
            return f"timers: {len(one)} on the clock" if len(one) else ""
        return f"task: {one.get_name()}"


def _held() -> Counter[str]:
    return Counter([*_descriptors(), *_children()])


def _descriptors() -> Iterator[str]:
    for entry in DESCRIPTORS.iterdir() if DESCRIPTORS.exists() else ():
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # the one that this very listing was read through
        yield f"socket: {target}" if target.startswith(SOCKET) else f"file: {target}"


def _children() -> Iterator[str]:
    for entry in PROC.glob("[0-9]*/stat"):
        try:
            name, _, rest = entry.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it has just ended
        if int(rest.split()[1]) == os.getpid():
            yield f"process: {entry.parent.name} {name}"


def _living() -> list[Any]:
    """Tasks that are not done, and clocks; of whatever loop."""
    found = [one for one in gc.get_objects() if issubclass(type(one), asyncio.Task | Clock)]
    return [one for one in found if isinstance(one, Clock) or not one.done()]
