"""P9: what `steward check` takes, a process each time, on the shipped file and on the largest that is read."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.lives.large import large
from benchmarks.scenario import ROOT
from benchmarks.worker import serve


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, environment = ROOT / "lifecycle.yaml", dict(os.environ)
        if name == "large":
            file = Path(folder) / "large.yaml"
            file.write_text(large())
            environment["STEWARD_HANDLERS"] = '["benchmarks.lives.desks"]'
        command = [sys.executable, "-m", "server.cli", "check", str(file)]

        def play() -> dict[str, float]:
            began, cpu = time.perf_counter(), _children_s()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment)
            return {"check_s": time.perf_counter() - began, "cpu_s": _children_s() - cpu}

        # So that compiled files and the disk's cache are there.
        warm = {**environment, "PYTHONDONTWRITEBYTECODE": ""}
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=warm)
        serve(play, "session-steward")


if __name__ == "__main__":
    main(sys.argv[1])
