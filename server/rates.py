"""How many commands a token may send over HTTP, where every call is a connection of its own."""

from __future__ import annotations

from .protocol import Bucket, Timing


class Rates:
    """A Bucket for each token that was used lately; above its rate a call is refused rather than made to wait.

    A bucket that is full again says what a new one says, so it is forgotten: what is kept are the tokens used within
    the time a burst needs to come back.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._buckets: dict[str, Bucket] = {}  # least recently used first

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, token_id: str, now: float) -> float:
        """0, or seconds until there is one; then none was taken. now: monotonic seconds."""
        self._forget_full(now)
        bucket = self._buckets.pop(token_id, None)
        if bucket is None:
            bucket = Bucket(self._timing.commands_per_s, self._timing.commands_burst, now)
        self._buckets[token_id] = bucket
        return bucket.try_take(now)

    def _forget_full(self, now: float) -> None:
        while self._buckets:
            oldest = next(iter(self._buckets))
            if not self._buckets[oldest].is_full(now):
                return
            del self._buckets[oldest]
