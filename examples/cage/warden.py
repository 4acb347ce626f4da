"""Starts a program that nobody trusts, watches it, ends it and tells what came of it: warden FOLDER LIMITS.

It is a process between the server and the program, so that no looking, waiting or reading of what the program does
costs the server's event loop anything. It heads the process group that the program cannot leave, and all that the
program starts is its offspring (PR_SET_CHILD_SUBREAPER). Its last act, whatever happened, is to kill the group with
itself in it: no other way ends processes that start processes faster than one can look.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

from . import runner
from .fence import readable
from .offspring import Fill, can_count, offspring

LOOK_S: Final = 0.02
GRACE_S: Final = 0.5  # between asking a program to end and ending it
PROCESSES_MAX: Final = 8
THREADS_MAX: Final = 64
ENTRIES_MAX: Final = 1000
DISK_BYTES_MAX: Final = 32 * 2**20
OUTPUT_BYTES_MAX: Final = 64 * 1024
TAIL_CHARS: Final = 2000  # of the output, for the report
VERDICT_BYTES_MAX: Final = 16 * 1024
REPORT_BYTES_MAX: Final = 60 * 1024  # less than a pipe holds: to write it waits for nobody
SUBREAPER: Final = 36  # linux/prctl.h


class Pipe:
    """Our end of one, with what came out of it so far, up to a little more than most bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.content = bytearray()
        self.end, self.theirs = os.pipe()
        self.is_open = True
        os.set_blocking(self.end, False)

    @property
    def is_full(self) -> bool:
        return len(self.content) > self.most

    def read(self) -> None:
        try:
            while not self.is_full:
                block = os.read(self.end, 16 * 1024)
                self.content += block
                if not block:
                    self.is_open = False
                    return
        except BlockingIOError:
            return

    def text(self, hidden: Path) -> str:
        """Where this machine keeps its sessions is nobody's business, as far as the program does not spell it out."""
        text = self.content[: self.most].decode(errors="replace")
        return text.replace(f"{hidden}{os.sep}", "").replace(str(hidden), ".")


class Warden:
    """limits: time_s, cpu_s, memory_bytes, unfenced."""

    def __init__(self, folder: Path, limits: dict[str, Any]) -> None:
        self.folder = folder
        self.limits = limits
        self.output, self.verdict = Pipe(OUTPUT_BYTES_MAX), Pipe(VERDICT_BYTES_MAX)
        self.began = time.monotonic()
        self.pid = 0
        self.code: int | None = None
        self.ended: list[str] = []
        self.alive: set[int] = set()

    def start(self) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            self._become_program()
        os.close(self.output.theirs)
        os.close(self.verdict.theirs)

    def _become_program(self) -> None:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for handle in (1, 2):
                os.dup2(self.output.theirs, handle)
            for handle in (self.output.end, self.verdict.end, self.output.theirs):
                os.close(handle)
            cpu_s, memory_bytes = self.limits["cpu_s"], self.limits["memory_bytes"]
            runner.run(self.folder, self.verdict.theirs, cpu_s, memory_bytes, unfenced=self.limits["unfenced"])
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(70)  # it must not go on as a second warden

    def watch(self) -> None:
        """Until it has ended by itself, or has to be ended; then politely, if it was only slow or forgetful."""
        while self.code is None and not self.ended:
            self._look()
            if time.monotonic() - self.began >= self.limits["time_s"]:
                self.ended.append(f"ran longer than {self.limits['time_s']:g} s")
                break
        else:
            if self.ended:  # by what there was too much of: that is not asked
                return
        self._ask_to_end()

    def _look(self) -> None:
        """Wait a moment for what it writes, see what has ended, and whether there is too much of anything."""
        pipes = {pipe.end: pipe for pipe in (self.output, self.verdict) if pipe.is_open and not pipe.is_full}
        for handle in select.select(list(pipes), (), (), LOOK_S)[0]:
            pipes[handle].read()
        self._reap()
        found = offspring()
        self.alive = found.alive
        memory = self.limits["memory_bytes"]
        too_much = {
            f"started {len(found.alive)} processes; {PROCESSES_MAX} are allowed": len(found.alive) > PROCESSES_MAX,
            f"started {found.threads} threads; {THREADS_MAX} are allowed": found.threads > THREADS_MAX,
            f"took more than {memory // 2**20} MiB of memory in all its processes": found.memory_bytes > memory,
            f"wrote more than {OUTPUT_BYTES_MAX // 1024} KiB": self.output.is_full,
            Fill(ENTRIES_MAX, DISK_BYTES_MAX).look(self.folder): True,
        }
        self.ended += [why for why, is_so in too_much.items() if why and is_so][:1]

    def _reap(self) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self.pid:
                    self.code = os.waitstatus_to_exitcode(ended[1])
        except ChildProcessError:
            return

    def _ask_to_end(self) -> None:
        """Who does not care is killed with the group, and named; at once if there come to be too many of them."""
        why, left = len(self.ended), set(self.alive)
        if not left:
            return
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while self.alive and time.monotonic() < deadline and len(self.ended) == why:
            self._look()
            left |= self.alive  # what is left may still be forking, so no single look sees all of it
        if not why:
            self.ended.insert(0, f"left {len(left)} processes running")
        if self.alive:
            self.ended.append(f"{len(self.alive)} of its processes did not care to be asked, and were killed")

    def report(self) -> dict[str, Any]:
        self.output.read()
        self.verdict.read()
        # The first line was written before any foreign code ran.
        fence, _, verdict = self.verdict.text(self.folder).partition("\n")
        return {
            "ended": self.ended,
            "fence": [*json.loads(fence), *(["processes"] if can_count() else [])] if fence else [],
            "code": self.code,
            "verdict": verdict,
            "output": self.output.text(self.folder)[-TAIL_CHARS:],
            "seconds": round(time.monotonic() - self.began, 3),
        }


def tell(report: dict[str, Any]) -> None:
    told = json.dumps(report, ensure_ascii=False).encode()
    if len(told) > REPORT_BYTES_MAX:
        told = json.dumps({**report, "verdict": "", "output": ""}).encode()
    os.write(1, told)


def why_not(folder: Path, limits: dict[str, Any]) -> str | None:
    """Why nothing may be run here at all."""
    for place in readable():
        if folder.is_relative_to(place):
            return f"was not run: the sessions are kept below {place}, which every program may read; move the data"
    if not can_count() and not limits["unfenced"]:
        return "was not run: this kernel does not tell which processes a program has started"
    return None


def main(folder: Path, limits: dict[str, Any]) -> None:
    warden = Warden(folder, limits)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    try:
        if refused := why_not(folder, limits):
            warden.ended.append(refused)
        else:
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
            warden.start()
            warden.watch()
        tell(warden.report())
    except BaseException:
        traceback.print_exc()  # the operator's to see; the server notices that there is no report
        sys.stderr.flush()
    finally:
        os.killpg(0, signal.SIGKILL)
