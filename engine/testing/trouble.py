"""Handlers that fail, hang or dawdle when they are told to, and otherwise are the real ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from ..language.walk import calls, listed
from ..registry import Handler, Registry, Role
from ..spec import Machine, Spec, guard_references
from .lifecycle import Lifecycle

Way = Literal["raise", "hang", "swallow", "slow"]
Name = tuple[Role, str]
SLOW_S: Final = 3.0  # longer than an instant, shorter than the time-out of a step that says nothing else
HANG_S: Final = 1e6


@dataclass
class Trouble:
    """What the next calls of handlers do instead of their work. reached: how often each way was really taken."""

    armed: dict[Name, list[Way]] = field(default_factory=dict)
    reached: Counter[Way] = field(default_factory=Counter)

    def arm(self, name: Name, way: Way, times: int = 1) -> None:
        self.armed[name] = [way] * times

    def clear(self) -> None:
        self.armed.clear()

    def take(self, name: Name) -> Way | None:
        ways = self.armed.get(name)
        if not ways:
            return None
        self.reached[ways[-1]] += 1
        return ways.pop()


def ways_of(handler: Handler) -> tuple[Way, ...]:
    """What a handler of this form can do wrong: a plain one cannot wait, so it can only raise."""
    can_wait = handler.is_async and not handler.is_straight
    return ("raise", "hang", "swallow", "slow") if can_wait else ("raise",)


def troubled(lifecycle: Lifecycle, trouble: Trouble) -> Lifecycle:
    """The same file on the same handlers, each of which asks trouble first."""
    return lifecycle.with_handlers(Registry([_asking(one, trouble) for one in lifecycle.registry.handlers()]))


def _asking(handler: Handler, trouble: Trouble) -> Handler:
    name = (handler.mark.role, handler.name)

    def call(ctx: Any, **arguments: Any) -> Any:
        way = trouble.take(name)
        if way is None:
            return handler.function(ctx, **arguments)
        if way == "raise":
            raise RuntimeError(f"{handler.name} was told to fail")
        return _dawdle(handler, way, ctx, arguments)

    return replace(handler, function=call)


async def _dawdle(handler: Handler, way: Way, ctx: Any, arguments: dict[str, Any]) -> Any:
    if way == "slow":
        await asyncio.sleep(SLOW_S)
        return await handler.function(ctx, **arguments)
    while True:
        try:
            await asyncio.sleep(HANG_S)
        except asyncio.CancelledError:
            if way == "hang":
                raise


def named_in(spec: Spec) -> list[Name]:
    """The handlers that a file may call, in the order it names them; those of the engine included."""
    return list(dict.fromkeys(name for machine in spec.machines.values() for name in _named(machine)))


def _named(machine: Machine) -> Iterator[Name]:
    for call in calls(machine):
        yield "action", call.step.ref.name
    for row in listed(machine):
        for transition in row.transitions:
            yield from (("guard", ref.name) for ref in guard_references(transition.when))
    for entry in machine.cleanup:
        yield "probe", entry.release
    for ref in machine.health.checks if machine.health else ():
        yield "check", ref.name
