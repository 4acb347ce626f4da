"""What a person passed to the node: leaks that were written off, named and kept track of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WRITTEN_OFF_MAX: Final = 1000  # the newest; every one of them is in the log of the server too


@dataclass(frozen=True, slots=True)
class WrittenOff:
    """A leak that an admin passed to the node. at: UTC seconds."""

    sid: str
    kind: str
    name: str
    reason: str
    user: str
    at: float
