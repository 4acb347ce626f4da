"""Child processes of one handler: each in a process group of its own, all of which end with the handler."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from signal import SIGKILL
from typing import Any, Final

from engine.errors import HandlerFailed
from engine.resources import Resource
from engine.steps.probes import BUILT_IN_PROBES, close_pipes, signal_group

POLL_S: Final = 0.01  # nothing tells when the last of a process group is gone
GONE_S: Final = 2.0  # from SIGKILL until the kernel has let go of a group

StartProcess = Callable[..., Awaitable[Process]]  # (*argv, **kwargs): engine.resources.Resources.process


class Children:
    """start: whoever owns the processes, so that its clean-up sees and reports them; None: nobody may start any."""

    def __init__(self, start: StartProcess | None) -> None:
        self._start = start
        self._groups: list[Resource] = []

    async def start(self, *argv: str, **kwargs: Any) -> Process:
        if self._start is None:
            raise PermissionError("only a handler at work for a session may start a process")
        process = await self._start(*argv, **kwargs)
        self._groups.append(Resource("processes", argv[0], process, "", 0.0))
        return process

    async def end(self, process: Process) -> None:
        """End whoever is left of its group, and see that nobody is. Raises HandlerFailed if somebody stays."""
        for group in [one for one in self._groups if one.handle is process]:
            signal_group(group, SIGKILL)
            try:
                async with asyncio.timeout(GONE_S):
                    while not BUILT_IN_PROBES["processes"](group):  # noqa: ASYNC110 - there is no event to wait for
                        await asyncio.sleep(POLL_S)
            except TimeoutError:
                raise HandlerFailed("process", "leaked", f"the group of pid {process.pid} does not end") from None
            close_pipes(group)
            self._groups.remove(group)

    def kill(self) -> None:
        """Everything at once, without waiting: the handler is over. Their owner's clean-up looks whether it helped."""
        for group in self._groups:
            if not BUILT_IN_PROBES["processes"](group):
                signal_group(group, SIGKILL)
        self._groups.clear()
