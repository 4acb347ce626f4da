"""The files around a database: made private, held by one process, and looked at before anything opens them."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import JournalError

FILE_MODE: Final = 0o600  # what people said to agents is in it
DIRECTORY_MODE: Final = 0o700

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)

_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_USER_VERSION_AT: Final = 60  # sqlite.org/fileformat.html#the_database_header
_APPLICATION_ID_AT: Final = 68
_PAGE_BYTES: Final = 4096
_CHANGE_AT: Final = 24
_PAGES_AT: Final = 28
_FREE_AT: Final = 32
_PAGES_VALID_AT: Final = 92
_PID_BYTES_MAX: Final = 32
_LOCK: Final = "hhqqi4x"  # struct flock as Linux has it: type, whence, start, length, process


class Header(NamedTuple):
    """The marks in a database file's first bytes."""

    application_id: int
    user_version: int


def what_helps(error: OSError, otherwise: str) -> str:
    """What can be done about an error of the disk: another directory does not help who needs this one."""
    return "make room there" if error.errno in _FULL else otherwise


def is_read_only(error: OSError) -> bool:
    """Whether nobody, or nobody like us, may write there."""
    return error.errno in _READ_ONLY


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


def transplant_first_page(healthy: Path, damaged: Path) -> None:
    """Put the first page of a new file in place of a damaged one: in all files of a format it says the same, but for
    how many pages there are, and which of them are free, which nobody needs to know who only reads."""
    page = bytearray(healthy.read_bytes()[:_PAGE_BYTES])
    least = int.from_bytes(page[_PAGES_AT : _PAGES_AT + 4], "big")  # with fewer it is not even opened
    pages = max(damaged.stat().st_size // _PAGE_BYTES, least)
    page[_PAGES_AT : _PAGES_AT + 4] = pages.to_bytes(4, "big")
    page[_FREE_AT : _FREE_AT + 8] = bytes(8)
    page[_CHANGE_AT : _CHANGE_AT + 4] = page[_PAGES_VALID_AT : _PAGES_VALID_AT + 4]
    with damaged.open("r+b") as file:
        file.write(page)
        file.truncate(pages * _PAGE_BYTES)


def _number(head: bytes, at: int) -> int:
    return int.from_bytes(head[at : at + 4], "big", signed=True)


def refuse_second_name(path: Path) -> None:
    """Raises JournalError if the file has another name than this, by a hard link: what a crash leaves beside it under
    one name is not seen under the other. Names the process that uses it, if one does."""
    if path.stat().st_nlink == 1:
        return
    holder = _holder(path)
    if holder:
        raise JournalError(f"{path}: process {holder} is using this journal by another name; end it, or copy the file")
    raise JournalError(f"{path}: the file has a second name (a hard link): remove one of them, or copy the file")


def _holder(path: Path) -> int:
    """The process that has a lock on a file, as SQLite takes them; 0 if there is none, or it cannot be told."""
    if sys.platform != "linux":
        return 0
    with path.open("rb") as file:
        asked = struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_, pid = struct.unpack(_LOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else int(pid)


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
