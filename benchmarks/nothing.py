"""A journal that keeps nothing and is always done: what the engine costs without one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.journal.base import Append, SessionRow, TokenRow


class NoJournal:
    """Says yes to everything. For measuring only: nothing comes back from it."""

    async def open(self) -> None:
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._done.set_result(None)

    async def close(self) -> None:
        """There is nothing to let go of."""

    def append(self, append: Append) -> asyncio.Future[None]:
        return self._done

    async def claim(self, sid: str) -> SessionRow:
        raise KeyError(sid)

    async def session(self, sid: str) -> SessionRow | None:
        return None

    async def sessions(self) -> list[SessionRow]:
        return []

    async def records(self, sid: str, after: int = 0, limit: int | None = None) -> list[bytes]:
        return []

    async def updates(self, sid: str, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        return []

    async def token(self, digest: bytes) -> TokenRow | None:
        return None

    async def tokens(self, sid: str) -> list[TokenRow]:
        return []

    async def drop(self, sid: str) -> None:
        """There is nothing to forget."""
