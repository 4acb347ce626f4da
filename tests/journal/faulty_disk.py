"""A disk that can be told to fail, to stall and to count, under a real SQLite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw


class FaultyDisk(apsw.VFS):
    """Registered as the default file system of SQLite for connections opened while it lives.

    fails_at: the number of the operation that fails, and with is_lasting all that follow; count says how many there
    were. Operations are those that a real disk can refuse: open, read, write, sync, truncate, delete. is_hurried: a
    sync waits for nothing, which only a power cut could tell.
    """

    def __init__(self) -> None:
        self.fails_write: apsw.Error | None = None
        self.fails_sync: apsw.Error | None = None
        self.fails_at: int | None = None
        self.is_lasting = False
        self.is_hurried = False
        self.error: apsw.Error = apsw.IOError("injected")
        self.count = 0
        self.syncs = 0
        self.answers = threading.Event()
        self.answers.set()
        # By its name: the default, which "" stands for, is about to be this one.
        self.below = apsw.vfs_names()[0]
        super().__init__("faulty-disk", self.below, makedefault=True)

    def operate(self, is_change: bool = True) -> None:
        """One more operation. Raises the error if it is its turn. Only an IOError comes of operations that change
        nothing on the disk: no other is ever met there."""
        if not is_change and not isinstance(self.error, apsw.IOError):
            return
        self.count += 1
        is_due = self.fails_at is not None and self.count >= self.fails_at
        if is_due and (self.is_lasting or self.count == self.fails_at):
            raise self.error

    def recover(self) -> None:
        self.fails_at = None

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:
        self.operate(is_change=False)
        return FaultyFile(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        self.operate()
        super().xDelete(name, sync)

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

    def xRead(self, amount: int, offset: int) -> bytes:
        self.disk.operate(is_change=False)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.operate()
        if self.disk.fails_write is not None:
            raise self.disk.fails_write
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self.disk.operate()
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self.disk.answers.wait()
        self.disk.operate(is_change=False)
        self.disk.syncs += 1
        if self.disk.fails_sync is not None:
            raise self.disk.fails_sync
        if not self.disk.is_hurried:
            super().xSync(flags)
