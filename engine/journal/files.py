"""The files around a database: made private, held by one process, and looked at before anything opens them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import JournalError

FILE_MODE: Final = 0o600  # what people said to agents is in it
DIRECTORY_MODE: Final = 0o700

_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_USER_VERSION_AT: Final = 60  # sqlite.org/fileformat.html#the_database_header
_APPLICATION_ID_AT: Final = 68
_PID_BYTES_MAX: Final = 32


class Header(NamedTuple):
    """The marks in a database file's first bytes."""

    application_id: int
    user_version: int


def prepare_file(path: Path) -> None:
    """Make the file and its directories if they are not there, for this user alone, so that a crash keeps them."""
    _make_directory(path.parent)
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        _sync_directory(path.parent)


def _make_directory(directory: Path) -> None:
    if not directory.exists():
        _make_directory(directory.parent)
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_header(path: Path) -> Header | None:
    """The marks of a database file; None if nothing is written in it yet. Raises ValueError if it is none."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if not head.strip(b"\0"):
        # Empty, or cut off while it was made: the database itself knows how to go on from there.
        return None
    if len(head) < _HEADER_BYTES or not head.startswith(_MAGIC):
        raise ValueError(f"{path} does not begin like a SQLite database")
    return Header(_number(head, _APPLICATION_ID_AT), _number(head, _USER_VERSION_AT))


def _number(head: bytes, at: int) -> int:
    return int.from_bytes(head[at : at + 4], "big", signed=True)


class FileLock:
    """One process, and one journal in it, on a database. The lock is the kernel's and ends with the process; the
    file beside the database only says whose it is, and stays: removing it would race with the next taker."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises JournalError, naming the holder's process, if it is held."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, _PID_BYTES_MAX, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise JournalError(
                f"{self._path}: process {holder or 'unknown'} is using this journal; end it, or name another directory"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None
