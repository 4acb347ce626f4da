"""What one session needs of the directory that all are in: sessions.SessionManager is the only one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..clock import Clock
from ..observer import Observer
from ..plan import KindPlan
from ..records import Caller
from ..resources import Resource
from .arrivals import Arrivals

if TYPE_CHECKING:
    from ..log.trimming import Trimmer
    from ..session import Session


class Directory(Protocol):
    """What a session reads from it, and tells it."""

    @property
    def plans(self) -> Mapping[str, KindPlan]: ...
    @property
    def services(self) -> Mapping[str, Any]: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def arrivals(self) -> Arrivals: ...
    @property
    def trimmer(self) -> Trimmer: ...
    @property
    def observer(self) -> Observer: ...
    @property
    def random(self) -> random.Random: ...
    def session_ended(self, session: Session) -> None: ...
    def session_failed(self, session: Session, error: Exception) -> None: ...
    def written_off(self, session: Session, resource: Resource, reason: str, caller: Caller) -> None: ...
