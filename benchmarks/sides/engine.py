"""P1, ours and the hand-written loop: one event is a guard and two async callbacks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.lives import machines
from benchmarks.nothing import NoJournal
from benchmarks.pace import per_second
from benchmarks.worker import serve_async
from engine.machine import LifecycleMachine
from engine.records import ROOT, Event, Outcome
from engine.sessions import SessionManager

Many = Callable[[int], Awaitable[None]]


async def callback(*args: Any) -> None:
    """Nothing: what is measured is the way to it."""


def is_open(*args: Any) -> bool:
    return True


async def hand_written() -> Many:
    """What one would write by hand for exactly this and nothing else."""
    table = {("a", "go"): (is_open, (callback, callback), "b"), ("b", "go"): (is_open, (callback, callback), "a")}
    state = "a"

    async def many(count: int) -> None:
        nonlocal state
        for _ in range(count):
            guard, callbacks, target = table[state, "go"]
            if guard():
                for one in callbacks:
                    await one()
                state = target

    return many


class Model:
    state: str
    go: Callable[[], Awaitable[bool]]


async def machine() -> Many:
    """LifecycleMachine as any user of transitions drives one."""
    model = Model()
    rows = [
        {"trigger": "go", "source": source, "dest": target, "conditions": is_open, "before": [callback, callback]}
        for source, target in (("a", "b"), ("b", "a"))
    ]
    LifecycleMachine(model, states=["a", "b"], transitions=rows, initial="a")

    async def many(count: int) -> None:
        for _ in range(count):
            await model.go()

    return many


async def actor() -> Many:
    """A live actor of a session, through its mailbox, with its outcome; the journal keeps nothing."""
    manager = SessionManager(machines("engine"), NoJournal())
    await manager.start()
    root = (await manager.create()).root
    assert root is not None
    assert root.path == ROOT
    loop = asyncio.get_running_loop()

    async def many(count: int) -> None:
        for _ in range(count):
            waiter: asyncio.Future[Outcome] = loop.create_future()
            root.post(Event("go", origin="client"), waiter)
            assert (await waiter).ok

    return many


SIDES: dict[str, Callable[[], Awaitable[Many]]] = {"hand": hand_written, "machine": machine, "actor": actor}


async def main(name: str) -> None:
    many = await SIDES[name]()

    async def play() -> dict[str, float]:
        return {"events_s": await per_second(many)}

    await serve_async(play, "session-steward", "transitions")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
