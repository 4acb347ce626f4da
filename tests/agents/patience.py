"""Waiting in tests without the clock: others run until something is so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from handlers.autogen import AutoGenBackend

TURNS_MAX: Final = 200_000
SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")  # Linux: ns on a processor, ns waiting for one, turns


def ran_s() -> float:
    """A clock that stands still while this thread waits for a processor: what others have of it is not our time."""
    starved_ns = int(SCHEDSTAT.read_bytes().split()[1]) if SCHEDSTAT.exists() else 0
    return time.monotonic() - starved_ns / 1e9


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(TURNS_MAX):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


async def until_it(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(TURNS_MAX):
        if await holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


async def under_way(backend: AutoGenBackend, count: int = 1) -> None:
    """Until so many handlers have begun."""
    await until(lambda: sum(job.operation.task is not None for job in backend.jobs.values()) >= count)
    await asyncio.sleep(0)  # and have made their first step


def members(group: int) -> set[int]:
    """Processes of a group that are alive, by what the kernel shows in /proc."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _, its_group = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
                if its_group == str(group) and state not in "ZX":
                    found.add(int(entry.name))
    return found
