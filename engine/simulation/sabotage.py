"""Handlers that do their work, until a fault is due: then they do the worst that code can do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

from ..errors import Refused, ScopeClosed
from ..registry import Handler, Registry
from ..straight import run_straight
from .faults import Fault, Place, Strikes

FOR_EVER_S: Final = 1e6
SLOW_S: Final = 12.0  # longer than most time-outs, at most
LATE_S: Final = 8.0

Work = Callable[[], Any]


class Trouble(RuntimeError):
    """What a handler raises because it was told to, by a fault or by what somebody says."""


class Sabotage:
    """The handlers of a registry with faults around them. strikes: those of the history that goes on now.

    late: what an activity did through its ctx after its state was left (M4), which has to be nothing.
    """

    def __init__(self) -> None:
        self.strikes = Strikes()
        self.late: list[str] = []

    def around(self, registry: Registry) -> Registry:
        return Registry(self._around(handler) for handler in registry.handlers())

    def _around(self, handler: Handler) -> Handler:
        wrap = _WRAPS.get(handler.mark.role)
        if wrap is None:
            return handler
        return replace(handler, function=wrap(self, handler), is_straight=False)

    def _action(self, handler: Handler) -> Callable[..., Any]:
        function = partial(run_straight, handler.function) if handler.is_straight else handler.function

        def call(ctx: Any, **kwargs: Any) -> Any:
            work = partial(function, ctx, **kwargs)
            fault = self.strikes.next("handler")
            if fault is None:
                return self._own(handler, work)
            return _WAYS[fault.kind](self, fault, ctx, f"{ctx.path} {handler.name}", work)

        return call

    def _raising(self, handler: Handler, place: Place) -> Callable[..., Any]:
        def call(given: Any, **kwargs: Any) -> Any:
            if self.strikes.next(place) is not None:
                self.strikes.reach(f"{place} raises", handler.name)
                raise Trouble(f"{handler.name} raises, as its fault is due")
            return self._own(handler, partial(handler.function, given, **kwargs))

        return call

    def _own(self, handler: Handler, work: Work) -> Any:
        """What handler does of itself; a failure is its own, unless something went wrong before."""
        if inspect.iscoroutinefunction(handler.function) and not handler.is_straight:
            return self._own_coroutine(handler, work)
        with self._noting(handler):
            return work()

    async def _own_coroutine(self, handler: Handler, work: Work) -> Any:
        with self._noting(handler):
            return await work()

    @contextmanager
    def _noting(self, handler: Handler) -> Iterator[None]:
        try:
            yield
        except (Trouble, Refused, ScopeClosed):  # a refusal is an answer to the sender
            raise
        except Exception as error:
            self.strikes.fail(handler.name, error)
            raise

    def _guard(self, handler: Handler) -> Callable[..., Any]:
        return self._raising(handler, "guard")

    def _probe(self, handler: Handler) -> Callable[..., Any]:
        return self._raising(handler, "probe")

    # The ways in which an action goes wrong.

    async def _raises(self, fault: Fault, ctx: Any, who: str, work: Work) -> Any:
        if fault.amount < 0.5:
            await _done(work)
        self.strikes.reach(fault.kind, who)
        raise Trouble(f"{who} raises, as its fault is due")

    async def _hangs(self, fault: Fault, ctx: Any, who: str, work: Work) -> Any:
        self.strikes.reach(fault.kind, who)
        await asyncio.sleep(FOR_EVER_S)

    async def _swallows(self, fault: Fault, ctx: Any, who: str, work: Work) -> Any:
        while True:
            try:
                await asyncio.sleep(FOR_EVER_S)
            except asyncio.CancelledError:
                self.strikes.reach(fault.kind, who)

    async def _is_slow(self, fault: Fault, ctx: Any, who: str, work: Work) -> Any:
        self.strikes.reach(fault.kind, who)
        await asyncio.sleep(fault.amount * SLOW_S)
        return await _done(work)

    async def _answers_nonsense(self, fault: Fault, ctx: Any, who: str, work: Work) -> Any:
        await _done(work)
        self.strikes.reach(fault.kind, who)
        return object()

    async def _leaves_a_task(self, fault: Fault, ctx: Any, who: str, work: Work) -> Any:
        self.strikes.reach(fault.kind, who)
        _kept = asyncio.get_running_loop().create_task(asyncio.sleep(FOR_EVER_S), name=f"left by {who}")
        return await _done(work)

    async def _finishes_twice(self, fault: Fault, ctx: Any, who: str, work: Work) -> Any:
        await _done(work)
        result = await _done(work)
        since = (ctx._actor.activation, ctx._actor.state)
        asyncio.get_running_loop().call_later(fault.amount * LATE_S, self._call_again, fault, ctx, who, since)
        return result

    def _call_again(self, fault: Fault, ctx: Any, who: str, since: tuple[int, str]) -> None:
        """Use a ctx whose handler is over; it may only still work for an activity whose state was not left."""
        self.strikes.reach(fault.kind, who)
        try:
            ctx.emit("agent.message", {"text": f"late words of {who}"})
        except (ScopeClosed, Refused):
            return
        if since != (ctx._actor.activation, ctx._actor.state):
            self.late.append(f"{who} spoke after its state {since[1]} was left")


async def _done(work: Work) -> Any:
    value = work()
    return await value if inspect.isawaitable(value) else value


_WRAPS: Final[Mapping[str, Callable[[Sabotage, Handler], Callable[..., Any]]]] = {
    "action": Sabotage._action,
    "guard": Sabotage._guard,
    "probe": Sabotage._probe,
}
_WAYS: Final[Mapping[str, Callable[..., Any]]] = {
    "handler raises": Sabotage._raises,
    "handler hangs": Sabotage._hangs,
    "handler swallows cancellation": Sabotage._swallows,
    "handler finishes twice": Sabotage._finishes_twice,
    "handler is slow": Sabotage._is_slow,
    "handler answers nonsense": Sabotage._answers_nonsense,
    "handler leaves a task": Sabotage._leaves_a_task,
}
