"""Running tests nobody trusts: a child process with bounds on time, output and offspring, and nothing left of it."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from handlers.team import Seat

RUNNER: Final = Path(__file__).with_name("runner.py")
OUTPUT_BYTES_MAX: Final = 64 * 1024
TAIL_CHARS: Final = 2000  # of the output, for the report
PROCESSES_MAX: Final = 8  # of one run; each costs the machine, not the limits of its parent
VERDICT_BYTES_MAX: Final = 64 * 1024
LOOK_S: Final = 0.05  # how often a group is counted
GRACE_S: Final = 0.5  # between asking a program to end and ending it
CPU_EXITS: Final = (-signal.SIGXCPU, -signal.SIGKILL)


@dataclass(slots=True)
class Ran:
    """What came of a run. ended: why it did not come to its own end, and what it left; [] for a well-behaved one."""

    ran: int = 0
    failures: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    fence: list[str] = field(default_factory=list)
    output: str = ""
    seconds: float = 0.0

    @property
    def is_passed(self) -> bool:
        return bool(self.ran) and not self.failures and not self.ended


async def run_tests(seat: Seat, name: str, solution: str, tests: str, *, time_limit_s: float, memory_bytes: int) -> Ran:
    """Run tests against solution in a folder of their own, which is gone afterwards. Cancelling ends the program."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=seat.workspace))
    try:
        (folder / "solution.py").write_text(solution, encoding="utf-8")
        (folder / "tests.py").write_text(tests, encoding="utf-8")
        return await _run(seat, folder.resolve(), time_limit_s, memory_bytes)
    finally:
        _remove(folder)


async def _run(seat: Seat, folder: Path, time_limit_s: float, memory_bytes: int) -> Ran:
    found, began = Ran(), asyncio.get_running_loop().time()
    cpu_s = str(math.ceil(time_limit_s) + 1)  # for many threads at once; who spins in one is told the time limit
    command = (sys.executable, "-I", "-B", str(RUNNER), str(folder), cpu_s, str(memory_bytes))
    # Of our environment it gets nothing: keys of models live there.
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}
    async with seat.process(*command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, cwd=folder, env=env) as child:
        output = bytearray()
        reading = asyncio.ensure_future(_read(child, output))
        try:
            await _watch(child, reading, began + time_limit_s, found, f"{time_limit_s:g} s")
            await _ask_to_end(child, found)
        finally:
            reading.cancel()
    found.seconds = round(asyncio.get_running_loop().time() - began, 3)
    # Where this machine keeps its sessions is nobody's business.
    text = output[:OUTPUT_BYTES_MAX].decode(errors="replace").replace(f"{folder}{os.sep}", "")
    found.output = text[-TAIL_CHARS:]
    _judge(found, child.returncode, folder)
    return found


async def _read(child: Process, output: bytearray) -> None:
    """Until the end of its output, or until there is too much of it."""
    assert child.stdout is not None, "it was started with a pipe"
    while len(output) <= OUTPUT_BYTES_MAX and (block := await child.stdout.read(16 * 1024)):
        output += block


async def _watch(child: Process, reading: asyncio.Future[None], deadline: float, found: Ran, limit: str) -> None:
    """Until it has ended, or has to be."""
    loop = asyncio.get_running_loop()
    while child.returncode is None:
        if loop.time() >= deadline:
            return found.ended.append(f"ran longer than {limit}")
        if (count := len(members(child.pid))) > PROCESSES_MAX:
            return found.ended.append(f"started {count} processes; {PROCESSES_MAX} are allowed")
        if reading.done() and not _has_eof(child):
            return found.ended.append(f"wrote more than {OUTPUT_BYTES_MAX // 1024} KiB")
        # Its end shows as the end of its output; who closes that early is looked after less often.
        wait_s = min(LOOK_S, max(0.0, deadline - loop.time()))
        if reading.done():
            await asyncio.sleep(wait_s)
        else:
            await asyncio.wait({reading}, timeout=wait_s)
    return None


def _has_eof(child: Process) -> bool:
    return child.stdout is not None and child.stdout.at_eof()


async def _ask_to_end(child: Process, found: Ran) -> None:
    """Politely; who does not care is ended with the block that the process lives in, and named."""
    left = alive = members(child.pid)
    if not alive:
        return
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    deadline = asyncio.get_running_loop().time() + GRACE_S
    while alive and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(LOOK_S)
        alive = members(child.pid)
        left |= alive  # what is left may still be forking, so no single look sees all of it
    if not found.ended:
        found.ended.append(f"left {len(left)} processes running")
    if alive:
        found.ended.append(f"{len(alive)} of its processes did not care to be asked, and were killed")


def _judge(found: Ran, code: int | None, folder: Path) -> None:
    """What the runner has written, or why it could not."""
    try:
        text = (folder / "verdict.json").read_bytes()[:VERDICT_BYTES_MAX]
        verdict: dict[str, Any] = json.loads(text)
        found.ran = int(verdict["ran"])
        found.fence = [str(one) for one in verdict["fence"]]
        found.failures = [f"{test}: {why}"[:400] for test, why in verdict["failures"]]
        if "broke" in verdict:
            found.ended.append(f"tried to leave its folder: {verdict['broke']}"[:300])
    except (OSError, ValueError, TypeError, KeyError):
        if not found.ended:
            how = "used up its processor time" if code in CPU_EXITS else f"ended by itself with exit code {code}"
            found.ended.append(f"{how} before all tests had run")


def members(group: int) -> set[int]:
    """Processes of a group that are alive, by what the kernel shows in /proc; none where there is no such thing."""
    found = set()
    for entry in Path("/proc").iterdir() if sys.platform == "linux" else ():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _, its_group = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
                if its_group == str(group) and state not in "ZX":
                    found.add(int(entry.name))
    return found


def _remove(folder: Path) -> None:
    """Also if the program took its rights away."""
    for place, names, _ in os.walk(folder):
        for name in names:
            if not (path := Path(place) / name).is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
