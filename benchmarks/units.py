"""Numbers as people read them: three digits and a unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

LARGE: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
TIMES: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
SIZES: Final = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def shown(value: float, unit: str) -> str:
    if unit == "s":
        return _scaled(value, TIMES, 1e-9, "ns")
    if unit == "bytes":
        return _scaled(value, SIZES, 1, "B")
    if unit == "count":
        return f"{value:,.0f}".replace(",", " ")
    factor, prefix = next(((size, name) for size, name in LARGE if abs(value) >= size), (1.0, ""))
    return f"{_digits(value / factor)} {prefix}/s" if prefix else f"{_digits(value)} /s"


def _scaled(value: float, steps: Sequence[tuple[float, str]], least: float, name: str) -> str:
    factor, unit = next(((size, found) for size, found in steps if abs(value) >= size), (least, name))
    return f"{_digits(value / factor)} {unit}" if value else f"0 {unit}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(found: dict[str, Any], unit: str) -> str:
    """Median, then least and most of the rounds in brackets."""
    return f"{shown(found['median'], unit)} ({shown(found['low'], unit)} to {shown(found['high'], unit)})"


def ratio(value: float) -> str:
    if value >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}"
