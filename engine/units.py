"""Durations and sizes as lifecycle.yaml writes them: a number with its unit."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES: Final = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}

DURATION_S_MAX: Final = 366 * 86400.0  # far longer than anything lives; what is longer was meant otherwise

DURATION_PATTERN: Final = r"^([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)$"
SIZE_PATTERN: Final = r"^([0-9]{1,12})(B|KB|MB|GB)$"
_DURATION: Final = re.compile(DURATION_PATTERN)
_SIZE: Final = re.compile(SIZE_PATTERN)


class TooLong(ValueError):
    """A duration, but above DURATION_S_MAX."""


def parse_duration(value: Any) -> float:
    """Seconds of "250ms", "30s", "5m", "8h" or "1d". Raises ValueError for anything else, a bare number too, and above
    DURATION_S_MAX."""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        seconds = float(found[1]) * SECONDS[found[2]]
        if seconds > DURATION_S_MAX:
            raise TooLong(f"{value!r} is too long; the longest duration is {show_duration(DURATION_S_MAX)}")
        return seconds
    raise ValueError(f"{value!r} is not a duration; write a number with its unit: 250ms, 30s, 5m, 8h or 1d")


def parse_size(value: Any) -> int:
    """Bytes of "64KB" or "256MB". Raises ValueError for anything else, a bare number too."""
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        return int(found[1]) * BYTES[found[2]]
    raise ValueError(f"{value!r} is not a size; write a number with its unit: 512B, 64KB, 256MB or 1GB")


def show_duration(seconds: float) -> str:
    """The shortest way lifecycle.yaml would write it: 90 -> "90s", 300 -> "5m"."""
    for unit in ("d", "h", "m", "s"):
        count = seconds / SECONDS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["250ms", "30s", "5m", "8h"]}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "examples": ["64KB", "256MB"]}),
]
