"""The log's port: what a store must do. memory.py and sqlite.py do it, held by one conformance suite."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

PLACE_BITS: Final = 32
PLACE_LAST: Final = (1 << PLACE_BITS) - 1  # the highest revision and the highest number that a log may have
APPENDS_QUEUED_MAX: Final = 8192  # half a second of a disk at full pace; beyond that it has stalled
APPEND_BYTES_QUEUED_MAX: Final = 64 * 1024 * 1024  # what a stalled disk may cost in memory


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A right to a session. digest: SHA-256 of the token; the token itself is never stored.
    role: control | observe."""

    digest: bytes
    sid: str
    id: str
    role: str


@dataclass(frozen=True, slots=True)
class SessionRow:
    """What a store tells of a session without reading its records. Times are UTC seconds.

    first_rev: of the oldest record that is kept. trimmed: the highest seq that is gone; updates begin behind it.
    """

    sid: str
    user: str
    epoch: str
    created_at: float
    ended_at: float | None = None
    fence: int = 0
    rev: int = 0
    seq: int = 0
    first_rev: int = 1
    trimmed: int = 0


@dataclass(frozen=True, slots=True)
class Trim:
    """What a commit lets go of: records with rev < records, updates with seq <= updates. What is gone already may
    be named again."""

    records: int
    updates: int


@dataclass(slots=True)  # not frozen, as in records.py
class Append:
    """One commit of one session, written whole or not at all.

    rev: the revision it makes; accepted only if the stored one is rev - 1 and the stored fence is fence.
    updates: encoded, numbered seq + 1, seq + 2 … where seq is the stored last number.
    session: only with rev 1, creates the session (refused if the sid exists or fence is not session.fence); its
    rev, seq and first_rev are not looked at, and its updates are numbered from session.trimmed + 1.
    revoked: ids of rights of this session that end. tokens: new rights, given after those have ended; a digest
    that is known already is refused. ended_at: set once, by the final commit; a second one changes nothing.
    trim: taken after the rest; refused if records > rev or updates > the last seq that the commit makes.

    Whoever cannot know whether an append was written may ask for the same again: if the very same is stored at
    that rev, under the same fence, it succeeds and writes nothing.
    """

    sid: str
    fence: int
    rev: int
    record: bytes
    updates: tuple[bytes, ...] = ()
    session: SessionRow | None = None
    tokens: tuple[TokenRow, ...] = ()
    revoked: tuple[str, ...] = ()
    ended_at: float | None = None
    trim: Trim | None = None


class Journal(Protocol):
    """Every method but append may raise JournalError, and Busy when too many wait. Nothing is lost or half-written
    when it does. What is asked after an append sees that append. Cancelling a wait undoes and reorders nothing.
    What is stored is checked whenever it is read: Corrupt names what is not as it was written."""

    async def open(self) -> None:
        """Ready the store; no effect on an open one. Raises JournalError saying what would help (path, rights,
        format version)."""

    async def close(self) -> None:
        """Write what is queued, then let go of everything. May be called twice."""

    def append(self, append: Append) -> asyncio.Future[None]:
        """Queue one commit; appends of one session are written in the order of the calls.

        The future resolves when the commit is durable, or raises Fenced (rev or fence is not the expected one:
        another writer), Violation (a token is known already, a trim goes too far, the log is full) or JournalError (the
        store refuses, or is not open); nothing was written then, and a later append of the same session that was queued
        behind it is refused too. (A store that lost sight of what it wrote may raise JournalError for a commit that is
        there; session() tells.) Raises Busy at once when APPENDS_QUEUED_MAX appends or APPEND_BYTES_QUEUED_MAX bytes
        wait.
        """

    async def claim(self, sid: str) -> SessionRow:
        """Raise the session's fence by one, durably, and return its row; older writers append nothing more (L6).
        Raises KeyError if there is no such session."""

    async def session(self, sid: str) -> SessionRow | None: ...

    async def sessions(self) -> list[SessionRow]:
        """All stored sessions, oldest first."""

    async def records(self, sid: str, after: int = 0, limit: int | None = None) -> list[bytes]:
        """The records of a session with rev > after in the order of rev, from the row's first_rev on; at most limit."""

    async def updates(self, sid: str, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        """Durable updates with seq > after, ascending, at most limit; those up to the row's trimmed are gone."""

    async def token(self, digest: bytes) -> TokenRow | None:
        """The right this digest stands for, compared in constant time."""

    async def tokens(self, sid: str) -> list[TokenRow]: ...

    async def drop(self, sid: str) -> None:
        """Forget a session whole: records, updates, tokens. No error if there is none."""
