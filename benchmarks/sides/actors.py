"""P2, ours and the floor: what one more actor of a machine of six states and twelve events takes."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable

from benchmarks.heap import Cost, cost, cost_of_many
from benchmarks.lives import machines
from benchmarks.nothing import NoJournal
from benchmarks.worker import serve_async
from engine.actor import Actor
from engine.log.state import ActorImage
from engine.session import Session
from engine.sessions import SessionManager
from server.cli import YOUNG_OBJECTS_MAX

COUNT = 2000


class Slots:
    """The least that could be called an actor: which machine, which state, whose it is."""

    __slots__ = ("data", "machine", "state", "whose")

    def __init__(self, machine: object, state: str, whose: object) -> None:
        self.machine = machine
        self.state = state
        self.whose = whose
        self.data = None


async def slots() -> Cost:
    return await cost(lambda: Slots(cost, "s0", cost), COUNT)


async def actor() -> Cost:
    """One more Actor of a session that is up, as it comes back from the log: mailbox, books and all."""
    manager = SessionManager(machines("six"), NoJournal())
    await manager.start()
    session = await manager.create()
    plan = manager.plans["session"]
    try:
        return await cost(lambda: Actor(session, plan, None, ActorImage("/", "session", "s0", None)), COUNT)
    finally:
        await manager.shutdown(1)


async def session() -> Cost:
    """One more session with its root actor, created through the manager: log, intake, directory and all."""
    manager = SessionManager(machines("six"), NoJournal())
    await manager.start()
    try:
        return await cost_of_many(lambda: _sessions(manager), COUNT)
    finally:
        await manager.shutdown(5)


async def _sessions(manager: SessionManager) -> list[Session]:
    return [await manager.create() for _ in range(COUNT)]


SIDES: dict[str, Callable[[], Awaitable[Cost]]] = {"slots": slots, "actor": actor, "session": session}


async def main(name: str) -> None:
    gc.set_threshold(YOUNG_OBJECTS_MAX)  # as a server does

    async def play() -> dict[str, float]:
        return (await SIDES[name]()).plain()

    await serve_async(play, "session-steward")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
