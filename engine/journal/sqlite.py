"""The journal on disk: SQLite through apsw, one connection in one thread.

One connection, and no other program's: SQLite up to 3.51.2 can corrupt a WAL database that two connections write
or checkpoint, and machines are full of such versions. So the file is locked exclusively while it is open.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

import apsw

from ..errors import Corrupt, JournalError
from . import schema
from .base import PLACE_LAST, Append, SessionRow, TokenRow
from .changes import Change, Head, fingerprint, make
from .checksums import check_bodies, check_row, of_body, of_head, of_row
from .database import DAMAGE, IN_MEMORY, MET_BY_ALL, connect, let_go, look, told
from .files import FileLock, prepare_file, refuse_second_name, what_helps
from .inspection import inspect
from .schema import place
from .writer import ThreadedJournal

log = logging.getLogger("steward.journal")

HEADS_KEPT_MAX: Final = 65_536  # sessions whose head is remembered, about 300 bytes each
OWN_ROW: Final = "its own row"


class SqliteStore:
    """The file. Used by one thread at a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        # By its real name: whoever comes by a link finds the same lock.
        self._lock = FileLock(Path(f"{os.path.realpath(path)}.lock"))
        self._db: apsw.Connection | None = None
        self._heads: dict[str, Head] = {}  # as committed, and still true: nobody else may write
        self._changed: dict[str, Head | None] = {}  # by the transaction under way; None: dropped
        self._records: list[tuple[int, int, bytes, int]] = []  # rows it will insert
        self._updates: list[tuple[int, bytes, int]] = []
        self._is_writing = False
        self._wal_pages = 0
        self._is_behind = False  # the last checkpoint failed

    @property
    def db(self) -> apsw.Connection:
        if self._db is None:
            raise JournalError(f"{self._path}: not open")
        return self._db

    def open(self) -> None:
        try:
            if self._path != IN_MEMORY:
                prepare_file(Path(self._path))
                self._lock.take()
                refuse_second_name(Path(self._path))
                look(self._path)
            self._db = connect(self._path, inspect)
            self._db.set_wal_hook(self._note_wal)
        except (apsw.Error, *DAMAGE) as error:
            raise told(self._path, error) from error
        except OSError as error:
            advice = what_helps(error, "name a directory that may be written, such as a copy of it")
            raise JournalError(f"{self._path}: {error.strerror}: {advice}") from error

    def close(self) -> None:
        try:
            if self._db is not None:
                let_go(self._db)
        finally:
            self._db = None
            self._heads.clear()
            self._lock.release()

    # Writing

    def write(self, changes: Sequence[Change]) -> list[Any]:
        try:
            with self._transaction():
                return [make(self, change) for change in changes]
        except Exception as error:  # each waiter gets it
            return self._failed(changes, error)

    def _failed(self, changes: Sequence[Change], error: Exception) -> list[Any]:
        if len(changes) == 1 or isinstance(error, MET_BY_ALL):
            return [told(self._path, error, change.sid) for change in changes]
        # The disk is well, so one of the changes is at fault: the others are written without it.
        return [verdict for change in changes for verdict in self.write([change])]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._is_writing = True
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield
            self._insert()
            heads = (head for head in self._changed.values() if head is not None)
            self.db.executemany(schema.KEEP_HEAD, [(*head, of_head(*head)) for head in heads])
            self.db.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._is_writing = False
        self._keep_heads()
        self._checkpoint()

    def _note_wal(self, db: apsw.Connection, name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        """Write what the WAL has into the file, once it is long. If SQLite did it within the COMMIT, a disk that fails
        here would pass for one that did not take the commit. The next commit tries again."""
        if self._wal_pages < schema.WAL_PAGES:
            return
        try:
            self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            if not self._is_behind:
                log.warning("the log cannot be tidied up; it grows until it can: %s", told(self._path, error))
            self._is_behind = True
        else:
            self._is_behind = False

    def _roll_back(self) -> None:
        self._records.clear()
        self._updates.clear()
        self._changed.clear()
        self._heads.clear()  # read again from what is really there
        if self.db.in_transaction:  # not after errors with which SQLite has rolled back by itself
            self.db.execute("ROLLBACK")

    def _keep_heads(self) -> None:
        if len(self._heads) + len(self._changed) > HEADS_KEPT_MAX:
            self._heads.clear()
        for sid, head in self._changed.items():
            if head is None:
                self._heads.pop(sid, None)
            else:
                self._heads[sid] = head
        self._changed.clear()

    def create(self, session: SessionRow) -> Head:
        number: int = self.db.execute(schema.NEXT_NUMBER).get
        row = (number, session.sid, session.user, session.epoch, float(session.created_at), None)
        self.db.execute(schema.ADD_SESSION, (*row, of_row(*row)))
        return Head(number, session.fence, seq=session.trimmed, trimmed=session.trimmed)

    def extend(self, append: Append, before: Head, after: Head) -> None:
        if append.ended_at is not None:
            self._end(append.sid, float(append.ended_at))  # first: it may find that the session's row is damaged
        number, asked = after.number, fingerprint(append)
        at = place(number, append.rev)
        self._records.append((at, asked, append.record, of_body(at, asked, append.record)))
        numbered = enumerate(append.updates, start=place(number, before.seq) + 1)
        self._updates += [(at, update, of_body(at, 0, update)) for at, update in numbered]
        if append.revoked or append.tokens:
            self._change_tokens(number, append)
        if append.trim is not None:
            self._cut(before, after)

    def _change_tokens(self, number: int, append: Append) -> None:
        for id_ in append.revoked:
            self.db.execute(schema.REVOKE, (number, id_))
        for token in append.tokens:
            row = (token.digest, number, token.id, token.role)
            self.db.execute(schema.GIVE_RIGHT, (*row, of_row(*row)))

    def _end(self, sid: str, at: float) -> None:
        *row, ended_at = self._identity(sid)
        if ended_at is None:
            self.db.execute(schema.END, (at, of_row(*row, at), row[0]))

    def _cut(self, before: Head, after: Head) -> None:
        self._insert()
        number = before.number
        for statement, first, last in (
            (schema.CUT_RECORDS, before.first_rev, after.first_rev - 1),
            (schema.CUT_UPDATES, before.trimmed + 1, after.trimmed),
        ):
            if first <= last:
                self.db.execute(statement, (place(number, first), place(number, last)))

    def keep(self, sid: str, head: Head) -> None:
        self._changed[sid] = head

    def forget(self, sid: str, head: Head) -> None:
        self._insert()
        for statement in (schema.CUT_RECORDS, schema.CUT_UPDATES):
            self.db.execute(statement, (place(head.number, 0), place(head.number, PLACE_LAST)))
        for statement in schema.DROP:
            self.db.execute(statement, (head.number,))
        self._changed[sid] = None

    def _insert(self) -> None:
        # All rows of a table in one go, whatever their sessions: half the time of one call a row.
        self.db.executemany(schema.ADD_RECORD, self._records)
        self.db.executemany(schema.ADD_UPDATE, self._updates)
        self._records.clear()
        self._updates.clear()

    # Reading

    def head(self, sid: str) -> Head | None:
        """What is stored of the session, with what the transaction under way has done to it."""
        if sid in self._changed:
            return self._changed[sid]
        return self._heads.get(sid) or self._stored_head(sid)

    def _stored_head(self, sid: str) -> Head | None:
        found = self._fetch(schema.SESSION, (sid,), sid)
        if not found:
            return None
        number = check_row(sid, OWN_ROW, found[0])[0]
        heads = self._fetch(schema.HEAD, (number,), sid)
        return self._promised(sid, number, heads[0] if heads else None)

    def _promised(self, sid: str, number: int, row: Any) -> Head:
        if row is None or row[0] != number:
            raise Corrupt(sid, "how far it goes is not stored any more")
        return Head(*check_row(sid, "how far it goes", row, of_head))

    def _identity(self, sid: str) -> tuple[Any, ...]:
        """(number, sid, user, epoch, created_at, ended_at) of a session that has a head."""
        found = self._fetch(schema.SESSION, (sid,), sid)
        if not found:
            raise Corrupt(sid, f"{OWN_ROW} is missing")
        return check_row(sid, OWN_ROW, found[0])

    def session(self, sid: str) -> SessionRow | None:
        head = self.head(sid)
        return head.row_of(SessionRow(*self._identity(sid)[1:])) if head else None

    def sessions(self) -> list[SessionRow]:
        heads = {row[0]: row for row in self._fetch(schema.HEADS)}
        return [self._row(row, heads.get(row[0])) for row in self._fetch(schema.SESSIONS)]

    def _row(self, row: tuple[Any, ...], head: Any) -> SessionRow:
        number, sid, *rest = check_row(str(row[1]), OWN_ROW, row)
        return self._promised(sid, number, head).row_of(SessionRow(sid, *rest))

    def records(self, sid: str, after: int, limit: int | None) -> list[bytes]:
        head = self.head(sid)
        if head is None:
            return []
        first = max(head.first_rev, after + 1)
        last = head.rev if limit is None else min(head.rev, first + limit - 1)
        # Asked for all, what lies beside them is found too.
        places = (after + 1 if after else 0, PLACE_LAST if limit is None else last)
        rows = self._fetch(schema.RECORDS, tuple(place(head.number, one) for one in places), sid)
        return check_bodies(sid, "record", rows, place(head.number, first), place(head.number, last))

    def updates(self, sid: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        head = self.head(sid)
        first = max(after, head.trimmed) + 1 if head else 1
        if head is None or first > head.seq or limit <= 0:
            return []
        last = min(head.seq, first + limit - 1)
        wanted = (place(head.number, first), place(head.number, PLACE_LAST), limit)
        rows = self._fetch(schema.UPDATES, wanted, sid)
        bodies = check_bodies(sid, "update", rows, wanted[0], place(head.number, last))
        return list(enumerate(bodies, start=first))

    def asked(self, head: Head, sid: str, rev: int) -> tuple[bytes, int]:
        self._insert()
        at = place(head.number, rev)
        rows = self._fetch(schema.RECORDS, (at, at), sid)
        return check_bodies(sid, "record", rows, at, at)[0], rows[0][1]

    def token(self, digest: bytes) -> TokenRow | None:
        found = self._fetch(schema.RIGHT, (digest,))
        return self._right(found[0]) if found and compare_digest(found[0][0], digest) else None

    def tokens(self, sid: str) -> list[TokenRow]:
        head = self.head(sid)
        return [self._right(row, sid) for row in self._fetch(schema.RIGHTS, (head.number,), sid)] if head else []

    def _right(self, row: tuple[Any, ...], sid: str = "") -> TokenRow:
        digest, number, id_, role = check_row(sid, "a right", row)
        return TokenRow(digest, sid or self._sid(number), id_, role)

    def _sid(self, number: int) -> str:
        found = self._fetch(schema.NUMBERED, (number,))
        if not found:
            raise Corrupt("", f"{self._path}: a right is of session {number}, which is missing")
        return str(check_row(str(found[0][1]), OWN_ROW, found[0])[1])

    def _fetch(self, statement: str, bindings: Sequence[Any] = (), sid: str = "") -> list[Any]:
        try:
            return self.db.execute(statement, bindings).fetchall()
        except (apsw.Error, *DAMAGE) as error:
            if self._is_writing:
                raise  # SQLite may have rolled back: nothing of the transaction may go on
            raise told(self._path, error, sid) from error


class SqliteJournal(ThreadedJournal):
    """A Journal in one file, durable through kill -9 and power cuts. ":memory:" as the path keeps nothing."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(SqliteStore(str(path)))
