"""Removing a folder in which others have made what they liked: however deep, long of name or locked it is."""

from __future__ import annotations

import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_folder(path: Path, within_s: float) -> None:
    """For a thread. Nobody may be at work in there any more; that nothing is there is no error.

    Raises TimeoutError, or another OSError that names what stays; called again, it goes on from there.
    """
    with suppress(FileNotFoundError):
        path.chmod(0o700)
        root = os.open(path, OPEN)
        try:
            _empty(root, time.monotonic() + within_s)
        finally:
            os.close(root)
        path.rmdir()


def _empty(root: int, deadline: float) -> None:
    """Folders in folders are first moved up to here: so no depth needs recursion, long paths or many descriptors."""
    mark, moved = secrets.token_hex(8), 0
    waiting = _clear(root, deadline)
    while waiting:
        name = waiting.pop()
        with suppress(FileNotFoundError):  # another removal was there first
            folder = os.open(name, OPEN, dir_fd=root)
            try:
                for inner in _clear(folder, deadline):
                    moved += 1
                    os.rename(inner, f"{mark}-{moved}", src_dir_fd=folder, dst_dir_fd=root)
                    waiting.append(f"{mark}-{moved}")
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=root)


def _clear(folder: int, deadline: float) -> list[str]:
    """Remove everything in it but folders; those it returns, unlocked. Nothing is followed."""
    folders = []
    for name in os.listdir(folder):
        if time.monotonic() > deadline:
            raise TimeoutError("there is too much in it to be removed in the time there was")
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.chmod(name, 0o700, dir_fd=folder)
                folders.append(name)
            else:
                os.unlink(name, dir_fd=folder)
    return folders
