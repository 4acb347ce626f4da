"""What the cage holds, with programs that try: nothing of theirs is trusted, followed, waited for or left."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from engine.errors import Refused
from examples.cage import warden
from examples.cage.fence import HELD, readable
from examples.coder import TEAM, run
from examples.coder.messages import Hostile
from handlers.team import Seat

ROOT = Path(__file__).parents[2]
TESTS = """import unittest
import solution


class Tests(unittest.TestCase):
    def test_1(self):
        self.assertEqual(solution.answer(), 42)
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fence is the Linux kernel's")


class Bench:
    """A seat of which a run needs no more than this."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace

    @asynccontextmanager
    async def process(self, *argv: str, **kwargs: Any) -> AsyncIterator[asyncio.subprocess.Process]:
        child = await asyncio.create_subprocess_exec(*argv, start_new_session=True, **kwargs)
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()


async def ran(workspace: Path, body: str, **more: Any) -> run.Ran:
    """What comes of a solution whose answer() has this body."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    solution = f"import ctypes, os, signal, sys, threading, time\n\n\ndef answer():\n{lines}\n    return 42\n"
    given = {"time_limit_s": 20, "memory_bytes": 256 * 2**20, **more}
    found = await run.run_tests(cast(Seat, Bench(workspace)), "x", solution, TESTS, **given)
    assert list(workspace.iterdir()) == [], "its folder stays"
    return found


# Each a line of Python that has to be refused; {secret}: a file outside, {pid}: the server.
REACHES = [
    "os.chmod({secret!r}, 0o666)",
    "os.chown({secret!r}, 0, 0)",
    "os.utime({secret!r}, (0, 0))",
    "os.setxattr({secret!r}, 'user.x', b'y')",
    "os.truncate({secret!r}, 0)",
    "os.link({secret!r}, 'here')",
    "os.unlink({secret!r})",
    "calls(libc.open({secret!r}.encode(), 0))",
    "os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)",
    "os.fchmod(os.open(os.__file__, os.O_RDONLY), 0o666)",
    "os.mknod('disk', 0o600 | {block}, os.makedev(8, 0))",
    "resource.prlimit({pid}, resource.RLIMIT_NOFILE, (50, 50))",
    "resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))",
    "os.setpriority(os.PRIO_PROCESS, {pid}, 19)",
    "os.sched_setaffinity({pid}, {{0}})",
    "os.kill({pid}, 0)",
    "os.kill(os.getppid(), signal.SIGKILL)",
    "os.pidfd_open(1) and signal.pidfd_send_signal(os.pidfd_open({pid}), 0)",
    "os.setsid()",
    "os.setpgid(0, 0)",
    "os.memfd_create('x')",
    "calls(libc.syncfs(1))",
    "calls(libc.shmget(0, 2**20, 0o1666))",
    "calls(libc.shmat(0, None, 0))",
    "calls(libc.semget(0, 1, 0o1666))",
    "calls(libc.msgget(0, 0o1666))",
    "calls(libc.mq_open(b'/x', os.O_CREAT | os.O_RDWR, 0o666, None))",
    "calls(libc.unshare(0x10000000))",
    "calls(libc.ptrace(16, {pid}, 0, 0))",
    "calls(libc.inotify_add_watch(libc.inotify_init(), {folder!r}.encode(), 0xfff))",
    "fcntl.fcntl(1, fcntl.F_SETOWN, {pid})",
    "socket.socket(socket.AF_UNIX)",
]


REACHING = """import errno, fcntl, resource, socket
libc = ctypes.CDLL(None, use_errno=True)

def calls(got):
    if got == -1:
        raise OSError(ctypes.get_errno(), "refused")

done = []
for line in {lines!r}:
    try:
        exec(line)
        done.append(line)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EXDEV):
            done.append((line, error.errno))
    except ValueError as error:
        assert "limit" in str(error), error
assert done == [], done"""


async def test_nothing_outside_is_reached(tmp_path: Path) -> None:
    """C7: not by a path, a descriptor, a process id or a key of the kernel's."""
    workspace, secret = tmp_path / "workspace", tmp_path / "secret"
    workspace.mkdir()
    secret.write_text("of another session")
    places = {"secret": str(secret), "folder": str(tmp_path), "pid": os.getpid(), "block": stat.S_IFBLK}
    before = secret.stat(), resource.getrlimit(resource.RLIMIT_NOFILE), os.getpriority(os.PRIO_PROCESS, 0)
    found = await ran(workspace, REACHING.format(lines=[one.format(**places) for one in REACHES]))
    assert found.fence == ["limits", *HELD, "processes"]
    assert found.is_passed, (found.failures, found.ended, found.output)
    assert before == (secret.stat(), resource.getrlimit(resource.RLIMIT_NOFILE), os.getpriority(os.PRIO_PROCESS, 0))


# What it makes of its folder and its descriptors -> what the report says.
MISCHIEF = {
    "a pipe and a link where a verdict was": (
        "os.mkfifo('verdict.json')\nos.symlink('/dev/zero', 'verdict')\nos._exit(0)",
        "exit code 0 before all tests had run",
    ),
    "a forged verdict of nothing but brackets": (
        (
            "for handle in range(3, 64):\n    try:\n        os.write(handle, b'[' * 12000)\n"
            "    except OSError:\n        pass\nos._exit(0)"
        ),
        "exit code 0 before all tests had run",
    ),
    "a folder that nobody can list": (
        "os.mkdir('x', 0o300)\ntime.sleep(9)",
        "ran longer than 1 s" if os.geteuid() == 0 else "made a folder that nobody can look into",  # but root can
    ),
    "folders in folders": (
        "for _ in range(1500):\n    os.mkdir('x' * 200)\n    os.chdir('x' * 200)\ntime.sleep(60)",
        "nested folders deeper than 32",
    ),
    "files": (
        "for n in range(10**6):\n    os.close(os.open(str(n), os.O_CREAT | os.O_WRONLY, 0))",
        "made more than 1000 files",
    ),
    "threads": (
        (
            "threading.stack_size(2**16)\nfor _ in range(500):\n"
            "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\ntime.sleep(60)"
        ),
        "threads; 64 are allowed",
    ),
    "memory in several processes": (
        "kept = [os.fork() for _ in range(2)]\nkept.append(bytearray(100 * 2**20))\ntime.sleep(60)",
        "took more than 256 MiB of memory in all its processes",
    ),
    "a bomb that nobody may ask to end": (
        (
            "signal.signal(signal.SIGTERM, lambda *_: print('asked'))\n"
            "for _ in range(60):\n    if os.fork() == 0:\n        time.sleep(60)\ntime.sleep(60)"
        ),
        "processes; 8 are allowed",
    ),
    "a bomb that goes off when it is asked to end": (
        (
            "def bomb(*_):\n    for _ in range(60):\n        if os.fork() == 0:\n            time.sleep(60)\n"
            "signal.signal(signal.SIGTERM, bomb)\ntime.sleep(60)"
        ),
        "processes; 8 are allowed",
    ),
}


@pytest.mark.parametrize("what", MISCHIEF)
async def test_mischief_is_ended_and_named(what: str, tmp_path: Path) -> None:
    """C4: and what it leaves is gone, whatever it is; `ran` looks. What is too much is killed at once, not asked."""
    body, named = MISCHIEF[what]
    found = await ran(tmp_path, body, time_limit_s=1 if "1 s" in named or "asked" in what else 20)
    assert named in "; ".join(found.ended)
    assert not found.is_passed
    assert "asked" not in found.output


FORGED = [
    "",
    "[" * 12_000,
    "[]",
    "null",
    '{"ran": 1e999, "failures": []}',
    '{"ran": 1, "failures": [["\\ud800", "x"]]}',
    '{"ran": 1, "failures": [' + ",".join(['["", ""]'] * 1000) + "]}",
]


@pytest.mark.parametrize("verdict", FORGED)
def test_a_forged_verdict_is_none(verdict: str) -> None:
    """It is judged like a program that ended before its tests, and nothing of it gets into the log."""
    found = run._judge(run.Report(ended=[], fence=[], code=3, verdict=verdict, output="", seconds=0))
    assert (found.ran, found.failures) == (0, [])
    assert found.ended == ["ended by itself with exit code 3 before all tests had run"]


async def test_where_the_data_lie_is_not_told(tmp_path: Path) -> None:
    """C7: neither in what it prints nor in what it raises."""
    found = await ran(tmp_path, "print(os.getcwd(), __file__)\nraise ValueError(os.getcwd())")
    assert found.failures == ["test_1: ValueError: ."]
    assert ". solution.py" in found.output
    assert str(tmp_path) not in str(found)


WITHOUT = {
    "Landlock": ("fence._landlock = lambda *_: 0", "keeps only limits, network, signals, machine, processes"),
    "a filter": ("fence._seccomp = lambda *_, **__: False", "keeps only limits, processes"),
}


@pytest.mark.parametrize("missing", WITHOUT)
async def test_without_a_whole_fence_nothing_is_run(missing: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Unless the operator allows it; and the report says what holds, not what was tried."""
    line, named = WITHOUT[missing]
    monkeypatch.setattr(
        run, "START", run.START.replace("sys.path.remove", f"from examples.cage import fence; {line}; sys.path.remove")
    )
    found = await ran(tmp_path, "pass")
    assert (found.ran, found.output) == (0, "")
    assert named in found.ended[0]
    assert (await ran(tmp_path, "pass", unfenced=True)).is_passed


def test_signals_are_refused_where_landlock_cannot_keep_them(tmp_path: Path) -> None:
    """Kernels before 6.12: the filter denies the calls themselves."""
    code = (
        f"import os, pathlib, sys; sys.path.insert(0, {str(ROOT)!r}); from examples.cage import fence\n"
        f"fence.SCOPES_VERSION = 99; print(fence.fence(pathlib.Path({str(tmp_path)!r})), flush=True)\n"
        "os.kill(os.getppid(), 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert str(list(HELD)) in done.stdout
    assert "PermissionError" in done.stderr


def test_no_session_lies_in_what_every_program_may_read(tmp_path: Path) -> None:
    """An image may have the application below /usr or below Python's prefix."""
    assert not {Path("/usr"), Path("/usr/src"), Path("/usr/local"), Path(sys.prefix), ROOT} & set(readable())
    assert warden.why_not(tmp_path, {"unfenced": False}) is None
    refused = warden.why_not(Path("/usr/lib/steward/workspaces/s.x"), {"unfenced": True})
    assert "below /usr/lib" in str(refused)


async def test_a_run_without_a_place_is_told_so(tmp_path: Path, monkeypatch: Any) -> None:
    """However many sessions there are, what programs take of the machine has one bound."""
    monkeypatch.setattr(run, "RUNS_MAX", 0)
    monkeypatch.setattr(run, "PLACE_S", 0.01)
    assert "was not run: 0 programs are running" in (await ran(tmp_path, "pass")).ended[0]


def test_hostile_tasks_are_offered_only_where_the_operator_breaks_things() -> None:
    for task in Hostile.__args__:  # type: ignore[attr-defined]
        with pytest.raises(Refused, match="task"):
            TEAM.read_options({"task": task})
        assert task not in str(TEAM.offered().model_json_schema())
        assert task in str(TEAM.offered(True).model_json_schema())
        assert TEAM.read_options({"task": task}, True).task == task
