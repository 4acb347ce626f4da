"""A database file of ours as SQLite has it: opened with our settings, looked at before anything is written, its errors
told with what would help."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from ..errors import Corrupt, JournalError, UnknownFormat
from . import schema
from .files import read_header

IN_MEMORY: Final = ":memory:"

NOT_OURS: Final = (
    "it is not a SQLite database: move it away, or name another directory; if it was a journal, `steward repair` saves "
    "its whole sessions; it is left as it is"
)
# What would help when the disk refuses.
HELP: Final[dict[type[apsw.Error], str]] = {
    apsw.FullError: "the disk or its quota is full: make room",
    apsw.IOError: "the disk reports an error: look at it and at the room on it",
    apsw.ReadOnlyError: "it may not be written: look at the rights of the file and its directory",
    apsw.CantOpenError: "it does not open: look at the rights of the file and its directory",
    apsw.PermissionsError: "it does not open: look at the rights of the file and its directory",
    apsw.BusyError: "another program has it open: close that one",
    apsw.LockedError: "another program has it open: close that one",
    apsw.ProtocolError: "another program has it open: close that one",
    apsw.NotADBError: NOT_OURS,
    apsw.NoMemError: "there is no memory left",
}
# The second: a text that cannot be one any more; the third: a row lies where nothing was written.
DAMAGE: Final = (apsw.CorruptError, UnicodeDecodeError, apsw.ConstraintError)
# Met by all changes of a transaction alike; what a damaged page does to one session, others need not meet.
MET_BY_ALL: Final = tuple(HELP)


def told(path: str, error: Exception, sid: str = "") -> JournalError:
    """What whoever asked is told of an error; sid: the session that the database was asked about."""
    if isinstance(error, JournalError):
        return error
    if isinstance(error, DAMAGE):
        return Corrupt(sid, f"SQLite: {error}") if sid else damaged(path, str(error))
    advice = next((text for kind, text in HELP.items() if isinstance(error, kind)), "")
    return JournalError(f"{path}: {advice} ({error})" if advice else f"{path}: {error!r}")


def damaged(path: str, what: str) -> Corrupt:
    return Corrupt(
        "",
        f"{path}: it is damaged ({what}): `steward repair {path}` saves the whole sessions into a new file; this one "
        "is left as it is",
    )


def look(path: str) -> None:
    """Look at a file before SQLite sees it, which would already repair or rewrite what is not ours."""
    try:
        header = read_header(Path(path))
    except ValueError:
        raise JournalError(f"{path}: {NOT_OURS}") from None
    if header is not None:
        check_format(path, *header)


def check_format(path: str, application_id: int, version: int) -> None:
    """Raises UnknownFormat if these marks are not those of a file that this release wrote."""
    if application_id != schema.APPLICATION_ID:
        raise UnknownFormat(f"{path}: another program's database, left as it is: name another directory")
    if version != schema.FORMAT_VERSION:
        raise UnknownFormat(
            f"{path}: written in format {version}; this release knows format {schema.FORMAT_VERSION}: "
            "use the release that wrote it, or name another directory; it is left as it is"
        )


def connect(path: str, inspect: Callable[[apsw.Connection, str], None]) -> apsw.Connection:
    """A connection with our settings to a file that is ours, or made so. inspect looks at it before anything in it
    is changed. Raises JournalError, or apsw.Error."""
    db = apsw.Connection(path)
    try:
        _ready(db, path)
        inspect(db, path)
        _set(db)
    except BaseException:
        db.close(force=True)
        raise
    return db


def _ready(db: apsw.Connection, path: str) -> None:
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # should it turn out not to be ours
    db.pragma("locking_mode", "exclusive")
    if not db.execute("SELECT count(*) FROM sqlite_schema").get:
        # One transaction, and before there is a WAL: no crash leaves a file that is half ours.
        db.execute(schema.CREATE)
    # Once more: marks that are still in the WAL are not in the file's header.
    check_format(path, db.pragma("application_id"), db.pragma("user_version"))


def _set(db: apsw.Connection) -> None:
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    for name, value in schema.SETTINGS:
        db.pragma(name, value)


def let_go(db: apsw.Connection) -> None:
    try:
        db.pragma("wal_checkpoint", "TRUNCATE")
    except apsw.Error:
        # Everything acknowledged is in the WAL, and the next open() reads it from there: do not try once more.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    with suppress(apsw.Error):  # an empty WAL that could not be deleted
        db.close(force=True)
