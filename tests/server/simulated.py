"""The server without sockets: its real parts in virtual time, and clients that keep the rules and judge it by them."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from aiohttp import WSMessage, WSMsgType

from engine.journal.base import Append, Journal
from engine.journal.changes import Head
from engine.journal.memory import MemoryStore
from engine.log.kept import LogLimits
from engine.machine import LifecycleMachine
from engine.sessions import SessionManager
from engine.testing.virtual import VirtualLoop
from server.auth import Credentials
from server.config import Settings
from server.connection import Connection
from server.desk import Desk
from server.leaving import Leaving
from server.pool import Pool
from server.protocol import Timing
from server.simulation.line import Line, LineSocket

ADDRESS: Final = "192.0.2.1"


class Server:
    """One life of a process, on a loop and a journal."""

    def __init__(
        self,
        machines: dict[str, LifecycleMachine],
        journal: Journal,
        data: Path,
        log_limits: LogLimits | None = None,
        idle_memory_s: float | None = None,
    ) -> None:
        settings = Settings.model_construct(open=True, data=data)
        self.timing = Timing()
        self.manager = SessionManager(machines, journal, log_limits=log_limits, idle_memory_s=idle_memory_s)
        self.desk = Desk(self.manager, Credentials(settings, None))
        self.pool = Pool(unwelcomed_max=64, unwelcomed_per_address_max=64, control_max=8, observe_max=8)
        self.leaving = Leaving(self.desk, self.pool, 10.0, asyncio.Event().wait)
        self._serving: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        await self.manager.start()
        self.leaving.is_up = True
        self.sweep = asyncio.create_task(self.pool.sweep(asyncio.get_running_loop().time))
        await self.settle()

    async def settle(self) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualLoop):
            await loop.settle()

    async def advance(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.settle()

    def accept(self) -> Line:
        line = Line()
        now = asyncio.get_running_loop().time
        connection = Connection(self.pool, self.desk, self.timing, now, LineSocket(line))
        request: Any = SimpleNamespace(transport=line)
        serving = asyncio.ensure_future(self._serve(connection, request))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        return line

    async def _serve(self, connection: Connection, request: Any) -> None:
        unwelcomed = self.pool.admit(ADDRESS)
        try:
            await connection.serve(request, unwelcomed)
        finally:
            unwelcomed.give_back()

    async def stop(self) -> None:
        await self.leaving.run()
        await self._hang_up()

    async def stop_at_once(self) -> None:
        """Without telling anybody, as on a second signal."""
        await self._hang_up()
        await self.manager.shutdown(1)

    async def _hang_up(self) -> None:
        self.sweep.cancel()
        for serving in self._serving:
            serving.cancel()
        await asyncio.wait({self.sweep, *self._serving})


class WholeStore(MemoryStore):
    """Remembers what was trimmed away, to judge by it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: defaultdict[str, list[bytes]] = defaultdict(list)

    def extend(self, append: Append, before: Head, after: Head) -> None:
        super().extend(append, before, after)
        self.told[append.sid] += append.updates


class Truth:
    """What anybody has ever seen: for one (sid, epoch, seq) it can only be this."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str, int], bytes] = {}
        self.snaps: list[tuple[int, dict[str, Any]]] = []

    def see(self, sid: str, epoch: str, seq: int, payload: bytes) -> None:
        known = self.events.setdefault((sid, epoch, seq), payload)
        assert known == payload, f"L1: {seq} was {known!r} and is now {payload!r}"


class Client:
    """One client by the rules of docs/protocol.md: cursor, numbered commands, dials. Fails when a promise breaks."""

    def __init__(self, truth: Truth, token: str, cid: str, role: str = "control") -> None:
        self.token, self.cid, self.role = token, cid, role
        self.n = 0
        self.sid, self.epoch, self.seq = "", "", 0
        self.base = 0  # a snapshot stands for what is up to here
        self.snaps = 0
        self.unanswered: dict[int, dict[str, Any]] = {}
        self.outcomes: dict[int, dict[str, Any]] = {}
        self.said: dict[int, dict[str, Any]] = {}
        self.c = 0
        self.line: Line | None = None
        self.is_welcome = False
        self.is_over = False
        self.close: int | None = None
        self.goaways = 0
        self.told: list[str] = []  # that the store is away, or that nothing was decided
        self._truth = truth
        self._owes_snap = False

    def dial(self, line: Line, create: dict[str, Any] | None = None, *, lies: bool = False) -> None:
        if self.role != "control":
            self.hang_up()  # nobody takes over from an observer
        self.n += 1
        self.line, self.is_welcome, self.close, self._owes_snap = line, False, None, False
        hello: dict[str, Any] = {"t": "hello", "token": self.token, "role": self.role, "n": self.n}
        if self.role == "control":
            hello["cid"] = self.cid
        if self.seq:
            hello["cur"] = {"epoch": self.epoch, "seq": self.seq + (1000 if lies else 0)}
        if create is not None:
            hello["create"] = create
        self.send(hello)

    def send(self, frame: dict[str, Any]) -> None:
        assert self.line is not None
        self.line.to_server.put_nowait(WSMessage(WSMsgType.TEXT, json.dumps(frame).encode(), None))

    def command(self, name: str, **args: Any) -> int:
        """Number a command; it is sent now if there is a welcome, else after the next."""
        self.c += 1
        self.said[self.c] = self.unanswered[self.c] = {"t": "cmd", "c": self.c, "name": name, "args": args}
        if self.is_welcome:
            self.send(self.unanswered[self.c])
        return self.c

    def read(self, most: int = 1_000_000) -> None:
        """Take frames that have come, at most so many."""
        line = self.line
        while line is not None and line.to_client and most > 0:
            kind, payload = line.to_client.popleft()
            most -= 1
            if kind == WSMsgType.PING:
                line.to_server.put_nowait(WSMessage(WSMsgType.PONG, payload, None))
            elif kind == WSMsgType.CLOSE:
                self.close = int.from_bytes(payload[:2])
                self.hang_up()
                return
            elif kind == WSMsgType.TEXT:
                frame = json.loads(payload)
                getattr(self, "_on_" + frame["t"])(frame, payload)

    def hang_up(self) -> None:
        if self.line is not None:
            self.line.abort()
        self.line, self.is_welcome = None, False

    def _on_welcome(self, frame: dict[str, Any], payload: bytes) -> None:
        assert not self.is_welcome
        assert self.sid in ("", frame["sid"]), "L12: one token, one session"
        if self.epoch and frame["epoch"] == self.epoch:
            assert frame["head"] >= self.seq or not frame["resumed"], "L2: what was seen is in the log"
        self.sid, self.epoch, self.is_welcome = frame["sid"], frame["epoch"], True
        self._owes_snap = not frame["resumed"]
        self.send_unanswered()

    def send_unanswered(self) -> None:
        """In their order: after a welcome, and when nothing was decided about one of them."""
        for command in self.unanswered.values():
            self.send(command)

    def _on_snap(self, frame: dict[str, Any], payload: bytes) -> None:
        assert self._owes_snap or frame["seq"] > self.seq, "a snapshot that nobody announced, and that tells nothing"
        self._owes_snap = False
        self._truth.snaps.append((frame["seq"], frame["data"]))
        self.seq = self.base = frame["seq"]
        self.is_over = "ended" in frame["data"]
        self.snaps += 1

    def _on_ev(self, frame: dict[str, Any], payload: bytes) -> None:
        assert not self._owes_snap, "L4: an event before the snapshot that was announced"
        seq = frame["seq"]
        self._truth.see(self.sid, self.epoch, seq, payload)
        if seq <= self.seq:
            return
        assert seq == self.seq + 1, f"L1: {seq} came after {self.seq}"
        assert not self.is_over, "L9: session.ended is the last event"
        self.seq = seq
        self.is_over = frame["kind"] == "session.ended"

    def _on_res(self, frame: dict[str, Any], payload: bytes) -> None:
        c, code = frame["c"], frame.get("err", {}).get("code")
        if "retry_ms" in frame.get("err", {}):
            self.told.append(f"res: {code}")
            return
        outcome = {name: value for name, value in frame.items() if name != "dup"}
        assert self.outcomes.setdefault(c, outcome) == outcome, f"L5: {c} was {self.outcomes[c]} and is now {outcome}"
        assert code not in ("forgotten", "conflict"), frame
        assert frame.get("seq", 0) <= self.seq or self.base, "a result follows the events it caused"
        self.unanswered.pop(c, None)

    def _on_goaway(self, frame: dict[str, Any], payload: bytes) -> None:
        self.goaways += 1

    def _on_note(self, frame: dict[str, Any], payload: bytes) -> None:
        if frame["kind"] == "degraded":
            self.told.append("note: degraded")

    def _on_ping(self, frame: dict[str, Any], payload: bytes) -> None:
        """Nothing to do."""

    _on_error = _on_ping
