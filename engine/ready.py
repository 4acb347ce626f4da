"""A machine's transitions made ready: for one event and state, callbacks flattened and known not to suspend.

A trigger that goes this way needs no task and no turn: nothing can come between its first callback and its last. What
is not surely so (rows_of gives None) goes the library's way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from types import FunctionType, MethodType
from typing import Any, Final, NamedTuple

from .straight import never_suspends

_PLAIN_RETURNS: Final = (bool, None, "bool", "None")
_CO_SUSPENDS: Final = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR
_CHANGES: Final = ("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "__setitem__")
_MORE_CHANGES: Final = ("__delitem__", "__iadd__", "__imul__")
# What of a machine rows are made of, but its states and transitions.
MACHINE_PARTS: Final = (
    "_prepare_event",
    "_before_state_change",
    "_after_state_change",
    "_finalize_event",
    "_on_exception",
    "_on_final",
    "_queued",
    "send_event",
)

Callback = tuple[Callable[..., Any], bool]  # and whether it is a coroutine function


class Stock(NamedTuple):
    """What rows are made of. A subclass, or a method of the machine that is another, goes the library's way."""

    state: type
    transition: type
    condition: type
    methods: tuple[tuple[str, Any], ...]


class Row(NamedTuple):
    """One transition. checks: each with the answer it needs. before: up to the change of state, after: from there.
    source and dest: values of the model's attribute; has_dest False: internal."""

    prepare: tuple[Callback, ...]
    checks: tuple[tuple[Callable[..., Any], bool, bool], ...]
    before: tuple[Callback, ...]
    has_dest: bool
    source: Any
    dest: Any
    enter: tuple[Callback, ...]
    after: tuple[Callback, ...]


class Rows(NamedTuple):
    """What an event may take in one state; they count while version is VERSION.now."""

    version: int
    rows: tuple[Row, ...] | None


class _Version:
    """Counts changes of anything that rows were made of, anywhere: they are rare, rows are made again in 20 us."""

    now = 0

    def change(self) -> None:
        self.now += 1


VERSION: Final = _Version()


class _Watched(list[Any]):
    """A list of callbacks that rows were made of: a change in place makes them count no more."""


def _watched(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    def change(self: _Watched, *args: Any, **kwargs: Any) -> Any:
        VERSION.change()
        return method(self, *args, **kwargs)

    return change


for _name in (*_CHANGES, *_MORE_CHANGES):
    setattr(_Watched, _name, _watched(_name))


class Noticing:
    """Something whose attributes rows are made of."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__:
            VERSION.change()
        super().__setattr__(name, value)


class _Unsure(Exception):
    """A callback may suspend, or it cannot be told."""


def rows_of(event: Any, value: Any, stock: Stock) -> tuple[Row, ...] | None:
    """Ready rows of event in the state of this value; None: they go the library's way."""
    machine = event.machine
    try:
        _require_ways(machine, stock.methods)
        _require(not (machine.send_event or machine.on_exception or machine.finalize_event or machine.has_queue))
        _require(not hasattr(machine, "model_graphs"))
        _watch(vars(machine), *MACHINE_PARTS)
        name = machine.get_state(value).name
        _require(bool(event.transitions.get(name)))
        _watch(event.transitions, name)
        transitions = event.transitions[name]
        return tuple(_row(machine, one, stock, is_first=one is transitions[0]) for one in transitions)
    except (_Unsure, ValueError):  # a ValueError: no state of the machine
        return None


def _row(machine: Any, transition: Any, stock: Stock, *, is_first: bool) -> Row:
    _require(type(transition) is stock.transition)
    _require(all(type(one) is stock.condition for one in transition.conditions))
    _watch(vars(transition), "prepare", "conditions", "before", "after")
    source = _state(machine, transition.source, stock)
    dest = _state(machine, transition.dest, stock) if transition.dest else source
    exits = source.on_exit if transition.dest else ()
    enters = [*dest.on_enter, *(machine.on_final if dest.final else ())] if transition.dest else ()
    return Row(
        prepare=_callbacks([*(machine.prepare_event if is_first else ()), *transition.prepare]),
        checks=tuple(_check(one) for one in transition.conditions),
        before=_callbacks([*machine.before_state_change, *transition.before, *exits]),
        has_dest=bool(transition.dest),
        source=source.value,
        dest=dest.value,
        enter=_callbacks(enters),
        after=_callbacks([*transition.after, *machine.after_state_change]),
    )


def _state(machine: Any, name: str, stock: Stock) -> Any:
    state = machine.get_state(name)
    _require(type(state) is stock.state)
    _watch(vars(state), "on_enter", "on_exit")
    return state


def _check(condition: Any) -> tuple[Callable[..., Any], bool, bool]:
    return (condition.func, condition.target, _is_async(condition.func))


def _callbacks(functions: Iterable[Any]) -> tuple[Callback, ...]:
    return tuple((one, _is_async(one)) for one in functions)


def _is_async(callback: Any) -> bool:
    """A plain function may return something to await, unless it says that it returns a bool or nothing; a name
    stands for another function in each model."""
    function = callback.__func__ if type(callback) is MethodType else callback
    if never_suspends(function):
        return True
    _require(type(function) is FunctionType and not hasattr(function, "__wrapped__"))
    _require(not function.__code__.co_flags & _CO_SUSPENDS)
    _require("return" in function.__annotations__ and function.__annotations__["return"] in _PLAIN_RETURNS)
    return False


def _require(holds: bool) -> None:
    if not holds:
        raise _Unsure


def _require_ways(thing: Any, ways: Iterable[tuple[str, Any]]) -> None:
    for name, wanted in ways:
        found = getattr(thing, name)
        _require(getattr(found, "__func__", found) is wanted)


def _watch(table: dict[str, Any], *names: str) -> None:
    """Notice changes in place of these lists."""
    for name in names:
        if type(table.get(name)) is list:
            table[name] = _Watched(table[name])
