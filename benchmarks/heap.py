"""Bytes and seconds (of processor time) of one more object: made twice, because counting bytes makes it slow.

Standard library only, for peers too.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import process_time
from typing import Any


@dataclass(frozen=True)
class Cost:
    """Of one: seconds to make, bytes it keeps."""

    seconds: float
    size: float

    def plain(self) -> dict[str, float]:
        return {"actor_s": self.seconds, "actor_bytes": self.size}


async def cost_of_many(make: Callable[[], Awaitable[list[Any]]], count: int) -> Cost:
    """make() makes count of them and gives them all."""
    gc.collect()
    began = process_time()
    kept = await make()
    seconds = (process_time() - began) / count
    kept.clear()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = await make()
    gc.collect()
    size = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    tracemalloc.stop()
    return Cost(seconds, size)


async def cost(make: Callable[[], Any], count: int) -> Cost:
    """make() makes one."""

    async def many() -> list[Any]:
        return [make() for _ in range(count)]

    return await cost_of_many(many, count)
