"""Short ways to make what a journal is given."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from engine.journal import Append, Journal, SessionRow, TokenRow


def row(sid: str = "s.one", *, fence: int = 0) -> SessionRow:
    return SessionRow(sid, user="ada", epoch=f"e-{sid}", created_at=1_700_000_000.25, fence=fence)


def right(token: str, sid: str = "s.one", *, role: str = "control") -> TokenRow:
    return TokenRow(hashlib.sha256(token.encode()).digest(), sid, f"id-{token}", role)


def creation(sid: str = "s.one", *, updates: tuple[bytes, ...] = (), tokens: tuple[TokenRow, ...] = ()) -> Append:
    return Append(sid, 0, 1, b"created", updates, session=row(sid), tokens=tokens)


def commit(rev: int, *updates: bytes, sid: str = "s.one", fence: int = 0) -> Append:
    return Append(sid, fence, rev, b"record %d" % rev, updates)


async def stored(journal: Journal, sid: str = "s.one") -> SessionRow:
    found = await journal.session(sid)
    assert found is not None, f"{sid} is not stored"
    return found


def head(of: SessionRow, *, rev: int, seq: int, fence: int = 0, ended_at: float | None = None) -> SessionRow:
    """What the row of a session looks like after it was written to."""
    return replace(of, rev=rev, seq=seq, fence=fence, ended_at=ended_at)
