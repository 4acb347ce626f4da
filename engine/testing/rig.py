"""A whole SessionManager in virtual time on a journal in memory: what tests of a lifecycle file drive."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, cast

from ..codec import decode
from ..journal.base import Journal
from ..journal.memory import MemoryJournal
from ..live.attachments import Attachment
from ..loader import load_spec, parse_spec
from ..log.kept import LogLimits
from ..machine import LifecycleMachine
from ..records import ROOT, Caller, Command, Origin, Outcome, Record
from ..registry import Registry
from ..session import Session
from ..sessions import SessionManager
from ..spec import Spec
from .coverage import compile_watched
from .virtual import VirtualLoop

SHUTDOWN_S: Final = 60.0


def machines(source: Path | str, *handlers: ModuleType | str) -> dict[str, LifecycleMachine]:
    """Compile a lifecycle file (a path) or its text with the handlers of some modules. Raises SpecError."""
    registry = Registry.of(*handlers)
    return compile_watched(read_spec(source, registry), registry, source if isinstance(source, Path) else None)


def read_spec(source: Path | str, registry: Registry | None) -> Spec:
    """A lifecycle file (a path) or its text. registry None: its handlers are not looked for. Raises SpecError."""
    return load_spec(source, registry) if isinstance(source, Path) else parse_spec(source.encode(), registry)


class Rig:
    """`async with Rig(machines(path, handlers)) as rig:` starts a manager; leaving shuts it down and demands that
    every task of it is gone."""

    def __init__(
        self,
        compiled: Mapping[str, LifecycleMachine],
        *,
        journal: Journal | None = None,
        services: Mapping[str, Any] | None = None,
        log_limits: LogLimits | None = None,
        idle_memory_s: float | None = None,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.journal = journal if journal is not None else MemoryJournal()
        self.services: dict[str, Any] = dict(services or {})
        self.manager = SessionManager(
            compiled,
            self.journal,
            services=self.services,
            log_limits=log_limits,
            idle_memory_s=idle_memory_s,
            random_source=random.Random(0),  # so that what failed fails again
            utc=utc,
        )
        self.manager.services = self.services  # tests flip switches in it while sessions live

    async def __aenter__(self) -> Rig:
        self._tasks = asyncio.all_tasks()
        await self.manager.start()
        await self.settle()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.manager.shutdown(SHUTDOWN_S)
        if error is None:
            left = asyncio.all_tasks() - self._tasks
            assert not left, f"tasks are left: {sorted(task.get_name() for task in left)}"

    async def settle(self) -> None:
        """Return when nothing can go on without time passing."""
        await cast(VirtualLoop, asyncio.get_running_loop()).settle()

    async def advance(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.settle()

    async def create(self, *, is_connected: bool = True, **kwargs: Any) -> Session:
        """A session that has had all the turns it wants; connected, unless said otherwise."""
        session = await self.manager.create(**kwargs)
        if is_connected:
            self.attachment: Attachment = session.attach("control")
        await self.settle()
        return session

    async def send(
        self,
        session: Session,
        name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        to: str = ROOT,
        origin: Origin = "client",
        roles: frozenset[str] = frozenset(),
        command: Command | None = None,
    ) -> Outcome:
        """The outcome, once everything that it set off and that needs no time has happened."""
        caller = Caller("tester", roles)
        outcome = await self.manager.send(
            session.sid, to=to, name=name, payload=payload, origin=origin, caller=caller, command=command
        )
        await self.settle()
        return outcome

    async def updates(self, session: Session, kind: str = "") -> list[dict[str, Any]]:
        """All durable updates that are kept, or those of one kind, as clients get them."""
        found = [decode(text) for _, text in await session.log.read(session.log.trimmed, 100_000)]
        return [one for one in found if not kind or one["kind"] == kind]

    async def states(self, session: Session, kind: str = "session") -> list[str]:
        """The states that the root went through after its first."""
        return [one["data"]["to"] for one in await self.updates(session, f"{kind}.state")]

    async def records(self, sid: str) -> list[Record]:
        return [Record.decode(text) for text in await self.journal.records(sid)]
