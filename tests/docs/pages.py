"""Reads a page of docs/ as the steps of somebody who follows it, and follows it: real files, real commands.

A comment before a fenced block says what it is:

    <!-- file: desk.py -->      the block is written to this file (in the page's own empty folder)
    <!-- edit: desk.py -->      the block is a diff: its `-` lines are replaced by its `+` lines, once in the file
    <!-- run -->                a console block: `$ command` lines, each with what it prints
    <!-- run: exit 1 -->        the same, for a command that has to fail so
    <!-- run: stays -->         the same, for a command that goes on: it has printed this, and runs until the end
    <!-- shown -->              not run, because another test does it or nothing can

In what is printed, … stands for anything within a line, and a line of … for any lines.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

COMMAND_S: Final = 100.0
DOCS_PORT: Final = "8080"  # what the pages say; a free one takes its place
LANGUAGES: Final = {"yaml", "python", "console", "toml", "diff", "json"}  # `bash` has a test of its own
_FENCE: Final = re.compile(
    r"(?:^<!-- (?P<marker>[^\n]+?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


class PageError(AssertionError):
    """A step of a page that does not do what the page says."""


@dataclass(frozen=True)
class Block:
    """One fenced block. line: of its fence in the page."""

    line: int
    marker: str
    language: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    for found in _FENCE.finditer(page):
        line = page.count("\n", 0, found.start("language")) + 1
        yield Block(line, found["marker"] or "", found["language"], found["text"])


@dataclass
class Walk:
    """Somebody who follows one page in a folder of their own."""

    folder: Path
    tools: Path
    port: str = ""
    stays: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.folder.mkdir(parents=True)
        self.tools.mkdir(parents=True)
        python = shlex.quote(sys.executable)
        code = shlex.quote("import sys; from server.cli import main; sys.exit(main())")
        self._tool("steward", f'exec {python} -I -c {code} "$@"')
        self._tool("pytest", f'exec {python} -m pytest -p no:cacheprovider -p no:asyncio "$@"')
        self._tool("python", f'exec {python} "$@"')

    def _tool(self, name: str, line: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("STEWARD_", "PYTHONPATH"))}
        path = f"{self.tools}{os.pathsep}{os.environ['PATH']}"
        return {**kept, "PATH": path, "STEWARD_PORT": self.port, "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}

    def follow(self, page: str) -> None:
        """Raises PageError with the line of the page."""
        try:
            for block in blocks(page):
                try:
                    self._take(block)
                except PageError as error:
                    raise PageError(f"line {block.line}: {error}") from None
        finally:
            for process in self.stays:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=COMMAND_S)

    def _take(self, block: Block) -> None:
        what, _, rest = block.marker.partition(":")
        rest = rest.strip()
        if what == "file":
            path = self.folder / rest
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif what == "edit":
            self._edit(self.folder / rest, block.text)
        elif what == "run":
            for command, output in commands(block.text):
                self._run(command, output, rest)
        elif what != "shown" and block.language in LANGUAGES:
            raise PageError(f"a {block.language} block says with no comment before it what it is")

    def _edit(self, path: Path, diff: str) -> None:
        lines = diff.splitlines()
        old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
        new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
        text = path.read_text()
        if text.count(old) != 1:
            raise PageError(f"{path.name} has these lines {text.count(old)} times:\n{old}")
        path.write_text(text.replace(old, new))

    def _run(self, command: str, output: str, how: str) -> None:
        command = command.replace(DOCS_PORT, self.port)
        # A shell of its own, and no more of it than the reader's: the tools come first on the path.
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}" if how == "stays" else command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if how == "stays":
            self.stays.append(process)
            self._listen(process, output)
            return
        try:
            printed, _ = process.communicate(timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise PageError(f"`{command}` does not end") from None
        wanted = int(how.removeprefix("exit ")) if how else 0
        if process.returncode != wanted:
            raise PageError(f"`{command}` leaves with {process.returncode}, not {wanted}:\n{printed}")
        self._compare(command, output, printed)

    def _listen(self, process: subprocess.Popen[str], output: str) -> None:
        """Read as many lines as the page shows; more than that would wait for ever."""
        assert process.stdout is not None
        ending = threading.Timer(COMMAND_S, process.kill)
        ending.start()
        printed = "".join(process.stdout.readline() for _ in output.splitlines())
        ending.cancel()
        self._compare("the server", output, printed)

    def _compare(self, command: str, output: str, printed: str) -> None:
        shown = output.strip("\n").replace(DOCS_PORT, self.port)
        if shown and not re.fullmatch(pattern(shown), printed.strip("\n").replace(f"{self.folder}/", "")):
            raise PageError(f"`{command}` prints\n{printed}\nwhere the page shows\n{shown}")


def commands(text: str) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of a console block; a command goes on after a line that ends with a backslash."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        count = 1
        while lines[count - 1].rstrip("\n").endswith("\\"):
            count += 1
        yield "".join(lines[:count]).rstrip("\n"), "".join(lines[count:])


def pattern(shown: str) -> str:
    """How many blanks there are counts for nothing."""
    lines = []
    for line in shown.splitlines():
        parts = [re.sub(r"(?:\\ )+", r"[ ]+", re.escape(part)) for part in line.rstrip().split("…")]
        lines.append(r"(?:.*\n)*?.*" if line.strip() == "…" else ".*".join(parts) + "[ \t]*")
    return "\n".join(lines)
