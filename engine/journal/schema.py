"""The format of the SQLite file: its marks, settings and tables, and the statements that read and write them."""

from __future__ import annotations

from typing import Final, NamedTuple

APPLICATION_ID: Final = 0x53545744  # "STWD"
FORMAT_VERSION: Final = 1

WAL_PAGES: Final = 4096  # 16 MiB, then it is checkpointed
WAL_BYTES_KEPT_MAX: Final = 64 * 1024 * 1024

# PRAGMAs and the values they then report.
SETTINGS: Final[tuple[tuple[str, str | int], ...]] = (
    ("journal_mode", "wal"),
    ("synchronous", 2),  # FULL: a commit is on the disk when it returns
    ("fullfsync", 1),  # macOS: a plain fsync there does not reach the disk
    ("checkpoint_fullfsync", 1),
    ("wal_autocheckpoint", WAL_PAGES),
    ("journal_size_limit", WAL_BYTES_KEPT_MAX),
    ("cell_size_check", 1),
    ("trusted_schema", 0),
    ("temp_store", 2),  # memory
)

# A place is session number * 2^32 + rev (or seq), so that what belongs to one session lies together and in order.
PLACE_BITS: Final = 32
PLACE_LAST: Final = (1 << PLACE_BITS) - 1

TABLES: Final = """
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,
    sid TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    epoch TEXT NOT NULL,
    created_at REAL NOT NULL,
    ended_at REAL,
    fence INTEGER NOT NULL
) STRICT;
CREATE TABLE records (place INTEGER PRIMARY KEY, seq INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE updates (place INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE tokens (
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    session INTEGER NOT NULL,
    id TEXT NOT NULL,
    role TEXT NOT NULL
) STRICT;
CREATE INDEX tokens_by_session ON tokens (session);
"""

CREATE: Final = f"""
BEGIN EXCLUSIVE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}; {TABLES} COMMIT;
"""

# A session's revision and last number are those of its last record, so that an append changes no existing row.
# (Every f-string below is made of constants of this module.)
_LAST_RECORDS: Final = f"""FROM sessions AS s JOIN records AS r ON r.place = (
    SELECT max(place) FROM records
    WHERE place BETWEEN s.number << {PLACE_BITS} AND (s.number << {PLACE_BITS}) | {PLACE_LAST}
)"""  # noqa: S608
_ROWS: Final = f"""
SELECT s.sid, s.user, s.epoch, s.created_at, s.ended_at, s.fence, r.place & {PLACE_LAST}, r.seq {_LAST_RECORDS}
"""
SESSION: Final = f"{_ROWS} WHERE s.sid = ?"
SESSIONS: Final = f"{_ROWS} ORDER BY s.number"
HEAD: Final = f"SELECT s.number, s.fence, r.place & {PLACE_LAST}, r.seq {_LAST_RECORDS} WHERE s.sid = ?"

RECORDS: Final = "SELECT body FROM records WHERE place BETWEEN ? AND ? ORDER BY place"
UPDATES: Final = f"""
SELECT place & {PLACE_LAST}, body FROM updates WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?
"""  # noqa: S608
BY_DIGEST: Final = """
SELECT t.digest, s.sid, t.id, t.role FROM tokens AS t JOIN sessions AS s ON s.number = t.session WHERE t.digest = ?
"""
TOKENS: Final = """
SELECT t.digest, s.sid, t.id, t.role FROM tokens AS t JOIN sessions AS s ON s.number = t.session
WHERE s.sid = ? ORDER BY t.number
"""

ADD_SESSION: Final = "INSERT INTO sessions (sid, user, epoch, created_at, fence) VALUES (?, ?, ?, ?, ?)"
ADD_RECORD: Final = "INSERT INTO records (place, seq, body) VALUES (?, ?, ?)"
ADD_UPDATE: Final = "INSERT INTO updates (place, body) VALUES (?, ?)"
GIVE_RIGHT: Final = "INSERT INTO tokens (digest, session, id, role) VALUES (?, ?, ?, ?)"
REVOKE: Final = "DELETE FROM tokens WHERE session = ? AND id = ?"
END: Final = "UPDATE sessions SET ended_at = coalesce(ended_at, ?) WHERE number = ?"
RAISE_FENCE: Final = "UPDATE sessions SET fence = ? WHERE number = ?"
DROP_PLACES: Final = (
    "DELETE FROM records WHERE place BETWEEN ? AND ?",
    "DELETE FROM updates WHERE place BETWEEN ? AND ?",
)
DROP_SESSION: Final = ("DELETE FROM tokens WHERE session = ?", "DELETE FROM sessions WHERE number = ?")


class Head(NamedTuple):
    """What decides about a session's next append, as the statement HEAD reads it. number: the session's here."""

    number: int
    fence: int
    rev: int
    seq: int


def place(number: int, position: int) -> int:
    return number << PLACE_BITS | position
