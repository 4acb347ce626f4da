"""P11: a server starts on what a killed one left behind; and SQLite reads the same rows for nobody."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks.scenario import WORK
from benchmarks.sides.crowd import states, until
from benchmarks.sides.serving import steward
from benchmarks.sides.stored import LIVE, SESSIONS
from benchmarks.worker import serve_async

STORE: Final = "log.sqlite"
READ: Final = """
import sys, apsw
db = apsw.Connection(sys.argv[1])
heads = db.execute("SELECT * FROM heads").fetchall()
ended = {number for number, at in db.execute("SELECT number, ended_at FROM sessions").fetchall() if at is not None}
rows = [db.execute("SELECT * FROM records WHERE place BETWEEN ? AND ? ORDER BY place",
                   (head[0] << 32, (head[0] << 32) + 2**32 - 1)).fetchall() for head in heads if head[0] not in ended]
assert len(heads) == int(sys.argv[2]) and len(rows) == int(sys.argv[3]) and all(rows), (len(heads), len(rows))
"""


async def of_steward(folder: Path) -> dict[str, float]:
    began = perf_counter()
    server = await steward(data=folder)
    try:
        assert server.get("/readyz")["status"] == "ready"
        ready_s = perf_counter() - began
        # Stored are `active` and `flipped`; who has come back waits for somebody to connect again.
        await until(lambda: Counter(states(server)) == {"reconnecting": LIVE})
        return {"ready_s": ready_s, "truthful_s": perf_counter() - began, "cpu_s": server.cpu_s}
    finally:
        await server.kill()


def of_bare(folder: Path) -> dict[str, float]:
    began = perf_counter()
    command = [sys.executable, "-c", READ, str(folder / STORE), str(SESSIONS), str(LIVE)]
    subprocess.run(command, check=True)
    return {"ready_s": perf_counter() - began}


async def main(name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        numbers = iter(range(sys.maxsize))

        async def play() -> dict[str, float]:
            folder = Path(place) / f"round{next(numbers)}"
            await asyncio.to_thread(shutil.copytree, WORK, folder)
            return await of_steward(folder) if name == "steward" else of_bare(folder)

        await serve_async(play, "session-steward", "apsw")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
