"""Ended sessions: found again while their log is kept, forgotten when that time is over."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakValueDictionary

from ..journal.base import Journal, SessionRow
from ..session import Session

IN_MEMORY_MAX: Final = 256
RETENTION_S: Final = 24 * 3600.0  # how long the log of an ended session is kept (protocol.md, rule 11)

log = logging.getLogger("steward.archive")


class Archive:
    """The last IN_MEMORY_MAX that ended, the rest from the journal by `load`.

    There is one object of a session as long as anybody has it: each would write under revisions of its own (L6).
    """

    def __init__(
        self, journal: Journal, load: Callable[[SessionRow], Awaitable[Session | None]], *, retention_s: float
    ) -> None:
        self._journal = journal
        self._load = load
        self.retention_s = retention_s
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._held: WeakValueDictionary[str, Session] = WeakValueDictionary()
        self._one_at_a_time = asyncio.Lock()  # a second asker finds what the first has loaded

    def keep(self, session: Session) -> None:
        self._sessions[session.sid] = self._held[session.sid] = session
        while len(self._sessions) > IN_MEMORY_MAX:
            self._sessions.popitem(last=False)

    async def find(self, sid: str) -> Session | None:
        """Raises JournalError if it would have to be read and cannot."""
        if (session := self._held.get(sid)) is not None:
            return session
        async with self._one_at_a_time:
            return self._held.get(sid) or await self._loaded(sid)

    async def _loaded(self, sid: str) -> Session | None:
        row = await self._journal.session(sid)
        if row is None or row.ended_at is None:
            return None
        session = await self._load(row)
        if session is not None:
            self.keep(session)
        return session

    async def drop(self, sid: str) -> None:
        """Forget a session whole: the time for which its log is kept is over. Raises JournalError."""
        self.forget(sid)
        await self._journal.drop(sid)
        log.info("the log of %s is dropped", sid, extra={"sid": sid})

    def forget(self, sid: str) -> None:
        """Read it anew when it is next asked for."""
        self._sessions.pop(sid, None)
        self._held.pop(sid, None)
