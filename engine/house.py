"""What the parts of the directory of sessions ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .admission import Admission
from .arrivals import Arrivals
from .clock import Clock
from .journal.base import SessionRow
from .plan import KindPlan
from .session import Session
from .state import SessionImage
from .trimming import Trimmer


class House(Protocol):
    """SessionManager is one."""

    @property
    def clock(self) -> Clock: ...
    @property
    def admission(self) -> Admission: ...
    @property
    def arrivals(self) -> Arrivals: ...
    @property
    def trimmer(self) -> Trimmer: ...
    @property
    def plans(self) -> Mapping[str, KindPlan]: ...
    @property
    def is_leaving(self) -> bool: ...
    def build(self, row: SessionRow, image: SessionImage) -> Session: ...
