"""The log's port: what a store must do. memory.py and sqlite.py do it, held by one conformance suite."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ..errors import Fenced, JournalError

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
    """What a store tells of a session without reading its records. Times are UTC seconds."""

    sid: str
    user: str
    epoch: str
    created_at: float
    ended_at: float | None = None
    fence: int = 0
    rev: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Append:
    """One commit of one session, written whole or not at all.

    rev: the revision it makes; accepted only if the stored one is rev - 1 and the stored fence is fence.
    updates: encoded, numbered seq + 1, seq + 2 … where seq is the stored last number.
    session: only with rev 1, creates the session (refused if the sid exists or fence is not session.fence);
    its rev and seq are not looked at.
    revoked: ids of rights of this session that end. tokens: new rights, given after those have ended; a digest
    that is known already is refused. ended_at: set once, by the final commit; a second one changes nothing.
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


def refusal(append: Append, fence: int | None, rev: int) -> JournalError | None:
    """Why a store may not write this, by the stored fence and rev; None if it may. fence: None if there is no
    such session. The one place that knows the condition; every store asks it."""
    if append.session is not None:
        return _creation_refusal(append, append.session, exists=fence is not None)
    if fence is None:
        return Fenced(f"there is no session {append.sid}")
    if append.fence != fence or append.rev != rev + 1:
        return Fenced(
            f"session {append.sid} is at revision {rev} under fence {fence}; revision {append.rev} under fence "
            f"{append.fence} is not the next: another writer owns it, or an append before this one was refused"
        )
    return _token_refusal(append)


def _creation_refusal(append: Append, session: SessionRow, *, exists: bool) -> JournalError | None:
    if exists:
        return Fenced(f"there is a session {append.sid} already")
    if append.sid != session.sid or append.rev != 1 or append.fence != session.fence:
        return Fenced(f"session {append.sid} is not created by revision {append.rev} under fence {append.fence}")
    return _token_refusal(append)


def _token_refusal(append: Append) -> JournalError | None:
    if any(token.sid != append.sid for token in append.tokens):
        return JournalError(f"a commit of session {append.sid} may not give rights to another one")
    return None


class Journal(Protocol):
    """Every method but append may raise JournalError, and Busy when too many wait. Nothing is lost or half-written
    when it does. What is asked after an append sees that append. Cancelling a wait undoes and reorders nothing."""

    async def open(self) -> None:
        """Ready the store; no effect on an open one. Raises JournalError saying what would help (path, rights,
        format version)."""

    async def close(self) -> None:
        """Write what is queued, then let go of everything. May be called twice."""

    def append(self, append: Append) -> asyncio.Future[None]:
        """Queue one commit; appends of one session are written in the order of the calls.

        The future resolves when the commit is durable, or raises Fenced (rev or fence is not the expected one:
        another writer) or JournalError (the store refuses, or is not open); nothing was written then, and a later
        append of the same session that was queued behind it is refused too. Raises Busy at once when
        APPENDS_QUEUED_MAX appends or APPEND_BYTES_QUEUED_MAX bytes wait.
        """

    async def claim(self, sid: str) -> SessionRow:
        """Raise the session's fence by one, durably, and return its row; older writers append nothing more (L6).
        Raises KeyError if there is no such session."""

    async def session(self, sid: str) -> SessionRow | None: ...

    async def sessions(self) -> list[SessionRow]:
        """All stored sessions, oldest first."""

    async def records(self, sid: str) -> list[bytes]:
        """All records of a session in the order of rev."""

    async def updates(self, sid: str, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        """Durable updates with seq > after, ascending, at most limit."""

    async def token(self, digest: bytes) -> TokenRow | None:
        """The right this digest stands for, compared in constant time."""

    async def tokens(self, sid: str) -> list[TokenRow]: ...

    async def drop(self, sid: str) -> None:
        """Forget a session whole: records, updates, tokens. No error if there is none."""
