"""Writes a store as a killed server leaves it: many sessions, most of them ended, the last ones live."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from benchmarks.lives import machines
from engine.journal.sqlite import SqliteJournal
from engine.sessions import SessionManager

SESSIONS: Final = 10_000
LIVE: Final = 500
FLIPS: Final = 6  # events of each session before that
AT_ONCE: Final = 200


async def write(folder: Path) -> None:
    manager = SessionManager(machines("wire"), SqliteJournal(folder / "log.sqlite"))
    await manager.start()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            session = await manager.create(user=f"u{number % 100}")
            session.attach("control")
            while session.state == "initializing":
                await manager.send(session.sid, name="flip")
            for _ in range(FLIPS):
                await manager.send(session.sid, name="flip")
            if number < SESSIONS - LIVE:
                await manager.send(session.sid, name="terminate")
                await session.ended

    await asyncio.gather(*(one(number) for number in range(SESSIONS)))
    os._exit(0)  # nothing is let go of, as by kill -9


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1])))
