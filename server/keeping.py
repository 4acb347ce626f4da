"""The tokens of sessions that `steward play` has begun, so that it can come back to them. One file each, 0600."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from .auth import read_key

OLD_S: Final = 7 * 86400.0  # no session of a terminal is waited for so long
_SID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # it becomes the name of a file


class Kept:
    """The tokens in one folder, by session. A token that cannot be kept is a rejoin less, never a game less."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def token(self, sid: str) -> str | None:
        """None if there is none that only this user could have read."""
        return read_key(self.folder / sid) if _SID.fullmatch(sid) else None

    def keep(self, sid: str, token: str) -> bool:
        """Whether it is kept. Old ones go on the way."""
        if not _SID.fullmatch(sid):
            return False
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._drop_old()
            descriptor = os.open(self.folder / sid, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(token + "\n")
        except FileExistsError:
            return self.token(sid) == token
        except OSError:
            return False
        return True

    def drop(self, sid: str) -> None:
        if _SID.fullmatch(sid):
            with suppress(OSError):
                (self.folder / sid).unlink()

    def _drop_old(self) -> None:
        for file in self.folder.iterdir():
            with suppress(OSError):
                if time.time() - file.stat().st_mtime > OLD_S:
                    file.unlink()
