"""How many processes and threads a program has become, how much memory they hold, and how full its folder is."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DEPTH_MAX: Final = 32  # of folders in folders; each costs whoever looks a descriptor
BLOCK_BYTES: Final = 512  # what st_blocks counts, whatever the file system's own blocks are


@dataclass(slots=True)
class Offspring:
    """alive: process ids, without those that only wait for their parent to notice."""

    alive: set[int] = field(default_factory=set)
    threads: int = 0
    memory_bytes: int = 0


def offspring() -> Offspring:
    """Of the calling process, by what the kernel shows of its descendants; none where there is no such thing.

    It costs what there is of them, not what there is on the machine.
    """
    found, waiting = Offspring(), [os.getpid()]
    while waiting:
        pid = waiting.pop()
        with suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        if pid != os.getpid():
            _count(pid, found)
    return found


def _count(pid: int, found: Offspring) -> None:
    with suppress(OSError):
        shown = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        state, threads, pages = shown[0], int(shown[17]), int(shown[21])
        if state not in "ZX" or threads > 1:
            found.alive.add(pid)
            found.threads += threads
            found.memory_bytes += pages * resource.getpagesize()


def can_count() -> bool:
    return Path(f"/proc/self/task/{os.getpid()}/children").exists()


class TooFull(Exception):
    """Says what there is too much of."""


@dataclass(slots=True)
class Fill:
    """Of a folder, counted until there is too much of it."""

    entries_max: int
    bytes_max: int
    entries: int = 0
    bytes: int = 0

    def look(self, folder: Path) -> str | None:
        """What there is too much of. Nothing is followed, nothing but folders is opened."""
        try:
            self._add(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC), 1)
        except TooFull as error:
            return str(error)
        return None

    def _add(self, handle: int, depth: int) -> None:
        try:
            with os.scandir(handle) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError, NotADirectoryError):  # removed or replaced meanwhile
                        self._add_entry(entry, handle, depth)
        finally:
            os.close(handle)

    def _add_entry(self, entry: os.DirEntry[str], folder: int, depth: int) -> None:
        self.entries += 1
        self.bytes += entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
        if self.entries > self.entries_max:
            raise TooFull(f"made more than {self.entries_max} files")
        if self.bytes > self.bytes_max:
            raise TooFull(f"filled more than {self.bytes_max // 2**20} MiB of disk")
        if entry.is_dir(follow_symlinks=False):
            if depth == DEPTH_MAX:
                raise TooFull(f"nested folders deeper than {DEPTH_MAX}")
            self._add(self._open(entry.name, folder), depth + 1)

    def _open(self, name: str, folder: int) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(name, flags, dir_fd=folder)
        except PermissionError:
            raise TooFull("made a folder that nobody can look into") from None
