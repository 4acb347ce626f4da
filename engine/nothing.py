"""Tables that are replaced when they change, so that everybody shares the empty one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})  # a dict of one's own takes 64 bytes, and 180 once it was used


def without(table: Mapping[K, V], key: K) -> Mapping[K, V]:
    """table, but for key; NOTHING if that leaves nothing."""
    return {one: value for one, value in table.items() if one != key} or NOTHING
