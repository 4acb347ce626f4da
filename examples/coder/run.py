"""Running tests nobody trusts: the warden does it in a process of its own, and here is asked what came of it.

Nothing here follows a path, reads a file or waits without bound for what the program made: it may have made anything.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from examples.cage.fence import HELD
from examples.cage.runner import UNFENCED
from handlers.removal import remove_folder
from handlers.team import Seat

ROOT: Final = Path(__file__).parents[2]  # of the package that the warden is in
START: Final = (
    "import sys; root, folder, limits = sys.argv[1:]; sys.path.insert(0, root); import json, pathlib\n"
    "from examples.cage.warden import main; sys.path.remove(root); main(pathlib.Path(folder), json.loads(limits))"
)
RUNS_MAX: Final = 4  # at once in this server: what one run may take is bounded, so all of them are
PLACE_S: Final = 120.0  # the longest wait for one of these places
SLACK_S: Final = 15.0  # beyond its time limit, for a warden on a busy machine to start, to end it and to report
REMOVE_S: Final = 10.0
REPORT_BYTES_MAX: Final = 64 * 1024
CPU_EXITS: Final = (-signal.SIGXCPU, -signal.SIGKILL)
Line = Annotated[str, StringConstraints(max_length=300)]
log = logging.getLogger(__name__)


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


class Report(BaseModel):
    """What the warden tells. verdict: what the program has handed over, from which anything may be expected."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ended: list[str]
    fence: list[str]
    code: int | None
    verdict: str
    output: str
    seconds: float


class Verdict(BaseModel):
    """What the tests' runner hands over, or what the program has made of that."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ran: int = Field(ge=0, le=10_000)
    failures: list[tuple[Line, Line]] = Field(max_length=20, strict=False)
    broke: Line | None = None


async def run_tests(
    seat: Seat,
    name: str,
    solution: str,
    tests: str,
    *,
    time_limit_s: float,
    memory_bytes: int,
    unfenced: bool = False,
) -> Ran:
    """Run tests against solution in a folder of their own, which is gone afterwards. Cancelling ends the program.

    unfenced: also where this machine has no whole fence.
    """
    try:
        async with asyncio.timeout(PLACE_S):
            await (places := _places()).acquire()
    except TimeoutError:
        return Ran(ended=[f"was not run: {RUNS_MAX} programs are running here already, and none of them ended soon"])
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=seat.workspace)).resolve()
    try:
        (folder / "solution.py").write_text(solution, encoding="utf-8", errors="replace")
        (folder / "tests.py").write_text(tests, encoding="utf-8")
        return await _run(seat, folder, time_limit_s, memory_bytes, unfenced)
    finally:
        places.release()
        await _remove(folder)


_PLACES: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]] = WeakKeyDictionary()


def _places() -> asyncio.Semaphore:
    return _PLACES.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(RUNS_MAX))


async def _run(seat: Seat, folder: Path, time_limit_s: float, memory_bytes: int, unfenced: bool) -> Ran:
    cpu_s = math.ceil(time_limit_s) + 1  # for many threads at once; who spins in one is told the time limit
    limits = {"time_s": time_limit_s, "cpu_s": cpu_s, "memory_bytes": memory_bytes, "unfenced": unfenced}
    python = (sys.executable, "-I", "-S", "-B", "-c", START)
    # Of our environment it gets nothing: keys of models live there.
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}
    command = (*python, str(ROOT), str(folder), json.dumps(limits))
    try:
        async with seat.process(*command, stdin=DEVNULL, stdout=PIPE, cwd=folder, env=env) as warden:
            async with asyncio.timeout(time_limit_s + SLACK_S):
                told = await _read(warden)
        report = Report.model_validate_json(told)
    except (TimeoutError, ValidationError) as error:
        log.warning("no report of a run in %s: %s", folder, type(error).__name__)
        return Ran(ended=["was not watched to its end: this server's log says more"])
    return _judge(report)


async def _read(warden: Process) -> bytes:
    assert warden.stdout is not None, "it was started with a pipe"
    told = b""
    while len(told) <= REPORT_BYTES_MAX and (block := await warden.stdout.read(REPORT_BYTES_MAX)):
        told += block
    return told


def _judge(report: Report) -> Ran:
    """What the runner has handed over, or why it could not."""
    found = Ran(fence=report.fence, ended=report.ended, output=report.output, seconds=report.seconds)
    try:
        verdict = Verdict.model_validate_json(report.verdict)
    except ValidationError:
        if not found.ended:
            found.ended.append(_how_it_ended(report))
        return found
    found.ran = verdict.ran
    found.failures = [f"{test}: {why}" for test, why in verdict.failures]
    if verdict.broke is not None:
        found.ended.append(f"tried to leave its folder: {verdict.broke}")
    return found


def _how_it_ended(report: Report) -> str:
    if report.code == UNFENCED and "files" not in report.fence:
        return f"was not run: of {', '.join(HELD)} this machine keeps only {', '.join(report.fence)} from it"
    if report.code in CPU_EXITS:
        return "used up its processor time before all tests had run"
    return f"ended by itself with exit code {report.code} before all tests had run"


async def _remove(folder: Path) -> None:
    """What stays is removed with the session's workspace, which tells if it cannot be."""
    try:
        await asyncio.to_thread(remove_folder, folder, REMOVE_S)
    except OSError as error:
        log.warning("%s could not be removed: %s", folder, error)
