"""A disk that can be told to fail, to stall and to count, under a real SQLite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw


class FaultyDisk(apsw.VFS):
    """Registered as the default file system of SQLite for connections opened while it lives."""

    def __init__(self) -> None:
        self.fails_write: apsw.Error | None = None
        self.fails_sync: apsw.Error | None = None
        self.syncs = 0
        self.answers = threading.Event()
        self.answers.set()
        # By its name: the default, which "" stands for, is about to be this one.
        self.below = apsw.vfs_names()[0]
        super().__init__("faulty-disk", self.below, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:
        return FaultyFile(self, name, flags)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        self.answers.clear()
        try:
            yield
        finally:
            self.answers.set()


class FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        super().__init__(disk.below, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self.disk.fails_write is not None:
            raise self.disk.fails_write
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self.disk.answers.wait()
        self.disk.syncs += 1
        if self.disk.fails_sync is not None:
            raise self.disk.fails_sync
        super().xSync(flags)
