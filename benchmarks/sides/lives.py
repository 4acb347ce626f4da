"""P6 and P7: sessions of the shipped lifecycle file with AutoGen agents, from their creation to a verified end."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

from autogen_core import SingleThreadedAgentRuntime, TopicId, TypeSubscription

from benchmarks.lives.relay import HANDS, HOSTILE, RELAY, STUBBORN, Hand, Passed
from benchmarks.scenario import ROOT
from benchmarks.worker import serve_async
from engine.journal.base import Journal
from engine.journal.memory import MemoryJournal
from engine.journal.sqlite import SqliteJournal
from engine.loader import load_spec
from engine.machine import compile_machines
from engine.registry import Registry
from engine.session import Session
from engine.sessions import SessionManager
from server.cli import YOUNG_OBJECTS_MAX
from server.config import HANDLER_MODULES

TOGETHER: Final = 20  # lives at the same time
SESSIONS: Final = 1000
EVERY_FIFTH: Final = 5  # is hostile
WAIT_S: Final = 120.0
CREATE_AT_ONCE: Final = 50


def manager_of(journal: Journal, workspaces: Path | None) -> SessionManager:
    registry = Registry.of(*HANDLER_MODULES)
    machines = compile_machines(load_spec(ROOT / "lifecycle.yaml", registry), registry)
    services = {"teams": {"relay": RELAY, "stubborn": STUBBORN}, "workspace_root": workspaces}
    return SessionManager(machines, journal, services=services)


async def told(session: Session, holds: Callable[[], bool]) -> None:
    """Until it holds, looked at whenever the session has told something."""
    changed = asyncio.Event()
    stop = session.log.watch(changed.set)
    async with asyncio.timeout(WAIT_S):
        while not holds():
            changed.clear()
            await changed.wait()
    stop()


async def round_over(session: Session) -> None:
    """As a connection reads: what is new, whenever there is something."""
    changed, seq = asyncio.Event(), 0
    stop = session.log.watch(changed.set)
    while True:
        for number, text in await session.log.read(seq, 1000):
            seq = number
            if json.loads(text)["kind"] == "agent.message":
                stop()
                return
        changed.clear()
        await changed.wait()


async def life(manager: SessionManager, number: int) -> None:
    """Created, active, one round of three agents, terminated, and the report looked at."""
    session = await manager.create(user=f"u{number % 10}", data={"team": "relay"})
    attachment = session.attach("control")
    await round_over(session)
    assert (await manager.send(session.sid, name="terminate")).ok
    await session.ended
    attachment.detach()
    assert session.state == "terminated"
    assert session.report is not None
    assert session.report["ok"]


class BareSeat:
    """What a Hand needs, without a session behind it."""

    def __init__(self, sid: str, name: str, over: asyncio.Event) -> None:
        self.sid = sid
        self.name = name
        self.options = None
        self._over = over

    def topic(self, name: str) -> str:
        return f"{self.sid}-{name}"

    def emit(self, kind: str, data: Any) -> None:
        self._over.set()


async def bare_life(number: int) -> None:
    """The same agents and messages on autogen-core alone."""
    sid, over, runtime = f"s{number}", asyncio.Event(), SingleThreadedAgentRuntime()
    for name in HANDS:
        seat = BareSeat(sid, name, over)
        await Hand.register(runtime, name, lambda seat=seat: Hand(seat))  # type: ignore[misc]
        await runtime.add_subscription(TypeSubscription(seat.topic(name), name))
    runtime.start()
    await runtime.publish_message(Passed(text="a round"), TopicId(f"{sid}-{HANDS[0]}", sid))
    await over.wait()
    await runtime.stop_when_idle()
    await runtime.close()


async def of_lives(one: Callable[[int], Any], *, count: int) -> dict[str, float]:
    began, cpu = perf_counter(), process_time()
    await asyncio.gather(*(one(number) for number in range(count)))
    return {"life_s": (perf_counter() - began) / count, "cpu_s": (process_time() - cpu) / count}


async def lives(name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        journal: Journal = MemoryJournal() if name == "memory" else SqliteJournal(Path(place) / "log.sqlite")
        manager = manager_of(journal, Path(place) / "workspaces")
        await manager.start()

        async def one(number: int) -> None:
            await (bare_life(number) if name == "bare" else life(manager, number))

        async def play() -> dict[str, float]:
            alone = await of_lives(one, count=1)
            return {**await of_lives(one, count=TOGETHER), "alone_s": alone["life_s"]}

        await play()  # so that everything is imported and warm
        await serve_async(play, "session-steward", "autogen-core", "pydantic", "apsw")
        await manager.shutdown(1)


def way_of(number: int, *, only_hostile: bool) -> str:
    if only_hostile or number % EVERY_FIFTH == 0:
        return HOSTILE[(number if only_hostile else number // EVERY_FIFTH) % len(HOSTILE)]
    return "well"


async def torn_down(count: int, *, only_hostile: bool) -> dict[str, float]:
    """Sessions that are up and at it, all asked to end at once."""
    manager = manager_of(MemoryJournal(), None)
    tasks = asyncio.all_tasks()
    await manager.start()
    gate = asyncio.Semaphore(CREATE_AT_ONCE)

    async def up(number: int) -> Session:
        way = way_of(number, only_hostile=only_hostile)
        async with gate:
            data = {"team": "stubborn", "options": {"way": way}}
            session = await manager.create(user=f"u{number % 10}", data=data)
            session.attach("control")
            wanted = "ready" if way == "well" else "busy"
            await told(session, lambda: any(view.state == wanted for view in session.tree() if view.kind == "agent"))
        return session

    sessions = await asyncio.gather(*(up(number) for number in range(count)))
    began, cpu = perf_counter(), process_time()
    await asyncio.gather(*(manager.send(session.sid, name="terminate") for session in sessions))
    await asyncio.gather(*(session.ended for session in sessions))
    seconds, cpu_s = perf_counter() - began, process_time() - cpu
    leaks = sum(session.state != "terminated" or not (session.report or {}).get("ok") for session in sessions)
    await manager.shutdown(10)
    return {"all_s": seconds, "cpu_s": cpu_s, "leaks": leaks + len(asyncio.all_tasks() - tasks), "sessions": count}


async def tear_down(name: str) -> None:
    async def play() -> dict[str, float]:
        if name == "longest":
            return await torn_down(len(HOSTILE), only_hostile=True)
        return await torn_down(SESSIONS, only_hostile=False)

    await serve_async(play, "session-steward", "autogen-core")


if __name__ == "__main__":
    gc.set_threshold(YOUNG_OBJECTS_MAX)  # as a server does; for the reference too
    logging.disable(logging.CRITICAL)  # what hostile agents are told of is not what is measured
    sys.unraisablehook = lambda unraisable: None  # they say so once more when they are collected
    name = sys.argv[1]
    asyncio.run(tear_down(name) if name in ("longest", "many") else lives(name))
