"""How much a test does: a short form in the suite, a long one with `make long`."""

from __future__ import annotations

import os


def size(short: int, long: int) -> int:
    return long if os.environ.get("LONG_FORMS") else short
