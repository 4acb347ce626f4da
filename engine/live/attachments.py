"""Connections of one session: how many there are of each role, within the file's `connections`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import LimitExceeded


@dataclass(eq=False, slots=True)
class Attachment:
    """One connection's place in a session; detach() gives it back and may be called twice."""

    _attachments: Attachments
    role: str
    is_attached: bool = True

    def detach(self) -> None:
        if self.is_attached:
            self.is_attached = False
            self._attachments.give_back(self.role)


class Attachments:
    """changed is called after every change; only control connections count as being connected."""

    __slots__ = ("_changed", "_controlling", "_observing")

    def __init__(self, changed: Callable[[], None]) -> None:
        self._controlling = self._observing = 0
        self._changed = changed

    def __len__(self) -> int:
        return self._controlling + self._observing

    @property
    def is_connected(self) -> bool:
        return self._controlling > 0

    def attach(self, role: str, most: int | None) -> Attachment:
        """Raises LimitExceeded if most places are taken (C6)."""
        if most is not None and len(self) >= most:
            raise LimitExceeded("connections", most, retry_ms=1000)
        self._count(role, 1)
        return Attachment(self, role)

    def give_back(self, role: str) -> None:
        self._count(role, -1)

    def _count(self, role: str, one: int) -> None:
        if role == "control":
            self._controlling += one
        else:
            self._observing += one
        self._changed()
