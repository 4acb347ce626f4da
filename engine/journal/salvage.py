"""What can be saved of a damaged journal: every session that is whole goes into a new file, the others are listed.

Works on a copy, reads past what cannot be read, and believes nothing that its checksum does not confirm.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import apsw

from ..errors import Corrupt, JournalError
from ..names import new_epoch
from . import schema
from .base import PLACE_LAST
from .changes import Head
from .checksums import check_bodies, check_row, of_head, of_row
from .database import DAMAGE, check_format, connect, let_go, told
from .files import FILE_MODE, FileLock, is_read_only, transplant_first_page
from .inspection import inspect, unread_commits
from .schema import place

SESSIONS_TOGETHER: Final = 64  # in one transaction of the new file
GAP_MAX: Final = 1_000_000  # rows looked for one by one between those that are found from both ends
UNREADABLE: Final = (apsw.Error, *DAMAGE)
CUT: Final = (
    "the -wal is damaged: the last commits are lost, of whatever sessions; each one saved has a new epoch, so that its "
    "clients know, and a token that was revoked of late may open its session again"
)
NAMELESS: Final = "its own row cannot be read, so its sid is not known"

Row = tuple[Any, ...]


@dataclass(slots=True)
class Salvaged:
    """whole: sids of the sessions in the new file, which is not made if there are none.
    lost: (sid, or what else is known of it, and why it is not there).
    rights_lost: whether somebody's token may not be known any more."""

    out: Path
    whole: list[str] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)
    rights_lost: bool = False


def salvage(source: Path, out: Path) -> Salvaged:
    """Write all whole sessions of a damaged file into a new one. The damaged one is not changed.

    Raises JournalError, and writes nothing, if a process uses the file, out is there, nothing can be read, or the
    new file cannot be written.
    """
    if out.exists():
        raise JournalError(f"{out}: there is something already: name another file with --out")
    if not source.stat().st_size:
        raise JournalError("it is empty, so there is no session in it")
    try:
        with ExitStack() as stack:
            lock = FileLock(Path(f"{os.path.realpath(source)}.lock"))
            stack.callback(lock.release)
            try:
                lock.take()
            except OSError as error:
                if not is_read_only(error):  # nobody serves a directory that may not be written
                    raise
            folder = Path(stack.enter_context(TemporaryDirectory(dir=out.parent, prefix=f"{out.name}.")))
            return _salvage(_copied(source, folder), out, folder)
    except OSError as error:
        raise JournalError(f"{error.filename or out}: {error.strerror}: name a file with --out, where there is room "
                           "and that may be written") from error  # fmt: skip
    except apsw.Error as error:
        raise told(str(out), error) from error


def _copied(source: Path, folder: Path) -> Path:
    copy = folder / "damaged"
    shutil.copyfile(source, copy)
    with suppress(FileNotFoundError):
        shutil.copyfile(f"{source}-wal", f"{copy}-wal")
    return copy


def _salvage(copy: Path, out: Path, folder: Path) -> Salvaged:
    new = folder / "new"
    saved = Salvaged(out)
    target = connect(str(new), inspect)
    try:
        damaged = _readable(copy, new)
        try:
            _save(damaged, target, saved)
        finally:
            damaged.close(force=True)
    finally:
        let_go(target)
    if saved.whole:
        new.chmod(FILE_MODE)
        os.link(new, out)  # never over anything
    return saved


def _readable(copy: Path, new: Path) -> apsw.Connection:
    """The copy, open; with the first page of a new file in place of its own, if that one is not fit to be read by."""
    try:
        return _opened(copy)
    except UNREADABLE:
        transplant_first_page(new, copy)
    try:
        return _opened(copy)
    except UNREADABLE as error:
        raise JournalError(f"nothing can be read of it ({error})") from error


def _opened(copy: Path) -> apsw.Connection:
    db = apsw.Connection(str(copy))
    try:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.pragma("locking_mode", "exclusive")
        if tuple(sql for (sql,) in db.execute(schema.MADE)) != schema.TABLES:
            # Another release's, or another program's, and then its marks say so; or the page is damaged.
            check_format("it", db.pragma("application_id"), db.pragma("user_version"))
            raise apsw.CorruptError("its tables are not those that were made")
    except BaseException:
        db.close(force=True)
        raise
    return db


# Reading


def _rows(db: apsw.Connection, table: str) -> dict[int, Row]:
    """What can be read of a table, by number: from both ends as far as they go, and one by one in between."""
    found: dict[int, Row] = {}
    ends = []
    for order in ("ASC", "DESC"):
        last = 0
        with suppress(*UNREADABLE):
            for last, *row in db.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid {order}"):  # noqa: S608
                if last in found:
                    break
                found[last] = tuple(row)
        ends.append(last)
    for number in range(ends[0] + 1, min(ends[1], ends[0] + GAP_MAX)):
        with suppress(*UNREADABLE):
            found.update(db.execute(f"SELECT rowid, * FROM {table} WHERE rowid = ?", (number,)))  # noqa: S608
    return found


def _is_sound(db: apsw.Connection, table: str) -> bool:
    try:
        return bool(db.execute(f"PRAGMA integrity_check({table})").get == "ok")
    except UNREADABLE:
        return False


def _right(row: Row) -> Row | None:
    with suppress(Corrupt):
        return (*check_row("", "a right", row[1:]), row[-1])
    return None


def _bodies(db: apsw.Connection, sid: str, row: Row, head: Row | None) -> tuple[list[Row], list[Row]]:
    """The rows of records and of updates of a session. Raises Corrupt, or an apsw.Error, if it is not whole."""
    number = check_row(sid, "its own row", row)[0]
    if head is None:
        raise Corrupt(sid, "how far it goes is not stored any more")
    promised = Head(*check_row(sid, "how far it goes", head, of_head))
    every = (place(number, 0), place(number, PLACE_LAST))
    records: list[Any] = db.execute(schema.RECORDS, every).fetchall()
    check_bodies(sid, "record", records, place(number, promised.first_rev), place(number, promised.rev))
    updates: list[Any] = db.execute(schema.UPDATES, (*every, -1)).fetchall()
    check_bodies(sid, "update", updates, place(number, promised.trimmed + 1), place(number, promised.seq))
    return records, updates


# Writing


def _save(damaged: apsw.Connection, target: apsw.Connection, saved: Salvaged) -> None:
    is_cut = unread_commits(damaged) > 0
    if is_cut:
        saved.lost.append(("", CUT))
        saved.rights_lost = True
    sessions, heads = _rows(damaged, "sessions"), _rows(damaged, "heads")
    rights: dict[int, list[Row]] = {}
    saved.rights_lost |= not _is_sound(damaged, "tokens")
    for row in _rows(damaged, "tokens").values():
        right = _right(row)
        saved.rights_lost |= right is None
        if right is not None:
            rights.setdefault(right[1], []).append(right)
    for numbers in _portions(sorted(sessions)):
        with target:
            for number in numbers:
                sid = str(sessions[number][1])
                try:
                    records, updates = _bodies(damaged, sid, sessions[number], heads.get(number))
                except UNREADABLE as error:
                    saved.lost.append((sid, f"SQLite: {error}"))
                except Corrupt as error:
                    saved.lost.append((sid, error.what))
                else:
                    row = _begun_anew(sessions[number]) if is_cut else sessions[number]
                    _write(target, row, heads[number], records, updates, rights.get(number, ()))
                    saved.whole.append(sid)
    saved.lost.extend((f"number {number}", NAMELESS) for number in heads if number not in sessions)
    if not _is_sound(damaged, "sessions"):
        saved.lost.append(("", "the list of sessions is damaged itself: there may have been others"))


def _portions(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    return (numbers[at : at + SESSIONS_TOGETHER] for at in range(0, len(numbers), SESSIONS_TOGETHER))


def _begun_anew(session: Row) -> Row:
    """Its log may be shorter than what its clients have seen, and goes on with other events under the same numbers: a
    new epoch tells them so (L4)."""
    number, sid, user, _, created_at, ended_at, _ = session
    row = (number, sid, user, new_epoch(secrets.token_bytes), created_at, ended_at)
    return (*row, of_row(*row))


def _write(
    target: apsw.Connection,
    session: Row,
    head: Row,
    records: Sequence[Row],
    updates: Sequence[Row],
    rights: Sequence[Row],
) -> None:
    """As they were, checksums and all: a place is the same in every file."""
    target.execute(schema.ADD_SESSION, session)
    target.execute(schema.KEEP_HEAD, head)
    target.executemany(schema.ADD_RECORD, records)
    target.executemany(schema.ADD_UPDATE, [(at, body, crc) for at, _, body, crc in updates])
    target.executemany(schema.GIVE_RIGHT, rights)
