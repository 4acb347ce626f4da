"""Places for sessions: reserved before the first record, so that the limits are exact under any storm (C6)."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ..errors import LimitExceeded
from ..spec import Limits

RETRY_MS: Final = 5000


class Places:
    """taken: sessions that are up or being created, which is what the limit `live` counts."""

    def __init__(self, limits: Limits) -> None:
        self.taken = 0
        self._limits = limits
        self._users: Counter[str] = Counter()

    def reserve(self, user: str) -> None:
        """Raises LimitExceeded, and takes nothing, above `live` or `live_per_user`."""
        live, per_user = self._limits.live, self._limits.live_per_user
        if live is not None and self.taken >= live:
            raise LimitExceeded("live", live, f"{live} sessions are live already", retry_ms=RETRY_MS)
        if per_user is not None and self._users[user] >= per_user:
            raise LimitExceeded("live_per_user", per_user, f"{per_user} of your sessions are live already; end one")
        self.take(user)

    def take(self, user: str) -> None:
        """For a session that exists already, room or not: one that comes back from the log."""
        self.taken += 1
        self._users[user] += 1

    def give_back(self, user: str) -> None:
        self.taken -= 1
        self._users[user] -= 1
        if not self._users[user]:
            del self._users[user]
