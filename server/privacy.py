"""The data directory is its owner's alone: the log has what people said, the key opens everything."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

MODE: Final = 0o700
OTHERS: Final = 0o077
OURS: Final = ("log.sqlite", "key", "address", "workspaces", "play", ".writable.")  # how names in it begin
log = logging.getLogger("steward.privacy")


def make_private(folder: Path, *, is_ours: bool = False) -> str | None:
    """Make folder, or take its rights from others; None, or why it cannot be used as it is. Raises OSError.

    A directory with something else in it is left alone (is_ours: not this one): it may have a purpose that needs its
    rights, as /tmp has.
    """
    folder.mkdir(mode=MODE, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        return "it is another user's; name a directory below it"
    if not stat.S_IMODE(found.st_mode) & OTHERS:
        return None
    if not is_ours and not all(entry.name.startswith(OURS) for entry in folder.iterdir()):
        return f"other users may read or write it; `chmod 700 {folder}` would take that from them"
    folder.chmod(MODE)
    log.warning("%s could be read by other users; now it is yours only", folder)
    return None
