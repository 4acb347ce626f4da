"""The bytes of a lifecycle file: a regular file, or a pipe that somebody writes to."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Final

SILENCE_S: Final = 5.0  # for which a pipe may give nothing; whatever writes it may still be starting


def read_source(path: Path, most: int) -> bytes:
    """At most `most` bytes. Raises OSError in words for who named the path; never waits for a writer that is not there.

    A pipe without a writer would hold a plain open() for ever, and a terminal a plain read().
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        text = b""
        while len(text) < most:
            piece = _piece(descriptor, most - len(text))
            if not piece:
                break
            text += piece
        if not text and not path.is_file():
            raise OSError(0, "it is no file, and nobody writes to it")
        return text
    finally:
        os.close(descriptor)


def _piece(descriptor: int, most: int) -> bytes:
    """b"" at the end."""
    while True:
        try:
            return os.read(descriptor, most)
        except BlockingIOError:
            if not select.select([descriptor], [], [], SILENCE_S)[0]:
                raise OSError(0, f"it is no file, and gave nothing for {SILENCE_S:g} s") from None
