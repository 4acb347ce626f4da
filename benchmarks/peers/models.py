"""P2, the Python peers: one more model of a machine of six states and twelve events."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.heap import Cost, cost
from benchmarks.worker import serve_async

COUNT = 500
STATES = ("s0", "s1", "s2", "s3", "s4", "ended")
ROWS = (
    *(("e0", "s0", "s1"), ("e1", "s0", "s2"), ("e6", "s0", "s1"), ("e1", "s1", "s2"), ("e2", "s1", "s3")),
    *(("e7", "s1", "s2"), ("e2", "s2", "s3"), ("e3", "s2", "s4"), ("e8", "s2", "s3"), ("e3", "s3", "s4")),
    *(("e4", "s3", "s0"), ("e9", "s3", "s4"), ("e4", "s4", "s0"), ("e5", "s4", "s1"), ("e10", "s4", "s0")),
    *(("terminate", name, "ended") for name in STATES[:-1]),
)


async def transitions() -> Cost:
    from transitions.extensions.asyncio import AsyncMachine

    class Model:
        pass

    rows: list[Any] = [list(row) for row in ROWS]
    machine = AsyncMachine(None, states=list(STATES), transitions=rows, initial="s0", auto_transitions=False)

    def add() -> Any:
        model = Model()
        machine.add_model(model)
        return model

    return await cost(add, COUNT)


async def statemachine() -> Cost:
    from statemachine import State, StateMachine

    states = {name: State(initial=name == "s0", final=name == "ended") for name in STATES}
    events: dict[str, Any] = {}
    for event, source, target in ROWS:
        row = states[source].to(states[target])
        events[event] = events[event] | row if event in events else row
    six = type("Six", (StateMachine,), {**states, **events})
    return await cost(six, COUNT)


SIDES: dict[str, tuple[Callable[[], Awaitable[Cost]], str]] = {
    "transitions": (transitions, "transitions"),
    "statemachine": (statemachine, "python-statemachine"),
}


async def main(name: str) -> None:
    make, distribution = SIDES[name]

    async def play() -> dict[str, float]:
        return (await make()).plain()

    await serve_async(play, distribution)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
