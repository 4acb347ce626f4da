"""What a change does to a session and when it is refused: the rules that every store follows."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

from ..errors import Fenced, JournalError, Violation
from .base import PLACE_LAST, Append, SessionRow, TokenRow


@dataclass(frozen=True, slots=True)
class Claim:
    sid: str


@dataclass(frozen=True, slots=True)
class Drop:
    sid: str


Change = Append | Claim | Drop


class Head(NamedTuple):
    """What decides about a session's next append, and what its log promises to hold. number: the session's, within
    its store."""

    number: int
    fence: int
    rev: int = 0
    seq: int = 0
    first_rev: int = 1
    trimmed: int = 0

    def row_of(self, session: SessionRow) -> SessionRow:
        """The row of a session whose head this is."""
        _, fence, rev, seq, first_rev, trimmed = self
        return replace(session, fence=fence, rev=rev, seq=seq, first_rev=first_rev, trimmed=trimmed)


class Tables(Protocol):
    """What a store does to its rows once a change is allowed, one change after the other."""

    def head(self, sid: str) -> Head | None:
        """As the changes before have left it; None if there is no such session. Raises Corrupt."""

    def create(self, session: SessionRow) -> Head:
        """Make a session without records; its head."""

    def extend(self, append: Append, before: Head, after: Head) -> None:
        """Write the append's rows and delete those that after does not promise any more. If it raises a
        JournalError, it has changed nothing."""

    def keep(self, sid: str, head: Head) -> None:
        """Make this the session's head."""

    def forget(self, sid: str, head: Head) -> None:
        """Delete the session and everything of it."""

    def asked(self, head: Head, sid: str, rev: int) -> tuple[bytes, int]:
        """The record of a revision that the head promises, and the fingerprint of the append that made it."""

    def session(self, sid: str) -> SessionRow | None: ...

    def token(self, digest: bytes) -> TokenRow | None: ...


def make(tables: Tables, change: Change) -> Any:
    """Make one change; its result, or the error it gets: then nothing is changed."""
    try:
        return _MAKE[type(change)](tables, change)
    except (JournalError, KeyError) as refused:
        return refused


def _append(tables: Tables, append: Append) -> None:
    head = tables.head(append.sid)
    refused = _refusal(append, head) or _token_refusal(tables, append)
    if refused is None:
        before = head or tables.create(_creation(append))
        after = _after(append, before)
        tables.extend(append, before, after)
        tables.keep(append.sid, after)
    elif head is None or append.fence != head.fence or not _is_stored(tables, append, head):
        raise refused


def _claim(tables: Tables, claim: Claim) -> SessionRow:
    head, row = tables.head(claim.sid), tables.session(claim.sid)
    if head is None or row is None:
        raise KeyError(claim.sid)
    tables.keep(claim.sid, head._replace(fence=head.fence + 1))
    return replace(row, fence=head.fence + 1)


def _drop(tables: Tables, drop: Drop) -> None:
    head = tables.head(drop.sid)
    if head is not None:
        tables.forget(drop.sid, head)


_MAKE: Final[Mapping[type[Change], Callable[[Tables, Any], Any]]] = {Append: _append, Claim: _claim, Drop: _drop}


def _creation(append: Append) -> SessionRow:
    assert append.session is not None, "_refusal lets nothing else pass"
    return append.session


def _after(append: Append, before: Head) -> Head:
    number, fence, _, seq, first_rev, trimmed = before
    if append.trim is not None:
        first_rev, trimmed = max(first_rev, append.trim.records), max(trimmed, append.trim.updates)
    return Head(number, fence, append.rev, seq + len(append.updates), first_rev, trimmed)


# When it is refused


def _refusal(append: Append, head: Head | None) -> JournalError | None:
    """Why this may not be written, by what is stored; None if it may."""
    if append.session is not None:
        return _creation_refusal(append, append.session, exists=head is not None)
    if head is None:
        return Fenced(f"there is no session {append.sid}")
    if append.fence != head.fence or append.rev != head.rev + 1:
        return Fenced(
            f"session {append.sid} is at revision {head.rev} under fence {head.fence}; revision {append.rev} under "
            f"fence {append.fence} is not the next: another writer owns it, or an append before this one was refused"
        )
    return _length_refusal(append, head.seq)


def _creation_refusal(append: Append, session: SessionRow, *, exists: bool) -> JournalError | None:
    if exists:
        return Fenced(f"there is a session {append.sid} already")
    if append.sid != session.sid or append.rev != 1 or append.fence != session.fence:
        return Fenced(f"session {append.sid} is not created by revision {append.rev} under fence {append.fence}")
    return _length_refusal(append, session.trimmed)


def _length_refusal(append: Append, seq: int) -> JournalError | None:
    last = seq + len(append.updates)
    if append.rev > PLACE_LAST or last > PLACE_LAST:
        return Violation(f"session {append.sid} has had {PLACE_LAST} revisions or updates, and no log has more")
    if append.trim is None or (append.trim.records <= append.rev and append.trim.updates <= last):
        return None
    return Violation(
        f"revision {append.rev} of session {append.sid} ends at update {last}: it cannot let go of records below "
        f"{append.trim.records} and updates up to {append.trim.updates}"
    )


def _token_refusal(tables: Tables, append: Append) -> JournalError | None:
    if not append.tokens:
        return None
    if any(token.sid != append.sid for token in append.tokens):
        return Violation(f"a commit of session {append.sid} may not give rights to another one")
    digests = {token.digest for token in append.tokens}
    known = filter(None, map(tables.token, digests))
    if len(digests) < len(append.tokens) or any(not _is_ending(token, append) for token in known):
        return Violation(f"a token of session {append.sid} is known already")
    return None


def _is_ending(token: TokenRow, append: Append) -> bool:
    return token.sid == append.sid and token.id in append.revoked


# When it is there already


def _is_stored(tables: Tables, append: Append, head: Head) -> bool:
    if not head.first_rev <= append.rev <= head.rev:
        return False
    return tables.asked(head, append.sid, append.rev) == (append.record, fingerprint(append))


def fingerprint(append: Append) -> int:
    """A checksum of everything an append asks for beside its record, so that the same append is known again."""
    found = len(append.updates)
    for update in append.updates:
        found = zlib.crc32(update, found ^ len(update))
    if not (append.session or append.tokens or append.revoked or append.ended_at is not None or append.trim):
        return found  # as of nearly all; the rest would cost more than what is summed up so far
    rest = (append.session, append.tokens, append.revoked, append.ended_at, append.trim)
    return zlib.crc32(repr(rest).encode(), found)
