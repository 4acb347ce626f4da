"""Looking whether a file, a child process or a task is really gone, and what ends a child process."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..resources import Resource

FORCED_KILL_S: Final = 1.0


def _file_is_gone(resource: Resource) -> bool:
    return resource.handle is None or bool(resource.handle.closed)


def _process_is_gone(resource: Resource) -> bool:
    if resource.handle is None:
        return True
    if resource.handle.returncode is None:
        return False
    try:
        os.killpg(resource.handle.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return not _has_living_member(resource.handle.pid)


def _has_living_member(group: int) -> bool:
    """Whether a process group has more than zombies, which whoever adopted them has not reaped yet (Linux)."""
    try:
        stats = [_stat(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return True
    return not stats or any(int(fields[2]) == group and fields[0] not in "ZX" for fields in stats if fields)


def _stat(entry: Path) -> list[str]:
    """State, parent and process group of a process; [] if it is gone."""
    try:
        return (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
    except OSError:
        return []


def _task_is_gone(resource: Resource) -> bool:
    return bool(resource.handle.done())


BUILT_IN_PROBES: Final[Mapping[str, Callable[[Resource], bool]]] = {
    "files": _file_is_gone,
    "processes": _process_is_gone,
    "tasks": _task_is_gone,
}


def close_pipes(resource: Resource) -> None:
    """Close our ends of a dead child's pipes: what it left running elsewhere may hold the others for ever."""
    transport = getattr(resource.handle, "_transport", None)
    if transport is not None:
        transport.close()


def signal_group(resource: Resource, number: signal.Signals) -> None:
    """Send a signal to a child's whole process group; none left is no error."""
    if resource.handle is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(resource.handle.pid, number)
