"""JSON text for the log and the wire: compact, one form for one value. The only door to orjson."""

from __future__ import annotations

from typing import Any

import orjson


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON; NaN and infinities become null. Raises TypeError for what JSON cannot say (bytes, keys
    that are no strings, integers over 64 bits)."""
    # A copy: what orjson returns keeps the 4 KiB it was written in (3.13.0), and thousands of these are kept.
    return bytes(memoryview(orjson.dumps(value)))


def encode_sorted(value: Any) -> bytes:
    """As encode(), with keys in one order: the same text for equal values."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def decode(text: bytes | str) -> Any:
    """Raises ValueError if text is not JSON."""
    return orjson.loads(text)
