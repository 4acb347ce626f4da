"""Backends without an engine, and a census that does not believe anybody's books."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from handlers.autogen import AutoGenBackend
from handlers.backend import BackendContext, Envelope, Limits
from handlers.team import Team

sys.path.insert(0, str(Path(__file__).parent))  # for hostile.py, which other suites use as a team too

SID = "s.aaaaaaaaaaaaaaaaaaaaaaaaaa"
QUICK = Limits(operation_s=5.0, grace_s=0.05, close_s=0.05, drain_s=0.01, rpc_s=5.0)


@dataclass
class Stage:
    """Started backends, and every task that was spawned for them or by their agents."""

    limits: Limits = QUICK
    backends: list[AutoGenBackend] = field(default_factory=list)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def spawn(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(coro, name=name)

    def strays(self) -> set[asyncio.Task[Any]]:
        return {task for task in asyncio.all_tasks() if "_swallows" in repr(task.get_coro())}

    async def start(self, team: Team, sid: str = SID, **options: Any) -> AutoGenBackend:
        backend = AutoGenBackend(team, team.read_options(options))
        self.backends.append(backend)
        await backend.start(BackendContext(sid, self.spawn, self.limits, self.strays))
        for role in team.cast(backend.options):
            await backend.seat(role.name, None)
        backend.open()
        return backend

    async def send(self, backend: AutoGenBackend, agent: str, message: Any, **kwargs: Any) -> Any:
        return await backend.deliver(Envelope(agent, backend.team.encode(message), **kwargs))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    for backend in stage.backends:
        await backend.stop()


@pytest.fixture
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[None]]:
    """Counts tasks and weak references, never the backend's own registers."""
    # A coroutine that ignores even its finaliser is reported there, and pytest would keep it alive for its own report.
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)

    async def look(*backends: AutoGenBackend) -> None:
        for _ in range(4):
            await asyncio.sleep(0)
        gc.collect()
        gc.collect()  # a coroutine that ignores even its finaliser lives through the first
        left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []
        alive = [ref() for backend in backends for ref in backend.weakrefs() if ref() is not None]
        assert [type(one).__name__ for one in alive] == []

    return look
