"""JSON text as it is kept: in logs' tails, queues and books of what memory is taken."""

from __future__ import annotations

import tracemalloc

from engine.codec import encode


def test_a_text_that_is_kept_costs_its_length() -> None:
    """L11: queues and tails are bounded by the lengths of their texts, so nothing may lie behind these unseen."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [encode({"seq": number, "text": "x" * 60}) for number in range(200)]
        size = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert size < sum(len(text) + 100 for text in kept)
