"""A process that plays a match on a journal file and kills itself at a ply; its arguments are the file and the ply."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from engine.codec import decode
from engine.journal.sqlite import SqliteJournal
from engine.session import Session
from engine.sessions import SessionManager
from engine.testing.rig import machines
from examples.chess import TEAM
from server.config import HANDLER_MODULES

MATCH = {"team": "chess", "options": {"plies": 14, "seed": 7, "pause_ms": 30}}
SHUTDOWN_S = 10.0


def manager_on(file: Path) -> SessionManager:
    compiled = machines(Path(__file__).parents[2] / "lifecycle.yaml", *HANDLER_MODULES)
    return SessionManager(compiled, SqliteJournal(file), services={"teams": {"chess": TEAM}})


async def moves(session: Session) -> list[dict[str, Any]]:
    """Every move that is durable."""
    updates = [decode(text) for _, text in await session.log.read(0, 10_000)]
    return [one["data"] for one in updates if one["kind"] == "agent.message" and "uci" in one["data"]]


async def until_ply(session: Session, ply: int) -> list[dict[str, Any]]:
    risen = asyncio.Event()
    unwatch = session.log.watch(risen.set)
    while len(found := await moves(session)) < ply:
        risen.clear()
        await risen.wait()
    unwatch()
    return found


async def main(file: Path, ply: int) -> None:
    manager = manager_on(file)
    await manager.start()
    session = await manager.create(data=MATCH)
    session.attach("control")
    await until_ply(session, ply)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
