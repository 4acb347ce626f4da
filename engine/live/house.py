"""What the parts of the directory of sessions ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..clock import Clock
from ..journal.base import SessionRow
from ..log.state import SessionImage
from ..log.trimming import Trimmer
from ..plan import KindPlan
from ..session import Session
from .admission import Admission
from .arrivals import Arrivals


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
