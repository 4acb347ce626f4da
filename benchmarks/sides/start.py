"""P12: what a new process takes, to import a module or to say how it is used."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

from benchmarks.worker import serve

COMMANDS = {
    "bare": ["-c", "pass"],
    "engine": ["-c", "import engine.sessions, engine.loader, engine.machine, engine.journal.sqlite"],
    "server": ["-c", "import server.app"],
    "help": ["-m", "server.cli", "--help"],
}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(name: str) -> None:
    command = [sys.executable, *COMMANDS[name]]
    # So that compiled files and the disk's cache are there.
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})

    def play() -> dict[str, float]:
        began, cpu = time.perf_counter(), _children_s()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return {"start_s": time.perf_counter() - began, "cpu_s": _children_s() - cpu}

    serve(play, "session-steward")


if __name__ == "__main__":
    main(sys.argv[1])
