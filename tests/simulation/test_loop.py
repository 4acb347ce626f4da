"""The loop that histories live on: what asyncio promises holds, and what it does not promise is drawn."""

from __future__ import annotations

import asyncio
import random

from engine.simulation.loop import SimulatedLoop


def order_of(seed: int) -> list[int]:
    """In which order five tasks that can all go on do so."""
    loop = SimulatedLoop(random.Random(seed).random)
    found: list[int] = []

    async def note(number: int) -> None:
        await asyncio.sleep(0)
        found.append(number)

    for number in range(5):
        loop.create_task(note(number))
    assert loop.run(0.0)
    return found


def test_tasks_take_turns_as_the_seed_says() -> None:
    """asyncio promises no order among tasks, and nothing may lean on one."""
    assert order_of(1) == order_of(1)
    assert sorted(order_of(1)) == [0, 1, 2, 3, 4]
    assert len({tuple(order_of(seed)) for seed in range(20)}) > 10


def test_callbacks_keep_their_order() -> None:
    """asyncio promises that, and the engine leans on it."""
    loop = SimulatedLoop(random.Random(1).random)
    found: list[int] = []
    for number in range(10):
        loop.call_soon(found.append, number)
    loop.run(0.0)
    assert found == list(range(10))


def test_time_jumps_to_what_is_due_and_no_further() -> None:
    loop = SimulatedLoop()
    found: list[float] = []
    for seconds in (3600.0, 1.0, 10.0):
        loop.call_later(seconds, lambda: found.append(loop.time()))
    loop.call_later(2.0, found.append, -1.0).cancel()
    assert loop.run(100.0)
    assert (found, loop.time()) == ([1.0, 10.0], 100.0)


def test_a_run_ends_at_any_turn() -> None:
    """A process can so die between any two of its callbacks."""
    loop = SimulatedLoop()
    found: list[int] = []
    for number in range(5):
        loop.call_soon(found.append, number)
    assert not loop.run(0.0, 3)
    assert found == [0, 1, 2]


def test_nothing_goes_on_after_a_kill() -> None:
    """What is unwound may run, and reaches nobody; what it starts is never begun."""
    loop = SimulatedLoop()
    found: list[str] = []

    async def cling() -> None:
        try:
            await asyncio.sleep(10)  # hangs on purpose
        finally:
            found.append("unwound")
            asyncio.get_running_loop().create_task(cling())
            await asyncio.sleep(0)

    loop.create_task(cling())
    loop.run(1.0)
    loop.kill()
    loop.run(100.0)
    assert found == ["unwound"]
    assert loop.errors == []


def test_work_for_a_thread_is_done_at_once() -> None:
    loop = SimulatedLoop()

    async def work() -> int:
        return await asyncio.to_thread(sum, (1, 2))

    task = loop.create_task(work())
    loop.run(0.0)
    assert task.result() == 3


def test_an_error_of_a_callback_is_kept() -> None:
    loop = SimulatedLoop()
    loop.call_soon(lambda: 1 / 0)
    loop.run(0.0)
    assert isinstance(loop.errors[0]["exception"], ZeroDivisionError)
