"""What the warden's child does: takes on limits and fence, runs the tests of a folder, and hands over what came of it.

It writes two lines into the pipe that it was given: before any foreign code runs, what holds (a list of names); at
the end {ran, failures: [[test, why]], broke?}. The code under test runs in here, so it can forge the second one.
"""

from __future__ import annotations

import json
import os
import re
import sys
import unittest
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from .fence import DEVICES, HELD, fence, limit, readable

BROKE_OUT: Final = 97  # the exit code when the hook below has ended the program
UNFENCED: Final = 98  # and when it was not run, for want of a fence
NICE: Final = 10  # whoever watches it comes first
FAILURES_MAX: Final = 20
TEXT_CHARS_MAX: Final = 300


def run(folder: Path, verdict: int, cpu_s: int, memory_bytes: int, *, unfenced: bool) -> None:
    """Does not return."""
    os.nice(NICE)
    if sys.platform == "linux":
        with suppress(OSError):  # if the machine has no memory left, this one goes first
            Path("/proc/self/oom_score_adj").write_text("1000")
    limit(cpu_s, memory_bytes)
    holds = fence(folder)
    _write(verdict, ["limits", *holds])
    if not unfenced and any(name not in holds for name in HELD):
        os._exit(UNFENCED)
    found: dict[str, Any] = {"ran": 0, "failures": []}
    name_who_peeks(folder, verdict, found)
    sys.path.insert(0, str(folder))
    suite = unittest.defaultTestLoader.loadTestsFromName("tests")
    result = unittest.TextTestRunner(stream=sys.stdout, failfast=False).run(suite)
    problems = [*result.failures, *result.errors][:FAILURES_MAX]
    found["ran"] = result.testsRun
    found["failures"] = [[_text(str(test).split()[0]), _text(why(text))] for test, text in problems]
    leave(os.getpid(), verdict, found, 0 if result.wasSuccessful() else 1)


def name_who_peeks(folder: Path, verdict: int, found: dict[str, Any]) -> None:
    """End the program at the first file that it opens outside, and say which: the fence would only refuse it."""
    places = (folder, *readable(), *map(Path, DEVICES))
    allowed = tuple(str(place.resolve()) for place in places)
    me = os.getpid()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or "broke" in found or not isinstance(arguments[0], (str, bytes)):
            return
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if not any(path == place or path.startswith(place + os.sep) for place in allowed):
            found["broke"] = _text(f"opened {path}")
            leave(me, verdict, found, BROKE_OUT)

    sys.addaudithook(hook)


def leave(me: int, verdict: int, found: dict[str, Any], code: int) -> None:
    if os.getpid() == me:  # else a child of the program came back from it; the verdict is its parent's
        _write(verdict, found)
        sys.stdout.flush()
    os._exit(code)  # whatever threads and exit handlers the program has left


def _write(verdict: int, told: Any) -> None:
    os.write(verdict, json.dumps(told, ensure_ascii=False).encode() + b"\n")


def _text(text: str) -> str:
    """Half a surrogate pair, which Python's texts may hold, is no text for anybody else."""
    return text[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode()


def why(text: str) -> str:
    """What was raised: a traceback's last line that names an error; a comparison follows with lines of its own."""
    lines = [line for line in text.splitlines() if re.match(r"[\w.]+(Error|Exception|Exit|Interrupt)\b", line)]
    return (lines or text.splitlines() or [""])[-1]
