"""Puts the peers into benchmarks/.peers, from the registries their users' pip and npm are configured for."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from .scenario import HERE, PEERS

INSTALL_S: Final = 600
PINS: Final = HERE / "peers.txt"
SCRIPTS: Final = HERE / "peers"
NODE_FILES: Final = ("package.json", "package-lock.json")


class CannotInstall(Exception):
    """Why peers of a sort are not there; they become rows `not measured`."""


def install(needed: set[str], say: Callable[[str], None]) -> dict[str, str]:
    """Install the sorts of peers that are needed; why each that is not there is not."""
    lacking: dict[str, str] = {}
    for sort, step in (("python", _python), ("loop", _loop), ("node", _node)):
        if sort in needed:
            try:
                step(say)
            except (CannotInstall, OSError, subprocess.TimeoutExpired) as error:
                lacking[sort] = str(error)
                say(f"not measured, all of {sort}: {error}")
    return lacking


def _run(command: Sequence[object], cwd: Path) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise CannotInstall(f"{Path(str(command[0])).name} failed: {last[0]}")


def _is_current(place: Path, files: Sequence[Path]) -> bool:
    stamp = place / ".installed"
    return stamp.exists() and stamp.read_text() == _digest(files)


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _python(say: Callable[[str], None]) -> None:
    place = PEERS / "python"
    if _is_current(place, [PINS]):
        return
    say("installing the Python peers into benchmarks/.peers")
    shutil.rmtree(place, ignore_errors=True)
    _run([sys.executable, "-m", "venv", place], HERE)
    pip = [place / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _run([*pip, "-r", PINS], HERE)
    (place / ".installed").write_text(_digest([PINS]))


def _loop(say: Callable[[str], None]) -> None:
    """uvloop alone, for sides that run in our own environment with it: its version is the one pinned for all."""
    place = PEERS / "loop"
    if _is_current(place, [PINS]):
        return
    _python(say)
    shutil.rmtree(place, ignore_errors=True)
    pin = next(line for line in PINS.read_text().splitlines() if line.startswith("uvloop=="))
    pip = [PEERS / "python/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", "--target", place, pin], HERE)
    (place / ".installed").write_text(_digest([PINS]))


def _node(say: Callable[[str], None]) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise CannotInstall("there is no node with npm on the PATH")
    place, files = PEERS / "node", [SCRIPTS / name for name in NODE_FILES]
    if not _is_current(place, files):
        say("installing the Node peers into benchmarks/.peers")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for file in files:
            shutil.copy(file, place)
        _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], place)
        (place / ".installed").write_text(_digest(files))
    for script in SCRIPTS.glob("*.mjs"):  # beside the packages they import
        shutil.copy(script, place)
