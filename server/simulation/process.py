"""One life of a server process: the real parts from the connection's core to the journal, on a loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from engine.log.kept import LogLimits
from engine.machine import LifecycleMachine
from engine.sessions import SessionManager
from engine.simulation.disk import SimulatedJournal
from engine.simulation.loop import SimulatedLoop
from engine.simulation.script import Terms

from ..auth import Credentials
from ..codes import Fault
from ..config import Settings
from ..connection import Connection
from ..desk import Desk
from ..leaving import Leaving
from ..pool import Pool
from ..protocol import Timing
from .line import Line, LineSocket

ADDRESS: Final = "192.0.2.1"
GRACE_S: Final = 10.0
SWEEP_S: Final = 1.0  # of virtual time: four times as rare as on a real server, and most of what its time costs
TIMING: Final = Timing()
SETTINGS: Final = Settings.model_construct(open=True, data=Path())


class Process:
    """Started with start(), ended with leave() or kill(). random: of its ids and of its jitter."""

    def __init__(
        self,
        machines: Mapping[str, LifecycleMachine],
        services: Mapping[str, Any],
        loop: SimulatedLoop,
        journal: SimulatedJournal,
        terms: Terms,
        random: Any,
        utc: Callable[[], float],
    ) -> None:
        self.loop = loop
        self.journal = journal
        limits = LogLimits(events=terms.log_events) if terms.log_events is not None else None
        self.manager = SessionManager(
            machines,
            journal,
            services=services,
            random_source=random,
            token_bytes=random.randbytes,
            idle_memory_s=terms.idle_memory_s,
            log_limits=limits,
            utc=utc,
        )
        self.desk = Desk(self.manager, Credentials(SETTINGS, None))
        self.pool = Pool(unwelcomed_max=64, unwelcomed_per_address_max=64, control_max=8, observe_max=8)
        self.leaving = Leaving(self.desk, self.pool, GRACE_S, asyncio.Event().wait)
        self.is_up = False
        self._lines: dict[Connection, Line] = {}
        self._serving: dict[asyncio.Task[Any], None] = {}
        self._jitter = random.random

    def start(self) -> None:
        self.starting = self.loop.create_task(self._start())

    async def _start(self) -> None:
        await self.manager.start()
        self.leaving.is_up = self.is_up = True
        self.sweep = self.loop.create_task(self.pool.sweep(self.loop.time, SWEEP_S))

    def accept(self) -> Line | None:
        """A new connection; None if nobody listens."""
        if not self.is_up:
            return None
        try:
            place = self.pool.admit(ADDRESS)
        except Fault:
            return None
        line = Line()
        connection = Connection(self.pool, self.desk, TIMING, self.loop.time, LineSocket(line), self._jitter)
        self._lines[connection] = line
        request: Any = SimpleNamespace(transport=line)
        serving = self.loop.create_task(connection.serve(request, place))
        self._serving[serving] = None
        serving.add_done_callback(self._serving.pop)
        return line

    @property
    def live_keys(self) -> list[tuple[str, str]]:
        """(sid, cid) of every socket that is a client's live one."""
        live = (one for one, line in self._lines.items() if not one.is_stopped() and not line.is_closing())
        return [one.key for one in live if one.key is not None]

    def serves(self, line: Line | None) -> bool:
        """Whether this is a connection to it that is not broken."""
        return line in self._lines.values() and not line.is_closing() if line is not None else False

    def leave(self) -> asyncio.Task[None]:
        """As on SIGTERM; the task ends when the process would."""
        self.is_up = False
        leaving: asyncio.Task[None] = self.loop.create_task(self._leave())
        return leaving

    async def _leave(self) -> None:
        await self.leaving.run()
        self.sweep.cancel()
        for serving in self._serving:
            serving.cancel()
        await asyncio.wait({self.sweep, *self._serving})

    def kill(self, *, is_torn: bool = False) -> int:
        """As kill -9 does. is_torn: in the middle of a write, of which that much is on the disk."""
        torn = self.journal.die(is_torn)
        self.loop.kill()
        return torn
