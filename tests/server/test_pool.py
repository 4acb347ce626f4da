"""The pool by itself, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.testing.virtual import in_virtual_time
from server.codes import Fault
from server.pool import SWEEP_S, Pool


class Ticked:
    """A connection as the sweep sees it. is_broken: a bug shows when it is told the time."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.ticks: list[float] = []
        self.faults: list[str] = []
        self._is_broken = is_broken

    def tick(self, now: float) -> None:
        self.ticks.append(now)
        if self._is_broken:
            raise RuntimeError("a bug")

    def stop(self, fault: Fault) -> None:
        self.faults.append(fault.name)


@in_virtual_time
async def test_one_connections_fault_is_no_end_of_everybodys_heartbeat() -> None:
    """There is one sweep for all; if it ended, no dead peer would be noticed any more, and nobody would be told."""
    pool = Pool(unwelcomed_max=4, unwelcomed_per_address_max=4, control_max=1, observe_max=1)
    broken, *well = connections = [Ticked(is_broken=True), Ticked(), Ticked()]
    kept: Any = pool.connections
    kept.update(dict.fromkeys(connections))
    sweep = asyncio.create_task(pool.sweep(asyncio.get_running_loop().time))
    await asyncio.sleep(2.5 * SWEEP_S)
    sweep.cancel()
    assert [len(one.ticks) for one in well] == [3, 3]
    assert set(broken.faults) == {"internal"}
    assert all(one.faults == [] for one in well)
