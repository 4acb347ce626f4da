"""P1, the Python peers: one event is a guard and two async callbacks, where the library has async callbacks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.pace import per_second
from benchmarks.worker import serve_async

Many = Callable[[int], Awaitable[None]]


async def callback(*args: Any, **kwargs: Any) -> None:
    """Nothing: what is measured is the way to it."""


def is_open(*args: Any, **kwargs: Any) -> bool:
    return True


async def transitions() -> Many:
    from transitions.extensions.asyncio import AsyncMachine

    class Model:
        pass

    model: Any = Model()
    rows = [
        {"trigger": "go", "source": source, "dest": target, "conditions": is_open, "before": [callback, callback]}
        for source, target in (("a", "b"), ("b", "a"))
    ]
    AsyncMachine(model, states=["a", "b"], transitions=rows, initial="a", auto_transitions=False)

    async def many(count: int) -> None:
        for _ in range(count):
            await model.go()

    return many


async def statemachine() -> Many:
    from statemachine import State, StateMachine

    class Swing(StateMachine):  # type: ignore[misc]
        a = State(initial=True)
        b = State()
        go = a.to(b, cond="is_open", on=["first", "second"]) | b.to(a, cond="is_open", on=["first", "second"])

        def is_open(self) -> bool:
            return True

        async def first(self) -> None: ...

        async def second(self) -> None: ...

    swing = Swing()
    await swing.activate_initial_state()

    async def many(count: int) -> None:
        for _ in range(count):
            await swing.go()

    return many


async def sismic() -> Many:
    """It has no async callbacks: two statements of its own stand for them."""
    from sismic.interpreter import Interpreter
    from sismic.io import import_from_yaml

    one = "{{event: go, guard: 'True', target: {}, action: \"n = n + 1\\nn = n + 1\"}}"
    chart = import_from_yaml(
        "statechart: {name: swing, preamble: 'n = 0', root state: {name: root, initial: a, states: ["
        f"{{name: a, transitions: [{one.format('b')}]}}, {{name: b, transitions: [{one.format('a')}]}}]}}}}"
    )
    interpreter = Interpreter(chart)
    interpreter.execute()

    async def many(count: int) -> None:
        for _ in range(count):
            interpreter.queue("go").execute_once()

    return many


async def xstate() -> Many:
    from xstate_statemachine import Interpreter, MachineLogic, create_machine

    def to(target: str) -> dict[str, Any]:
        return {"on": {"GO": {"target": target, "guard": "is_open", "actions": ["first", "second"]}}}

    chart = {"id": "swing", "initial": "a", "states": {"a": to("b"), "b": to("a")}}
    logic = MachineLogic(actions={"first": callback, "second": callback}, guards={"is_open": is_open})
    interpreter = await Interpreter(create_machine(chart, logic=logic)).start()

    async def many(count: int) -> None:
        for _ in range(count):
            await interpreter.send("GO", wait=True)

    return many


# Each with the name of its distribution, for its version.
SIDES: dict[str, tuple[Callable[[], Awaitable[Many]], str]] = {
    "transitions": (transitions, "transitions"),
    "statemachine": (statemachine, "python-statemachine"),
    "sismic": (sismic, "sismic"),
    "xstate": (xstate, "xstate-statemachine"),
}


async def main(name: str) -> None:
    make, distribution = SIDES[name]
    many = await make()

    async def play() -> dict[str, float]:
        return {"events_s": await per_second(many)}

    await serve_async(play, distribution)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
