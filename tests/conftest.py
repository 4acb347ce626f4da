"""What holds for every test."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Tests that look for what was left collect the garbage over and over; modules need not be looked at each time."""
    gc.collect()
    gc.freeze()
