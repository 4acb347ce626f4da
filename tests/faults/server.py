"""A server of files/echo.yaml that dies where it is told to: `python -m tests.faults.server DATA PORT [POINT NTH]`.

It dies as by a power cut, at the NTH time it comes to POINT. Everything else is the server that is shipped.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine.journal.queued import QueuedJournal
from engine.journal.sqlite import SqliteStore
from server.app import serve
from server.config import load
from server.stopping import Stopper

FILES: Final = Path(__file__).parent / "files"
KEY: Final = "k" * 43

# Name -> (class, method, whether it dies after the method instead of before).
POINTS: Final[dict[str, tuple[type[Any], str, bool]]] = {
    "before a write": (SqliteStore, "write", False),
    "before rows are inserted": (SqliteStore, "_insert", False),
    "between rows and commit": (SqliteStore, "_insert", True),
    "after a commit": (SqliteStore, "write", True),
    "before the loop is told": (QueuedJournal, "_settle", False),
    "after the loop is told": (QueuedJournal, "_settle", True),
    "while logs are read back": (SqliteStore, "records", True),
}


def die_at(point: str, nth: int) -> None:
    owner, name, is_after = POINTS[point]
    original: Callable[..., Any] = getattr(owner, name)
    count = 0

    def instead(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth and not is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if count >= nth and is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, instead)


def main(data: str, port: str, point: str = "", nth: str = "0") -> None:
    stopper = Stopper()
    stopper.install()
    folder = Path(data)
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "key").touch(0o600)
    (folder / "key").write_text(KEY)
    if point:
        die_at(point, int(nth))
    settings = load(
        {
            "lifecycle": FILES / "echo.yaml",
            "handlers": ("tests.faults.echo",),
            "teams": {},
            "data": folder,
            "port": int(port),
            "unwelcomed_per_address_max": 512,
            "commands_per_s": 10_000,
            "commands_burst": 10_000,
            "log_level": "error",
        },
        file=None,
    )
    asyncio.run(serve(settings, stopper, lambda served: print(served.url, flush=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
