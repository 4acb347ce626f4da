"""The harness's end of a side: starts its process, asks for rounds, ends it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from types import TracebackType
from typing import IO, Any, Final

from .scenario import PEERS, ROOT, Side

END_S: Final = 10.0
ERROR_LINES: Final = 3


class SideFailed(Exception):
    """A side did not answer, or died; the text is for the row `not measured`."""


class Process:
    """`with Process(side, ready_s) as one: one.play(round_s)`. versions: of what it runs on."""

    def __init__(self, side: Side, ready_s: float) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        path = [str(ROOT), *([str(PEERS / "loop")] if side.needs == "loop" else [])]
        self._child = subprocess.Popen(
            side.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        self._rest = b""
        try:
            self.versions: dict[str, str] = self._answer(ready_s)["versions"]
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def play(self, round_s: float) -> dict[str, Any]:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(b"round\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise SideFailed(self._last_words()) from None
        return self._answer(round_s)

    def _answer(self, seconds: float) -> dict[str, Any]:
        """The next line of the side. Raises SideFailed if it takes longer, or is over."""
        assert self._child.stdout is not None
        until, pipe = time.monotonic() + seconds, self._child.stdout.fileno()
        while b"\n" not in self._rest:
            ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise SideFailed(f"no answer within {seconds:g} s")
            chunk = os.read(pipe, 65_536)
            if not chunk:
                raise SideFailed(self._last_words())
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        plain: dict[str, Any] = json.loads(line)
        return plain

    def _last_words(self) -> str:
        self._child.wait(END_S)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        said = " / ".join(line.strip() for line in lines[-ERROR_LINES:]) or "it said nothing"
        return f"its process ended with {self._child.returncode}: {said.replace(str(ROOT), '.')}"

    def end(self) -> None:
        """Close the pipe, which a side takes for the end; kill its whole group if it does not go."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._child.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, 9)
            self._child.wait(END_S)
        self._errors.close()
