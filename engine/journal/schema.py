"""The format of the SQLite file: its marks, settings and tables, and the statements that read and write them."""

from __future__ import annotations

from typing import Final

from ..errors import Violation
from .base import PLACE_BITS, PLACE_LAST

APPLICATION_ID: Final = 0x53545744  # "STWD"
FORMAT_VERSION: Final = 2

WAL_PAGES: Final = 4096  # 16 MiB, then it is checkpointed
WAL_BYTES_KEPT_MAX: Final = 64 * 1024 * 1024

# PRAGMAs and the values they then report.
SETTINGS: Final[tuple[tuple[str, str | int], ...]] = (
    ("journal_mode", "wal"),
    ("synchronous", 2),  # FULL: a commit is on the disk when it returns
    ("fullfsync", 1),  # macOS: a plain fsync there does not reach the disk
    ("checkpoint_fullfsync", 1),
    ("wal_autocheckpoint", 0),  # sqlite.py does it, behind the commit
    ("journal_size_limit", WAL_BYTES_KEPT_MAX),
    ("cell_size_check", 1),
    ("trusted_schema", 0),
    ("temp_store", 2),  # memory
)

# A place is session number * 2^32 + rev (or seq), so that what belongs to one session lies together and in order.

# crc: a checksum over the rest of the row (checksums.py), and with the place, so that no row passes for another.
# A session's head is a row of its own: it is written with every commit, and a narrow one spoils few pages. It says
# how far the log goes, so that rows which are gone from its end are missed like those from its middle. A number is
# never given twice, so that no row that was left behind on an unused page is ever right for another session.
TABLES: Final = (
    """CREATE TABLE sessions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    sid TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    epoch TEXT NOT NULL,
    created_at REAL NOT NULL,
    ended_at REAL,
    crc INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE heads (
    number INTEGER PRIMARY KEY,
    fence INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    first_rev INTEGER NOT NULL,
    trimmed INTEGER NOT NULL,
    crc INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE records (
    place INTEGER PRIMARY KEY,
    asked INTEGER NOT NULL,
    body BLOB NOT NULL,
    crc INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE updates (
    place INTEGER PRIMARY KEY,
    body BLOB NOT NULL,
    crc INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE tokens (
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    session INTEGER NOT NULL,
    id TEXT NOT NULL,
    role TEXT NOT NULL,
    crc INTEGER NOT NULL
) STRICT""",
    "CREATE INDEX tokens_by_session ON tokens (session)",
)

_TABLES: Final = ";\n".join(TABLES)
CREATE: Final = f"""
BEGIN EXCLUSIVE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}; {_TABLES}; COMMIT;
"""
MADE: Final = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name <> 'sqlite_sequence' ORDER BY rowid"

_SESSION: Final = "SELECT number, sid, user, epoch, created_at, ended_at, crc FROM sessions"
SESSION: Final = f"{_SESSION} WHERE sid = ?"
NUMBERED: Final = f"{_SESSION} WHERE number = ?"
SESSIONS: Final = f"{_SESSION} ORDER BY number"
_HEAD: Final = "SELECT number, fence, rev, seq, first_rev, trimmed, crc FROM heads"
HEAD: Final = f"{_HEAD} WHERE number = ?"
HEADS: Final = f"{_HEAD} ORDER BY number"
_RIGHT: Final = "SELECT digest, session, id, role, crc FROM tokens"
RIGHT: Final = f"{_RIGHT} WHERE digest = ?"
RIGHTS: Final = f"{_RIGHT} WHERE session = ? ORDER BY number"
ALL_RIGHTS: Final = f"{_RIGHT} ORDER BY number"
RECORDS: Final = "SELECT place, asked, body, crc FROM records WHERE place BETWEEN ? AND ? ORDER BY place"
UPDATES: Final = "SELECT place, 0, body, crc FROM updates WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?"

ADD_SESSION: Final = (
    "INSERT INTO sessions (number, sid, user, epoch, created_at, ended_at, crc) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
NEXT_NUMBER: Final = "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'sessions'"
KEEP_HEAD: Final = "REPLACE INTO heads (number, fence, rev, seq, first_rev, trimmed, crc) VALUES (?, ?, ?, ?, ?, ?, ?)"
ADD_RECORD: Final = "INSERT INTO records (place, asked, body, crc) VALUES (?, ?, ?, ?)"
ADD_UPDATE: Final = "INSERT INTO updates (place, body, crc) VALUES (?, ?, ?)"
GIVE_RIGHT: Final = "INSERT INTO tokens (digest, session, id, role, crc) VALUES (?, ?, ?, ?, ?)"
REVOKE: Final = "DELETE FROM tokens WHERE session = ? AND id = ?"
END: Final = "UPDATE sessions SET ended_at = ?, crc = ? WHERE number = ?"
CUT_RECORDS: Final = "DELETE FROM records WHERE place BETWEEN ? AND ?"
CUT_UPDATES: Final = "DELETE FROM updates WHERE place BETWEEN ? AND ?"
DROP: Final = (
    "DELETE FROM tokens WHERE session = ?",
    "DELETE FROM heads WHERE number = ?",
    "DELETE FROM sessions WHERE number = ?",
)


def place(number: int, position: int) -> int:
    """Raises Violation for what would be a place of the next session."""
    if position > PLACE_LAST:
        raise Violation(f"no log has a place {position}; {PLACE_LAST} is the last")
    return number << PLACE_BITS | position
