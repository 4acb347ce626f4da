"""LifecycleMachine is a real AsyncMachine: the library's own ways of using one work, and its traps are gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import small_handlers
from transitions import MachineError
from transitions.extensions import GraphMachine
from transitions.extensions.asyncio import AsyncMachine
from transitions.extensions.markup import MarkupMachine

from engine import turns
from engine.loader import load_spec, parse_spec
from engine.machine import LifecycleMachine, compile_machines
from engine.registry import Registry
from engine.testing.virtual import in_virtual_time

SMALL = Path(__file__).parent / "files" / "small.yaml"


class Markup(MarkupMachine, LifecycleMachine):
    """What the library's users do to get a machine as data."""


class Graph(GraphMachine, LifecycleMachine):
    """What the library's users do to get a diagram."""


class Model:
    """A plain object with a life; `told` is what its callbacks saw, in order."""

    state: str

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data: dict[str, Any] = {}

    def tell(self, what: str) -> Any:
        def callback(*args: Any, **kwargs: Any) -> None:
            self.told.append(what)

        return callback

    def tell_later(self, what: str, seconds: float) -> Any:
        async def callback(*args: Any, **kwargs: Any) -> None:
            await asyncio.sleep(seconds)
            self.told.append(what)

        return callback

    def answer(self, what: str, value: bool) -> Any:
        def guard(*args: Any, **kwargs: Any) -> bool:
            self.told.append(what)
            return value

        return guard


def fail(*args: Any, **kwargs: Any) -> None:
    raise ValueError("on purpose")


def two_states(model: Model, **transition: Any) -> LifecycleMachine:
    return LifecycleMachine(
        model=model,
        states=["a", "b"],
        initial="a",
        transitions=[{"trigger": "go", "source": "a", "dest": "b", **transition}],
    )


@pytest.fixture(scope="module")
def machines() -> dict[str, LifecycleMachine]:
    registry = Registry.of(small_handlers)
    return compile_machines(load_spec(SMALL, registry), registry)


# The library's own ways


@in_virtual_time
async def test_the_stock_constructor_and_triggers_work() -> None:
    """A brief that asks for AsyncMachine gets one: positional arguments, lists, `model` and `trigger()` included."""
    model = Model()
    machine = LifecycleMachine(model, ["a", "b"], "a", [["go", "a", "b"], ["back", "b", "a"]])
    assert isinstance(machine, AsyncMachine)
    assert await model.go()
    assert await model.trigger("back")
    assert model.state == "a"
    assert model.is_a()
    assert machine.get_triggers("a") == ["go"]
    assert await model.may_go()
    assert not await model.may_back()
    assert not await model.may_trigger("nonsense")


@in_virtual_time
async def test_the_machine_can_be_its_own_model() -> None:
    """The stock default."""
    machine = LifecycleMachine(states=["a", "b"], initial="a", transitions=[["go", "a", "b"]])
    assert await machine.go()
    assert machine.state == "b"


@in_virtual_time
async def test_an_object_that_was_never_added_can_be_driven() -> None:
    """How the one shared machine of a kind serves thousands of actors without being told of them."""
    machine = LifecycleMachine(model=None, states=["a", "b"], initial="a", transitions=[["go", "a", "b"]])
    model = Model()
    model.state = "a"
    assert await machine.events["go"].trigger(model)
    assert model.state == "b"
    assert machine.models == []


@in_virtual_time
async def test_dispatch_triggers_all_models() -> None:
    """A stock feature that goes through await_all, which is ours."""
    models = [Model(), Model()]
    machine = LifecycleMachine(models, ["a", "b"], "a", [["go", "a", "b"]])
    assert await machine.dispatch("go")
    assert [model.state for model in models] == ["b", "b"]


@in_virtual_time
async def test_a_removed_model_can_be_added_again() -> None:
    """add_model and remove_model are the library's."""
    model = Model()
    machine = two_states(model)
    await model.go()
    machine.remove_model(model)
    del model.go, model.may_go, model.trigger, model.may_trigger, model.is_a, model.is_b
    machine.add_model(model, initial="a")
    assert await model.go()


@in_virtual_time
async def test_conditions_unless_prepare_before_after_and_final_callbacks_work() -> None:
    """The whole order of the library's documentation."""
    model = Model()
    machine = LifecycleMachine(
        model,
        [
            {"name": "a", "on_exit": model.tell("exit a")},
            {"name": "b", "on_enter": model.tell("enter b"), "final": True},
        ],
        "a",
        [
            {
                "trigger": "go",
                "source": "a",
                "dest": "b",
                "prepare": model.tell("prepare"),
                "conditions": model.answer("condition", True),
                "unless": model.answer("unless", False),
                "before": model.tell("before"),
                "after": model.tell("after"),
            }
        ],
        prepare_event=model.tell("prepare_event"),
        before_state_change=model.tell("before_state_change"),
        after_state_change=model.tell("after_state_change"),
        finalize_event=model.tell("finalize_event"),
        on_final=model.tell("on_final"),
    )
    assert machine.states["b"].final
    assert await model.go()
    assert model.told == [
        "prepare_event",
        "prepare",
        "condition",
        "unless",
        "before_state_change",
        "before",
        "exit a",
        "enter b",
        "on_final",
        "after",
        "after_state_change",
        "finalize_event",
    ]


@in_virtual_time
async def test_on_exception_is_called_instead_of_raising() -> None:
    """As in the library."""
    model = Model()
    seen: list[Any] = []
    LifecycleMachine(
        model,
        ["a", "b"],
        "a",
        [{"trigger": "go", "source": "a", "dest": "b", "before": fail}],
        on_exception=lambda data: seen.append(data.error),
        send_event=True,
    )
    assert not await model.go()
    assert [type(error) for error in seen] == [ValueError]


@in_virtual_time
async def test_an_invalid_trigger_is_an_error_unless_ignored() -> None:
    """M1, and the library's ignore_invalid_triggers."""
    strict, lax = Model(), Model()
    LifecycleMachine(strict, ["a", "b"], "a", [["go", "b", "a"]])
    LifecycleMachine(lax, ["a", "b"], "a", [["go", "b", "a"]], ignore_invalid_triggers=True)
    with pytest.raises(MachineError):
        await strict.go()
    assert not await lax.go()


@in_virtual_time
async def test_a_trigger_inside_a_callback_runs_within_its_parent() -> None:
    """As in the stock class; waiting for its turn it would wait for ever."""
    model = Model()

    async def go_on() -> None:
        await model.on()

    LifecycleMachine(
        model, ["a", "b", "c"], "a", [{"trigger": "go", "source": "a", "dest": "b", "after": go_on}, ["on", "b", "c"]]
    )
    assert await model.go()
    assert model.state == "c"


@in_virtual_time
async def test_a_queued_machine_runs_a_trigger_of_a_callback_after_its_parent() -> None:
    """queued=True is the library's; it must not be lost on the way."""
    model = Model()

    async def go_on() -> None:
        assert await model.on()
        model.told.append(model.state)

    LifecycleMachine(
        model,
        ["a", "b", "c"],
        "a",
        [{"trigger": "go", "source": "a", "dest": "b", "after": go_on}, ["on", "b", "c"]],
        queued=True,
    )
    assert await model.go()
    assert model.told == ["b"]
    assert model.state == "c"


# Markup and diagrams


@in_virtual_time
async def test_markup_tells_the_machine_and_makes_it_again() -> None:
    """MarkupMachine's data is how the library stores machines."""
    first = Markup(
        model=None,
        states=["a", "b"],
        initial="a",
        transitions=[{"trigger": "go", "source": "a", "dest": "b", "conditions": "is_ready"}],
    )
    assert first.markup["transitions"] == [{"source": "a", "dest": "b", "trigger": "go", "conditions": ["is_ready"]}]
    again = Markup(markup=first.markup)
    assert list(again.states) == ["a", "b"]
    assert again.get_triggers("a") == ["go"]


def test_markup_of_a_machine_made_of_a_spec_names_guards_and_handlers(machines: Any) -> None:
    """The library's picture says what the file says."""
    markup = Markup.from_plan(machines["session"].plan).markup
    (secret,) = [one for one in markup["transitions"] if one["trigger"] == "secret"]
    assert secret["conditions"] == ["sender_has_role(role: supervisor)"]
    assert secret["before"] == ["remember_nothing"]
    assert {state["name"] for state in markup["states"]} == set(machines["session"].plan.states)
    assert not [one for one in markup["transitions"] if one["trigger"].startswith("to_")]


@in_virtual_time
async def test_a_graph_machine_draws_and_runs() -> None:
    """GraphMachine brings a synchronous transition class of its own; ours has to win."""
    model = Model()
    Graph(
        model,
        states=["a", "b"],
        initial="a",
        transitions=[
            {"trigger": "go", "source": "a", "dest": "b", "label": "off we go", "before": model.tell("before")}
        ],
        graph_engine="mermaid",
    )
    picture = model.get_graph().source
    assert "stateDiagram-v2" in picture
    assert "off we go" in picture
    assert await model.go()
    assert (model.state, model.told) == ("b", ["before"])


def test_a_graph_machine_can_be_made_of_a_spec(machines: Any) -> None:
    """Every state and event of the file is in the library's diagram."""
    graph = Graph.from_plan(machines["session"].plan, graph_engine="mermaid", show_conditions=True)
    model = Model()
    graph.add_model(model)
    picture = model.get_graph().source
    assert all(name in picture for name in machines["session"].plan.states)
    assert "sender_has_role(role: supervisor)" in picture


# Machines made of a spec


def test_every_row_of_a_spec_is_a_transition_of_the_library_and_no_other(machines: Any) -> None:
    """M1: two tables that could differ would be two truths."""
    for machine in machines.values():
        for name, state in machine.plan.states.items():
            for event in {*machine.events, *state.rows}:
                found = machine.get_transitions(event, source=name)
                rows = state.rows.get(event, ())
                assert [one.dest for one in found] == [row.to for row in rows], (name, event)
                guards = [[condition.func.__name__ for condition in one.conditions] for one in found]
                assert guards == [[row.label] if row.label else [] for row in rows]
                assert [[c.__name__ for c in one.before] for one in found] == [[c.name for c in r.do] for r in rows]


def test_states_final_flags_and_the_initial_state_are_the_specs(machines: Any) -> None:
    """M1."""
    for kind, machine in machines.items():
        assert machine.plan.kind == kind
        assert machine.initial == machine.plan.initial
        assert {n: s.final for n, s in machine.states.items()} == {
            n: s.is_final for n, s in machine.plan.states.items()
        }


@in_virtual_time
async def test_a_plain_model_can_live_the_life_of_a_spec(machines: Any) -> None:
    """The library's whole interface on a machine from a file: triggers, guards, refusals."""
    machine = LifecycleMachine.from_plan(machines["session"].plan)
    model = Model()
    machine.add_model(model, initial="active")
    assert await model.slow()
    assert model.state == "pausing"
    with pytest.raises(MachineError):
        await model.slow()
    assert await model.trigger("after 10s")
    assert model.state == "active"
    assert not await model.secret()
    assert not await model.may_secret()


@in_virtual_time
async def test_a_built_in_step_needs_an_actor(machines: Any) -> None:
    """write_off changes the node's books; a plain model has none, and to skip it silently would be a lie."""
    machine = LifecycleMachine.from_plan(machines["session"].plan)
    model = Model()
    machine.add_model(model, initial="error")
    with pytest.raises(MachineError, match="needs an actor"):
        await model.write_off()
    assert model.state == "error"


SPEC_WITH_AN_EVENT_CALLED_STATE = b"""
lifecycle: 1
name: odd
machines:
  session:
    initial: working
    events: {state: {from: [client]}}
    transitions: {failed: ended}
    states:
      working: {transitions: {state: ended}, idle: {1h: ended}}
      ended: {final: true}
"""


def test_an_event_may_be_called_state() -> None:
    """The library refuses a trigger that is named like the model's attribute; the language does not."""
    registry = Registry.of()
    machine = compile_machines(parse_spec(SPEC_WITH_AN_EVENT_CALLED_STATE, registry), registry)["session"]
    assert machine.model_attribute == "current_state"
    assert set(machine.get_triggers("working")) == {"failed", "state", "idle 1h"}


# The traps


@pytest.mark.parametrize("way", ["timeout", "wait_for", "cancel"])
@in_virtual_time
async def test_cancelling_the_caller_is_seen_and_the_transition_goes_on_whole(way: str) -> None:
    """M6. The stock class answers False, and the body runs on beside whatever the caller does next."""
    model = Model()
    two_states(model, before=model.tell_later("before", 5), after=model.tell("after"))

    async def call() -> None:
        if way == "timeout":
            async with asyncio.timeout(1):
                await model.go()
        elif way == "wait_for":
            await asyncio.wait_for(model.go(), 1)
        else:
            await model.go()

    task = asyncio.create_task(call())
    await asyncio.sleep(1)
    if way == "cancel":
        task.cancel()
    with pytest.raises(asyncio.CancelledError if way == "cancel" else TimeoutError):
        await task
    assert (model.state, model.told) == ("a", [])
    await asyncio.sleep(10)
    assert (model.state, model.told) == ("b", ["before", "after"])


@in_virtual_time
async def test_a_cancelled_error_of_a_callback_is_raised() -> None:
    """M6: nothing turns it into False."""
    model = Model()

    async def cancelled() -> None:
        raise asyncio.CancelledError

    two_states(model, before=cancelled)
    with pytest.raises(asyncio.CancelledError):
        await model.go()
    assert model.state == "a"


@in_virtual_time
async def test_a_second_trigger_waits_for_the_first() -> None:
    """M1. The stock class cancels the whole task of the first, in the middle of its clean-up."""
    model = Model()
    LifecycleMachine(
        model,
        ["a", "b", "c"],
        "a",
        [
            {"trigger": "go", "source": "a", "dest": "b", "before": model.tell_later("went", 5)},
            {"trigger": "on", "source": "b", "dest": "c", "before": model.tell("on")},
        ],
    )
    first = asyncio.create_task(model.go())
    await asyncio.sleep(1)
    second = asyncio.create_task(model.on())
    assert await asyncio.gather(first, second) == [True, True]
    assert (model.state, model.told) == ("c", ["went", "on"])


@in_virtual_time
async def test_a_trigger_that_was_cancelled_while_it_waited_does_not_happen() -> None:
    """M6: whole or not at all."""
    model = Model()
    LifecycleMachine(
        model,
        ["a", "b", "c"],
        "a",
        [{"trigger": "go", "source": "a", "dest": "b", "before": model.tell_later("went", 5)}, ["on", "b", "c"]],
    )
    first = asyncio.create_task(model.go())
    await asyncio.sleep(1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(model.on(), 1)
    assert await first
    await asyncio.sleep(10)
    assert model.state == "b"


@in_virtual_time
async def test_two_models_do_not_wait_for_each_other() -> None:
    """C7."""
    slow, fast = Model(), Model()
    LifecycleMachine(
        [slow, fast],
        ["a", "b"],
        "a",
        [{"trigger": "go", "source": "a", "dest": "b", "before": lambda seconds: asyncio.sleep(seconds)}],
    )
    task = asyncio.create_task(slow.go(10))
    await asyncio.sleep(1)
    assert await fast.go(0)
    assert not task.done()
    await task


@in_virtual_time
async def test_what_a_callback_left_running_waits_for_its_turn() -> None:
    """It inherits the callback's context; taken for a part of that transition, it would run into the next one."""
    model = Model()
    left: list[asyncio.Task[Any]] = []

    async def later() -> None:
        await asyncio.sleep(5)
        await model.on()
        model.told.append("on")

    def leave() -> None:
        left.append(asyncio.create_task(later()))

    LifecycleMachine(
        model,
        ["a", "b"],
        "a",
        [
            {"trigger": "go", "source": "a", "dest": "b", "before": leave},
            {"trigger": "stay", "source": "b", "dest": None, "before": model.tell_later("stayed", 10)},
            ["on", "b", "a"],
        ],
    )
    await model.go()
    await model.stay()
    await left[0]
    assert model.told == ["stayed", "on"]


@in_virtual_time
async def test_turns_leave_nothing_behind() -> None:
    """C3: a process that lives for months."""
    model = Model()
    two_states(model)
    await model.go()
    await asyncio.sleep(0)
    assert turns.TAKEN == {}
    assert turns._running == set()


@in_virtual_time
async def test_the_error_of_a_transition_nobody_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Its caller was cancelled and hears nothing; the operator does."""
    model = Model()

    async def fail_later() -> None:
        await asyncio.sleep(5)
        raise ValueError("on purpose")

    two_states(model, before=fail_later)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(model.go(), 1)
    await asyncio.sleep(10)
    assert "after its caller was cancelled" in caplog.text


@in_virtual_time
async def test_guards_stop_at_the_first_false() -> None:
    """A guard may rely on the ones before it; the stock class asks all of them, at once."""
    model = Model()
    two_states(model, conditions=[model.answer("1", True), model.answer("2", False), fail])
    assert not await model.go()
    assert model.told == ["1", "2"]


@in_virtual_time
async def test_may_stops_at_the_first_false_too() -> None:
    """Else asking whether would raise where doing it does not."""
    model = Model()
    two_states(model, conditions=[model.answer("1", False), fail])
    assert not await model.may_go()
    assert model.told == ["1"]


@in_virtual_time
async def test_callbacks_run_in_order_one_after_another() -> None:
    """The stock class starts them all together."""
    model = Model()
    two_states(model, before=[model.tell_later("slow", 5), model.tell("fast")])
    await model.go()
    assert model.told == ["slow", "fast"]


@in_virtual_time
async def test_a_callback_that_fails_stops_the_ones_behind_it() -> None:
    """M3."""
    model = Model()
    two_states(model, before=[fail, model.tell("never")])
    with pytest.raises(ValueError, match="on purpose"):
        await model.go()
    assert (model.state, model.told) == ("a", [])


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
@in_virtual_time
async def test_an_error_in_on_enter_leaves_the_source_state(error: type[BaseException]) -> None:
    """M3: never half a transition."""
    model = Model()

    def enter() -> None:
        raise error

    LifecycleMachine(model, ["a", {"name": "b", "on_enter": enter}], "a", [["go", "a", "b"]])
    with pytest.raises(error):
        await model.go()
    assert model.state == "a"


@in_virtual_time
async def test_a_whole_transition_inside_on_enter_stays_if_on_enter_fails_after_it() -> None:
    """M3: it was whole; to undo it would make up a transition that nothing declares."""
    model = Model()

    async def enter() -> None:
        await model.on()
        raise ValueError("on purpose")

    LifecycleMachine(model, ["a", {"name": "b", "on_enter": enter}, "c"], "a", [["go", "a", "b"], ["on", "b", "c"]])
    with pytest.raises(ValueError, match="on purpose"):
        await model.go()
    assert model.state == "c"


@in_virtual_time
async def test_errors_of_finalize_event_are_raised() -> None:
    """The stock class logs them and says all was well."""
    model = Model()
    LifecycleMachine(model, ["a", "b"], "a", [["go", "a", "b"]], finalize_event=fail)
    with pytest.raises(ValueError, match="on purpose"):
        await model.go()


@pytest.mark.parametrize("source, dest", [("x", "a"), ("a", "x"), (["a", "x"], "b"), ("=", "a"), ("a", "*")])
def test_unknown_sources_and_targets_are_refused(source: Any, dest: str) -> None:
    """M1: the stock class finds out when the transition is taken."""
    with pytest.raises(ValueError, match="is no state"):
        LifecycleMachine(None, ["a", "b"], "a", [["go", source, dest]])


def test_wildcards_and_internal_transitions_are_accepted() -> None:
    """They are the library's."""
    machine = LifecycleMachine(None, ["a", "b"], "a", [["go", "*", "b"], ["again", "*", "="], ["stay", "a", None]])
    assert len(machine.get_transitions("go")) == 2
    assert len(machine.get_transitions("again")) == 2
    assert machine.get_transitions("stay")[0].dest is None


@pytest.mark.parametrize("cls", [LifecycleMachine, Markup])
def test_no_short_cut_passes_the_table(cls: type[LifecycleMachine]) -> None:
    """M1: `to_<state>()` would be a transition that nothing declares; MarkupMachine asks for them unasked."""
    model = Model()
    machine = cls(model, ["a", "b"], "a", [["go", "a", "b"]], auto_transitions=True)
    assert list(machine.events) == ["go"]
    assert not hasattr(model, "to_b")
