"""Which release this is."""

from __future__ import annotations

from importlib import metadata
from typing import Final

DISTRIBUTION: Final = "session-steward"


def version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # run from a source tree that was not installed
        return "0+source"
