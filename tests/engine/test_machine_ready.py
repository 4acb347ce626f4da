"""The straight way of a machine is gone only where it is the same, and what is changed later counts."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest
from transitions.extensions.asyncio import AsyncMachine

from engine.machine import LifecycleMachine
from engine.testing.virtual import in_virtual_time


class Model:
    state: str
    go: Any
    back: Any
    slow: Any

    def __init__(self) -> None:
        self.told: list[str] = []

    async def tell(self) -> None:
        self.told.append(self.state)

    def lie(self) -> None:
        return asyncio.sleep(1, self.told.append("awaited"))  # type: ignore[return-value]


async def two_states(model: Model, **kwargs: Any) -> LifecycleMachine:
    """A machine whose rows are ready: it has been to b and back."""
    machine = LifecycleMachine(
        model, ["a", "b"], "a", [["go", "a", "b"], ["back", "b", "a"]], **{"send_event": False, **kwargs}
    )
    assert await model.go()
    assert await model.back()
    return machine


def is_ready(machine: AsyncMachine, event: str, state: str) -> bool:
    return machine.events[event].ready[state] is not None


def transition(machine: AsyncMachine) -> Any:
    return machine.events["go"].transitions["a"][0]


CHANGES: dict[str, Callable[[LifecycleMachine, Any], Any]] = {
    "add_callback": lambda machine, tell: transition(machine).add_callback("before", tell),
    "in place": lambda machine, tell: transition(machine).after.append(tell),
    "another list": lambda machine, tell: setattr(transition(machine), "prepare", [tell]),
    "of a state": lambda machine, tell: machine.on_enter_b(tell),
    "of a state, in place": lambda machine, tell: machine.states["a"].on_exit.append(tell),
    "of an event": lambda machine, tell: machine.before_go(tell),
    "of the machine": lambda machine, tell: setattr(machine, "before_state_change", tell),
    "of the machine, in place": lambda machine, tell: machine.after_state_change.append(tell),
    "finalize": lambda machine, tell: setattr(machine, "finalize_event", [tell]),
    "a row before": lambda machine, tell: (
        machine.remove_transition("go"),
        machine.add_transition("go", "a", "b", after=tell),
        machine.models[0].__dict__.update(go=lambda: machine.events["go"].trigger(machine.models[0])),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@in_virtual_time
async def test_a_callback_that_comes_later_is_called(change: str) -> None:
    """The table is one of the machine as it is."""
    model = Model()
    machine = await two_states(model)
    assert is_ready(machine, "go", "a")
    CHANGES[change](machine, model.tell)
    assert await model.go()
    assert len(model.told) == 1


@in_virtual_time
async def test_a_condition_that_comes_later_is_asked() -> None:
    """M1: and one more transition may be taken then."""
    model = Model()
    machine = await two_states(model)
    transition(machine).conditions.append(AsyncMachine.transition_cls.condition_cls(lambda: False))
    assert not await model.go()
    machine.add_transition("go", "a", "a", before=model.tell)
    assert await model.go()
    assert model.told == ["a"]


@pytest.mark.parametrize(
    "option", [{"send_event": True}, {"queued": True}, {"on_exception": ["tell"]}, {"finalize_event": ["tell"]}]
)
@in_virtual_time
async def test_what_only_the_library_does_goes_its_way(option: dict[str, Any]) -> None:
    """And so does a callback named by a string, which is another function in each model."""
    machine = await two_states(Model(), **option) if "send_event" not in option else None
    if machine is None:
        machine = LifecycleMachine(Model(), ["a", "b"], "a", [["go", "a", "b"]], **option)
        assert await machine.models[0].go()
    assert not is_ready(machine, "go", "a")


@in_virtual_time
async def test_a_straight_trigger_waits_for_one_that_is_under_way() -> None:
    """M1: one transition of a model at a time."""
    model = Model()

    async def slowly() -> None:
        await asyncio.sleep(5)

    machine = await two_states(model)
    machine.add_transition("slow", "a", "b", before=slowly)
    first = asyncio.create_task(model.slow())
    await asyncio.sleep(1)
    assert await model.back()
    assert first.done()
    assert model.state == "a"
    assert is_ready(machine, "back", "b")


@in_virtual_time
async def test_a_plain_callback_that_says_it_returns_nothing_is_awaited_all_the_same() -> None:
    """As in the stock class, whatever its annotation says."""
    model = Model()
    machine = await two_states(model)
    machine.on_enter_b(model.lie)
    assert await model.go()
    assert model.told == ["awaited"]
    assert asyncio.get_running_loop().time() >= 1


@pytest.mark.parametrize("answer", [1, 1.0, "yes", None, [], NotImplemented])
@in_virtual_time
async def test_a_guard_that_answers_no_bool_is_taken_as_the_library_takes_it(answer: Any) -> None:
    """Which asks whether the answer equals True; alone, and among others."""

    def odd() -> bool:
        return answer  # type: ignore[no-any-return]

    async def taken(cls: type[AsyncMachine], conditions: list[Any]) -> bool:
        machine = cls(
            Model(), ["a", "b"], "a", [{"trigger": "go", "source": "a", "dest": "b", "conditions": conditions}]
        )
        assert cls is AsyncMachine or (machine.events["go"]._make_ready("a") is not None)
        return bool(await machine.models[0].go())

    for conditions in ([odd], [odd, odd]):
        assert await taken(LifecycleMachine, conditions) == await taken(AsyncMachine, conditions)


@in_virtual_time
async def test_a_copy_of_a_machine_has_rows_of_its_own() -> None:
    """As with the stock class; a change of one is none of the other, whenever it comes."""
    machine = await two_states(Model())
    copied = copy.deepcopy(machine)
    copied.on_enter_b(copied.models[0].tell)
    assert await copied.models[0].go()
    assert await copied.models[0].back()
    copied.on_exit_a(copied.models[0].tell)
    assert await copied.models[0].go()
    assert copied.models[0].told == ["b", "a", "b"]
    assert machine.models[0].state == "a"
    assert await machine.models[0].go()
    assert machine.models[0].told == []
