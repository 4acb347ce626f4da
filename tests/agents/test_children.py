"""Child processes of a handler end with it, however it ends."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest
from autogen_core import MessageContext, RoutedAgent, message_handler
from patience import members, until
from pydantic import BaseModel

from engine.errors import HandlerFailed
from handlers.backend import Envelope, SessionClosed
from handlers.team import Role, Seat, Team, TeamMessage

PROGRAM = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(600)"
PIDS: list[int] = []


class Options(BaseModel):
    way: str


class Go(TeamMessage):
    """Start a process, then misbehave."""


class Starter(RoutedAgent):
    def __init__(self, seat: Seat) -> None:
        super().__init__("starts processes")
        self._seat = seat

    @message_handler
    async def go(self, message: Go, ctx: MessageContext) -> None:
        async with self._seat.process(sys.executable, "-c", PROGRAM) as child:
            PIDS.append(child.pid)
            await until(lambda: len(members(child.pid)) == 2)
            if self._seat.options.way == "raises":
                raise RuntimeError("no")
            while self._seat.options.way == "swallows":
                try:
                    await asyncio.Event().wait()
                except BaseException:
                    continue
            await asyncio.Event().wait()


ROLE = Role("starter", Starter)
TEAM = Team("starters", Options, (Go,), lambda options: (ROLE,), lambda options: (), lambda text, options: "starter")


async def start(*argv: str, **kwargs: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*argv, start_new_session=True, **kwargs)


@pytest.mark.parametrize("way", ["raises", "is cancelled", "swallows"])
async def test_a_process_group_ends_with_its_handler(way: str, stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """C2: with the one that raises, the one that is cancelled, and the one that has to be forced."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    PIDS.clear()
    backend = await stage.start(TEAM, way=way)
    delivery = asyncio.ensure_future(backend.deliver(Envelope("starter", TEAM.encode(Go())), process=start))
    await until(lambda: bool(PIDS) and (delivery.done() or len(members(PIDS[0])) == 2))
    if way != "raises":
        await backend.stop()
    with pytest.raises((RuntimeError, HandlerFailed, SessionClosed)):
        await delivery
    deadline = time.monotonic() + 5
    while members(PIDS[0]) and time.monotonic() < deadline:
        pass  # the kernel may need a moment; the loop gets none, so that nothing in it can still help
    assert not members(PIDS[0])


async def test_without_an_owner_there_is_no_process(stage: Any) -> None:
    """A process that nobody's clean-up knows of is never started."""
    backend = await stage.start(TEAM, way="raises")
    with pytest.raises(PermissionError):
        await stage.send(backend, "starter", Go())
