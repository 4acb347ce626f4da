"""Counting for a while: how many in a second of this process's processor time, which neighbours on a shared machine do
not touch; what is counted here waits for nothing. Standard library only, for peers too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import process_time
from typing import Final

ROUND_S: Final = 0.4
FIRST: Final = 16
SHARE: Final = 0.1  # of a round that one call may take


async def per_second(many: Callable[[int], Awaitable[None]]) -> float:
    """many(n) does n of them; called with growing n until a round is full."""
    done, count, began = 0, FIRST, process_time()
    while (spent := process_time() - began) < ROUND_S:
        await many(count)
        done += count
        pace = done / max(process_time() - began, 1e-6)
        count = max(FIRST, min(2 * count, int(pace * SHARE * ROUND_S)))
    return done / (spent or ROUND_S)
