"""What the benchmarks' own lives name."""

from __future__ import annotations

from typing import Any

from engine.registry import action, check, guard


@guard()
def may_go(ctx: Any) -> bool:
    return True


@action()
async def first(ctx: Any) -> None:
    """Nothing: what is measured is the way to it."""


@action()
async def second(ctx: Any) -> None:
    """See first."""


MISSED = 20


@action()
def say_twenty(ctx: Any) -> None:
    """What agents say while nobody is connected."""
    for number in range(MISSED):
        ctx.emit("agent.message", {"number": number, "text": "what one misses while nobody is connected"})


@check()
def is_well(ctx: Any) -> None:
    """It always is."""
