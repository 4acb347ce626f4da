"""The look at a database when it is opened: its structure, and the rows that everything else is found by. The bodies
of records and updates are checked when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from ..errors import Corrupt
from . import schema
from .checksums import check_row, of_head, of_row
from .database import DAMAGE, damaged, told
from .wal import lost_commits

# All pages of a file up to this size are looked at, in about a second; of a larger one those that lead to the rest.
# What this leaves out is found when a session is read, and named then.
WHOLE_BYTES_MAX: Final = 256 * 1024 * 1024
LEADING: Final = ("sqlite_schema", "sessions", "heads", "tokens")  # each with its indexes


def inspect(db: apsw.Connection, path: str) -> None:
    """Raises Corrupt, which says what helps, if what is stored cannot be relied on to find every session."""
    try:
        for what in _findings(db):
            raise damaged(path, what)
    except (apsw.Error, *DAMAGE) as error:
        raise told(path, error) from error


def unread_commits(db: apsw.Connection) -> int:
    """See lost_commits."""
    rows: list[Any] = db.execute("PRAGMA wal_checkpoint(noop)").fetchall()
    read: int = rows[0][1]  # -1 if there is no WAL
    return lost_commits(Path(db.filename_wal), max(read, 0)) if db.filename else 0


def _findings(db: apsw.Connection) -> Iterator[str]:
    if unread_commits(db):
        yield "its -wal is damaged, and commits behind the damage would be lost"
    if tuple(sql for (sql,) in db.execute(schema.MADE)) != schema.TABLES:
        yield "its tables are not those that were made"
    is_small = db.pragma("page_count") * db.pragma("page_size") <= WHOLE_BYTES_MAX
    for pragma in ("quick_check(1)",) if is_small else ():
        yield from _said(db, pragma)
    for table in LEADING:
        yield from _said(db, f"integrity_check({table})")
    yield from _rows(db)


def _said(db: apsw.Connection, pragma: str) -> Iterator[str]:
    yield from (text.splitlines()[-1] for (text,) in db.execute(f"PRAGMA {pragma}") if text != "ok")


def _rows(db: apsw.Connection) -> Iterator[str]:
    try:
        sids = {row[0]: row[1] for row in _checked(db, schema.SESSIONS, "a session's row")}
        heads = {row[0] for row in _checked(db, schema.HEADS, "a session's head", of_head)}
        owners = {row[1] for row in _checked(db, schema.ALL_RIGHTS, "a right")}
    except Corrupt as error:
        yield str(error)
        return
    if heads != sids.keys():
        yield "sessions and their heads are not the same"
    if owners - sids.keys():
        yield "there are rights of sessions that are not there"


def _checked(
    db: apsw.Connection, statement: str, what: str, checksum: Callable[..., int] = of_row
) -> Iterator[tuple[Any, ...]]:
    return (check_row("", what, row, checksum) for row in db.execute(statement))
