"""The shop's handlers as the engine runs them: they take what they say, and wait until they are told how to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import shop

from engine.context import RunContext
from engine.registry import Handler, Registry, action, guard, probe

CLOSES: Final = {"close_desk": "desk", "burn_desk": "desk", "put_out_lamp": "lamp", "return_van": "van"}


class Stage:
    """What a test tells the handlers. answer: of every guard. steps: those of a run that wait, in order."""

    def __init__(self) -> None:
        self.answer = True
        self.waiting: list[tuple[str, asyncio.Future[bool]]] = []

    async def play(self, name: str) -> None:
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting.append((name, told))
        try:
            if not await told:
                raise RuntimeError(f"{name} was told to fail")
        finally:
            self.waiting = [one for one in self.waiting if one[1] is not told]


def registry() -> Registry:
    return Registry.of(*[_acting(handler) for handler in Registry.of(shop).handlers()])


def _acting(handler: Handler) -> Callable[..., Any]:
    mark = handler.mark
    if mark.role == "guard":
        return guard(mark.name)(lambda ctx: bool(ctx.services["stage"].answer))
    if mark.role == "probe":
        return probe(mark.name)(lambda resource: bool(resource.handle["is_gone"]))
    if mark.role != "action":
        return handler.function

    async def act(ctx: Any) -> None:
        for kind in mark.acquires - {"files", "children"}:
            if not (mark.once and ctx.resources.held(kind)):
                ctx.resources.hold(kind, kind, {"is_gone": False})
        if isinstance(ctx, RunContext):
            await ctx.services["stage"].play(mark.name)
        for kind in mark.releases:
            for resource in ctx.resources.held(kind):
                resource.handle["is_gone"] = True
                ctx.resources.drop(resource)
        for resource in ctx.resources.held(CLOSES.get(mark.name, "")):
            resource.handle["is_gone"] = True

    options = {"acquires": mark.acquires, "releases": mark.releases, "survives": mark.survives, "once": mark.once}
    return action(mark.name, **options)(act)  # type: ignore[arg-type]
