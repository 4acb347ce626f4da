"""Where the stock AsyncMachine does what it says, LifecycleMachine does the same: checked on random machines.

Left out are the differences the module names: guards behind a False one, a failing on_enter, a failing finalize_event,
auto transitions and overlapping triggers. Where no callback can suspend, LifecycleMachine has a way of its own; it is
also compared with its other way, those differences included.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from transitions.extensions.asyncio import AsyncMachine

from engine.machine import LifecycleMachine
from engine.testing.virtual import run_virtual

STATES = ("a", "b", "c", "d")
EVENTS = ("go", "back", "jump")
CALLBACKS = ("plain", "straight", "slow", "fails")
STRAIGHT = ("plain", "straight", "fails")

callbacks = st.lists(st.sampled_from(CALLBACKS), max_size=3)
quiet = st.lists(st.sampled_from(("plain", "straight", "slow")), max_size=2)
straight = st.lists(st.sampled_from(STRAIGHT), max_size=3)


def guards() -> st.SearchStrategy[list[bool | str]]:
    """Only the last may be False or fail: the stock class asks those behind a False one as well."""
    last: st.SearchStrategy[list[bool | str]] = st.sampled_from([[], [True], [False], ["fails"]])
    return st.tuples(st.lists(st.just(True), max_size=2), last).map(lambda parts: [*parts[0], *parts[1]])


def unless(given: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """For the same reason only behind conditions that all hold."""
    lists = st.sampled_from([[], [False], [True], [False, True]])
    return lists.map(
        lambda asked: {**given, "unless": asked if all(one is True for one in given["conditions"]) else []}
    )


transitions = st.fixed_dictionaries(
    {
        "trigger": st.sampled_from(EVENTS),
        "source": st.sampled_from([*STATES, "*"]),
        "dest": st.sampled_from([*STATES, "=", None]),
        "conditions": guards(),
        "prepare": quiet,
        "before": callbacks,
        "after": callbacks,
    }
).flatmap(unless)
machines = st.fixed_dictionaries(
    {
        "transitions": st.lists(transitions, min_size=1, max_size=8),
        "on_exit": st.dictionaries(st.sampled_from(STATES), callbacks),
        "on_enter": st.dictionaries(st.sampled_from(STATES), quiet),
        "machine": st.fixed_dictionaries(
            {
                "prepare_event": callbacks,
                "before_state_change": callbacks,
                "after_state_change": callbacks,
                "finalize_event": quiet,
                "on_exception": quiet,
                "on_final": quiet,
            }
        ),
        "final": st.sets(st.sampled_from(STATES)),
        "ignore_invalid_triggers": st.booleans(),
        "send_event": st.booleans(),
        "queued": st.just(False),
    }
)


class Model:
    state: str


class Life:
    """One machine made of a description, and everything it tells while it is driven."""

    def __init__(self, cls: type[AsyncMachine], spec: dict[str, Any]) -> None:
        self.told: list[Any] = []
        self.shows_args = not spec["send_event"]
        self.model = Model()
        self.machine = cls(
            self.model,
            states=[
                {
                    "name": name,
                    "final": name in spec["final"],
                    "on_enter": self.callbacks(f"enter {name}", spec["on_enter"].get(name, [])),
                    "on_exit": self.callbacks(f"exit {name}", spec["on_exit"].get(name, [])),
                }
                for name in STATES
            ],
            initial="a",
            transitions=[self.transition(number, one) for number, one in enumerate(spec["transitions"])],
            auto_transitions=False,
            ignore_invalid_triggers=spec["ignore_invalid_triggers"],
            send_event=spec["send_event"],
            **{name: self.callbacks(name, given) for name, given in spec["machine"].items()},
        )

    def transition(self, number: int, given: dict[str, Any]) -> dict[str, Any]:
        conditions = [self.guard(f"{number} guard {n}", kind) for n, kind in enumerate(given["conditions"])]
        lists = {name: self.callbacks(f"{number} {name}", given[name]) for name in ("prepare", "before", "after")}
        lists["unless"] = [self.guard(f"{number} unless {n}", kind) for n, kind in enumerate(given["unless"])]
        return {**{name: given[name] for name in ("trigger", "source", "dest")}, "conditions": conditions, **lists}

    def callbacks(self, where: str, kinds: list[str]) -> list[Any]:
        """At most one that is slow or fails, and it last: the stock class runs a list all at once."""
        hard = [kind for kind in kinds if kind in ("slow", "fails")][:1]
        soft = [kind for kind in kinds if kind in ("plain", "straight")]
        return [self.callback(f"{where} {n}", kind) for n, kind in enumerate([*soft, *hard])]

    def callback(self, name: str, kind: str) -> Any:
        async def slow(*args: Any, **kwargs: Any) -> None:
            await asyncio.sleep(1)
            self.told.append((name, self.model.state))

        async def straight(*args: Any, **kwargs: Any) -> None:
            self.told.append((name, self.model.state, args if self.shows_args else None))
            if kind == "fails":
                raise ValueError(name)

        def plain(*args: Any, **kwargs: Any) -> None:
            self.told.append((name, self.model.state))

        return {"slow": slow, "plain": plain}.get(kind, straight)

    def guard(self, name: str, answer: bool | str) -> Any:
        def ask(*args: Any, **kwargs: Any) -> bool:
            self.told.append(name)
            if answer == "fails":
                raise ValueError(name)
            return bool(answer)

        return ask

    async def drive(self, events: list[str]) -> list[Any]:
        for event in events:
            try:
                self.told.append((event, await self.model.trigger(event, 7), self.model.state))
            except Exception as error:
                self.told.append((event, type(error).__name__, str(error), self.model.state))
        return self.told


@settings(deadline=None)
@given(spec=machines, events=st.lists(st.sampled_from(EVENTS), max_size=8))
def test_any_machine_does_what_the_stock_class_does(spec: dict[str, Any], events: list[str]) -> None:
    """M1: for any declared machine, the same transitions, callbacks in order, answers and errors."""
    stock = run_virtual(Life(AsyncMachine, spec).drive(events))
    ours = run_virtual(Life(LifecycleMachine, spec).drive(events))
    assert ours == stock


@settings(deadline=None)
@given(spec=machines, events=st.lists(st.sampled_from(EVENTS), max_size=4), asked=st.sampled_from(EVENTS))
def test_any_machine_says_what_it_may_do_like_the_stock_class(
    spec: dict[str, Any], events: list[str], asked: str
) -> None:
    """`may_<trigger>` is ours as well, so it is compared too."""

    async def ask(cls: type[AsyncMachine]) -> list[Any]:
        life = Life(cls, spec)
        await life.drive(events)
        try:
            life.told.append(await life.model.may_trigger(asked))
        except ValueError as error:
            life.told.append(str(error))
        return life.told

    assert run_virtual(ask(LifecycleMachine)) == run_virtual(ask(AsyncMachine))


def straight_machines(guards: st.SearchStrategy[list[bool | str]], on_enter: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Machines none of whose callbacks can suspend."""
    row = st.fixed_dictionaries(
        {
            "trigger": st.sampled_from(EVENTS),
            "source": st.sampled_from([*STATES, "*"]),
            "dest": st.sampled_from([*STATES, "=", None]),
            "conditions": guards,
            **dict.fromkeys(("prepare", "before", "after"), straight),
        }
    ).flatmap(unless)
    lists = ("prepare_event", "before_state_change", "after_state_change", "on_final")
    return st.fixed_dictionaries(
        {
            "transitions": st.lists(row, min_size=1, max_size=8),
            "on_exit": st.dictionaries(st.sampled_from(STATES), straight),
            "on_enter": st.dictionaries(st.sampled_from(STATES), on_enter),
            "machine": st.fixed_dictionaries(dict.fromkeys(lists, on_enter)),
            "final": st.sets(st.sampled_from(STATES)),
            "ignore_invalid_triggers": st.booleans(),
            "send_event": st.just(False),
            "queued": st.just(False),
        }
    )


class LibraryWay(LifecycleMachine):
    """Ours, made to go the library's way: an event of another class is not taken apart."""

    event_cls = type("Event", (LifecycleMachine.event_cls,), {})


def ready_rows(life: Life) -> list[Any]:
    return [rows for event in life.machine.events.values() for rows in event.ready.values()]


async def both(cls: type[AsyncMachine], spec: dict[str, Any], events: list[str]) -> tuple[list[Any], list[Any]]:
    life = Life(cls, spec)
    return await life.drive(events), ready_rows(life) if cls is not AsyncMachine else []


soft = st.lists(st.sampled_from(("plain", "straight")), max_size=2)


@settings(deadline=None)
@given(spec=straight_machines(guards(), soft), events=st.lists(st.sampled_from(EVENTS), max_size=8))
def test_the_straight_way_does_what_the_stock_class_does(spec: dict[str, Any], events: list[str]) -> None:
    """M1: the same as above, without a task; and it is the straight way that was gone."""
    stock, _ = run_virtual(both(AsyncMachine, spec, events))
    ours, ready = run_virtual(both(LifecycleMachine, spec, events))
    assert ours == stock
    taken = {(one[0], one[2]) for one in ours if len(one) == 3 and one[1] is True and one[0] in EVENTS}
    assert len([rows for rows in ready if rows is not None]) >= bool(taken)


any_guards = st.lists(st.sampled_from([True, False, "fails"]), max_size=3)


@settings(deadline=None)
@given(spec=straight_machines(any_guards, straight), events=st.lists(st.sampled_from(EVENTS), max_size=8))
def test_the_straight_way_does_what_the_other_way_does(spec: dict[str, Any], events: list[str]) -> None:
    """M3: guards behind a False one, failing on_enter and on_final included."""
    ours, _ = run_virtual(both(LifecycleMachine, spec, events))
    other, ready = run_virtual(both(LibraryWay, spec, events))
    assert ours == other
    assert not any(ready)
