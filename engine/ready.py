"""A machine's transitions made ready: for one event and state, callbacks flattened and known not to suspend.

A trigger that goes this way needs no task and no turn: nothing can come between its first callback and its last. What
is not surely so (row_of gives None) goes the library's way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, isawaitable
from types import FunctionType, MethodType
from typing import Any, Final, NamedTuple
from weakref import WeakSet

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


class Rest(NamedTuple):
    """What many transitions do not have: callbacks within the new state. source: where a failing one of enter leads
    back to."""

    source: Any
    enter: tuple[Callback, ...]
    after: tuple[Callback, ...]


# One transition, a plain tuple because taking a named one apart costs 40 ns more:
#   may: what it prepares and its guards as one function, None for nothing
#   before: callbacks up to the change of state
#   has_dest: False: internal
#   dest: the value of the model's attribute
#   rest: see there; None for nothing
#   otherwise: the next to be asked
Row = tuple[Callable[..., Any] | None, tuple[Callback, ...], bool, Any, Rest | None, "Row | None"]


def bound_to(row: Row, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Row:
    """The row for a trigger that was given arguments: each callback gets them."""

    def bound(call: Callable[..., Any]) -> Callable[..., Any]:
        return partial(call, *args, **kwargs)

    def each(callbacks: tuple[Callback, ...]) -> tuple[Callback, ...]:
        return tuple((bound(call), is_async) for call, is_async in callbacks)

    may, before, has_dest, dest, rest, otherwise = row
    return (
        may and bound(may),
        each(before),
        has_dest,
        dest,
        rest and Rest(rest.source, each(rest.enter), each(rest.after)),
        otherwise and bound_to(otherwise, args, kwargs),
    )


class _Made:
    """Events that have ready rows. Any change of what rows are made of, anywhere, makes all of them anew: it is rare,
    and a row is made in 20 us."""

    def __init__(self) -> None:
        self._events: WeakSet[Any] = WeakSet()

    def note(self, event: Any) -> None:
        self._events.add(event)

    def forget(self) -> None:
        for event in self._events:
            event.ready.clear()
        self._events.clear()


MADE: Final = _Made()


class _Watched(list[Any]):
    """A list of callbacks that rows were made of: a change in place makes them count no more."""


def _watched(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    def change(self: _Watched, *args: Any, **kwargs: Any) -> Any:
        MADE.forget()
        return method(self, *args, **kwargs)

    return change


for _name in (*_CHANGES, *_MORE_CHANGES):
    setattr(_Watched, _name, _watched(_name))


class Noticing:
    """Something whose attributes rows are made of."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Not `in self.__dict__`: an object whose dict was asked for once is slower to read ever after, 50 ns, not 9.
        if hasattr(self, name):
            MADE.forget()
        super().__setattr__(name, value)


async def is_true(answer: Any) -> bool:
    """What a guard answered, as the library takes it."""
    return bool((await answer if isawaitable(answer) else answer) == True)  # noqa: E712


async def call_all(callbacks: Iterable[Callback]) -> None:
    for call, is_async in callbacks:
        done = call()
        if is_async or (done is not None and isawaitable(done)):
            await done


class _Unsure(Exception):
    """A callback may suspend, or it cannot be told."""


def row_of(event: Any, value: Any, stock: Stock) -> Row | None:
    """The first ready row of event in the state of this value; None: it goes the library's way."""
    machine = event.machine
    try:
        _require_ways(machine, stock.methods)
        _require(not (machine.send_event or machine.on_exception or machine.finalize_event or machine.has_queue))
        _require(not hasattr(machine, "model_graphs"))
        _watch(vars(machine), *MACHINE_PARTS)
        name = machine.get_state(value).name
        _require(bool(event.transitions.get(name)))
        _watch(event.transitions, name)
        row = None
        for transition in reversed(event.transitions[name]):
            prepare = machine.prepare_event if transition is event.transitions[name][0] else ()
            row = _row(machine, transition, stock, prepare, row)
        return row
    except (_Unsure, ValueError):  # a ValueError: no state of the machine
        return None


def _row(machine: Any, transition: Any, stock: Stock, prepare: Sequence[Any], otherwise: Row | None) -> Row:
    _require(type(transition) is stock.transition)
    _require(all(type(one) is stock.condition for one in transition.conditions))
    _watch(vars(transition), "prepare", "conditions", "before", "after")
    source = _state(machine, transition.source, stock)
    dest = _state(machine, transition.dest, stock) if transition.dest else source
    exits = source.on_exit if transition.dest else ()
    enters = [*dest.on_enter, *(machine.on_final if dest.final else ())] if transition.dest else ()
    rest = Rest(source.value, _callbacks(enters), _callbacks([*transition.after, *machine.after_state_change]))
    return (
        _may(_callbacks([*prepare, *transition.prepare]), transition.conditions),
        _callbacks([*machine.before_state_change, *transition.before, *exits]),
        bool(transition.dest),
        dest.value,
        rest if rest.enter or rest.after else None,
        otherwise,
    )


def _state(machine: Any, name: str, stock: Stock) -> Any:
    state = machine.get_state(name)
    _require(type(state) is stock.state)
    _watch(vars(state), "on_enter", "on_exit")
    return state


def _may(prepare: tuple[Callback, ...], conditions: Sequence[Any]) -> Callable[..., Any] | None:
    """One function for all: where it is but one guard, that guard. They are asked in order, up to the first False."""
    _callbacks(one.func for one in conditions)  # refuses what may suspend
    asks: list[tuple[Callable[..., Any], bool]] = [(one.func, one.target) for one in conditions]
    if not prepare and not asks:
        return None
    if not prepare and len(asks) == 1 and asks[0][1] is True:
        return asks[0][0]

    async def may(*args: Any, **kwargs: Any) -> bool:
        for call, _ in prepare:
            if isawaitable(done := call(*args, **kwargs)):
                await done
        for ask, wanted in asks:
            answer = ask(*args, **kwargs)
            if (await answer if isawaitable(answer) else answer) != wanted:
                return False
        return True

    return may


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
