"""What the benchmarks' own lives name."""

from __future__ import annotations

from typing import Any

from engine.registry import action, guard


@guard()
def may_go(ctx: Any) -> bool:
    return True


@action()
async def first(ctx: Any) -> None:
    """Nothing: what is measured is the way to it."""


@action()
async def second(ctx: Any) -> None:
    """See first."""
