"""The journal on disk: SQLite through apsw, one connection in one thread. The only door to apsw.

One connection, and no other program's: SQLite up to 3.51.2 can corrupt a WAL database that two connections write
or checkpoint, and machines are full of such versions. So the file is locked exclusively while it is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

import apsw

from ..errors import JournalError, UnknownFormat
from . import schema
from .base import Append, SessionRow, TokenRow, refusal
from .files import FileLock, prepare_file, read_header
from .queued import Change, Claim, Drop
from .schema import PLACE_LAST, Head, place
from .writer import ThreadedJournal

HEADS_KEPT_MAX: Final = 65_536  # sessions whose next revision is remembered, about 250 bytes each
IN_MEMORY: Final = ":memory:"

NOT_OURS: Final = "it is not a SQLite database: move it away, or name another directory; it is left as it is"
# What would help when the disk refuses. Each of these is met by all changes of a transaction alike.
HELP: Final[dict[type[apsw.Error], str]] = {
    apsw.FullError: "the disk or its quota is full: make room",
    apsw.IOError: "the disk reports an error: look at it and at the room on it",
    apsw.ReadOnlyError: "it may not be written: look at the rights of the file and its directory",
    apsw.CantOpenError: "it does not open: look at the rights of the file and its directory",
    apsw.PermissionsError: "it does not open: look at the rights of the file and its directory",
    apsw.BusyError: "another program has it open: close that one",
    apsw.LockedError: "another program has it open: close that one",
    apsw.ProtocolError: "another program has it open: close that one",
    apsw.CorruptError: "it is damaged: restore a copy of it, or name another directory",
    apsw.NotADBError: NOT_OURS,
    apsw.NoMemError: "there is no memory left",
}


class SqliteStore:
    """The file. Used by one thread at a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = FileLock(Path(f"{path}.lock"))
        self._db: apsw.Connection | None = None
        self._heads: dict[str, Head] = {}  # as committed, and still true: nobody else may write
        self._changed: dict[str, Head | None] = {}  # by the transaction under way; None: dropped
        self._records: list[tuple[int, int, bytes]] = []  # rows it will insert
        self._updates: list[tuple[int, bytes]] = []

    @property
    def db(self) -> apsw.Connection:
        if self._db is None:
            raise JournalError(f"{self._path}: not open")
        return self._db

    def open(self) -> None:
        try:
            if self._path != IN_MEMORY:
                self._look()
            self._db = self._connected()
        except apsw.Error as error:
            raise self._told(error) from error
        except OSError as error:
            raise JournalError(f"{self._path}: {error.strerror}: name a directory that may be written") from error

    def _look(self) -> None:
        path = Path(self._path)
        prepare_file(path)
        self._lock.take()
        # Before SQLite sees the file, which would already repair or rewrite what is not ours.
        try:
            header = read_header(path)
        except ValueError:
            raise JournalError(f"{self._path}: {NOT_OURS}") from None
        if header is not None:
            self._check_format(*header)

    def _connected(self) -> apsw.Connection:
        db = apsw.Connection(self._path)
        try:
            self._ready(db)
        except BaseException:
            db.close(force=True)
            raise
        return db

    def _ready(self, db: apsw.Connection) -> None:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # should it turn out not to be ours
        db.pragma("locking_mode", "exclusive")
        if not db.execute("SELECT count(*) FROM sqlite_schema").get:
            # One transaction, and before there is a WAL: no crash leaves a file that is half ours.
            db.execute(schema.CREATE)
        # Once more: marks that are still in the WAL are not in the file's header.
        self._check_format(db.pragma("application_id"), db.pragma("user_version"))
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        for name, value in schema.SETTINGS:
            db.pragma(name, value)

    def _check_format(self, application_id: int, version: int) -> None:
        if application_id != schema.APPLICATION_ID:
            raise UnknownFormat(f"{self._path}: another program's database, left as it is: name another directory")
        if version != schema.FORMAT_VERSION:
            raise UnknownFormat(
                f"{self._path}: written in format {version}; this release knows format {schema.FORMAT_VERSION}: "
                "use the release that wrote it, or name another directory; it is left as it is"
            )

    def close(self) -> None:
        try:
            if self._db is not None:
                _let_go(self._db)
        finally:
            self._db = None
            self._heads.clear()
            self._lock.release()

    def _told(self, error: Exception) -> JournalError:
        advice = next((text for kind, text in HELP.items() if isinstance(error, kind)), "")
        return JournalError(f"{self._path}: {advice} ({error})" if advice else f"{self._path}: {error!r}")

    # Writing

    def write(self, changes: Sequence[Change]) -> list[Any]:
        try:
            with self._transaction():
                return [self._change(change) for change in changes]
        except Exception as error:  # each waiter gets it
            return self._failed(changes, error)

    def _failed(self, changes: Sequence[Change], error: Exception) -> list[Any]:
        if len(changes) == 1 or isinstance(error, tuple(HELP)):
            return [self._told(error) for _ in changes]
        # The disk is well, so one of the changes is at fault: the others are written without it.
        return [verdict for change in changes for verdict in self.write([change])]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield
            self._insert()
            self.db.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._keep_heads()

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

    def _change(self, change: Change) -> Any:
        match change:
            case Append():
                return self._append(change)
            case Claim(sid):
                return self._claim(sid)
            case Drop(sid):
                return self._drop(sid)

    def _append(self, append: Append) -> JournalError | None:
        head = self._head(append.sid)
        refused = refusal(append, head.fence if head else None, head.rev if head else 0)
        if refused is not None:
            return refused
        head = head or self._create(append.session)
        seq = head.seq + len(append.updates)
        self._records.append((place(head.number, append.rev), seq, append.record))
        for position, update in enumerate(append.updates, start=head.seq + 1):
            self._updates.append((place(head.number, position), update))
        if append.revoked or append.tokens:
            self._change_tokens(head.number, append)
        if append.ended_at is not None:
            self.db.execute(schema.END, (append.ended_at, head.number))
        self._changed[append.sid] = Head(head.number, head.fence, append.rev, seq)
        return None

    def _create(self, session: SessionRow | None) -> Head:
        assert session is not None, "refusal() lets nothing else pass"
        row = (session.sid, session.user, session.epoch, session.created_at, session.fence)
        self.db.execute(schema.ADD_SESSION, row)
        return Head(self.db.last_insert_rowid(), session.fence, 0, 0)

    def _change_tokens(self, number: int, append: Append) -> None:
        for id_ in append.revoked:
            self.db.execute(schema.REVOKE, (number, id_))
        for token in append.tokens:
            self.db.execute(schema.GIVE_RIGHT, (token.digest, number, token.id, token.role))

    def _claim(self, sid: str) -> SessionRow | KeyError:
        head = self._head(sid)
        if head is None:
            return KeyError(sid)
        self._insert()  # the row that is returned is read from the tables
        self.db.execute(schema.RAISE_FENCE, (head.fence + 1, head.number))
        self._changed[sid] = head._replace(fence=head.fence + 1)
        return self.session(sid) or KeyError(sid)

    def _drop(self, sid: str) -> None:
        head = self._head(sid)
        if head is not None:
            self._insert()
            for statement in schema.DROP_PLACES:
                self.db.execute(statement, (place(head.number, 0), place(head.number, PLACE_LAST)))
            for statement in schema.DROP_SESSION:
                self.db.execute(statement, (head.number,))
            self._changed[sid] = None

    def _head(self, sid: str) -> Head | None:
        """What is stored of the session, with what the transaction under way has done to it."""
        if sid in self._changed:
            return self._changed[sid]
        return self._heads.get(sid) or self._stored_head(sid)

    def _stored_head(self, sid: str) -> Head | None:
        found = self.db.execute(schema.HEAD, (sid,)).fetchone()
        return Head(*found) if found else None

    def _insert(self) -> None:
        # All rows of a table in one go, whatever their sessions: half the time of one call a row.
        self.db.executemany(schema.ADD_RECORD, self._records)
        self.db.executemany(schema.ADD_UPDATE, self._updates)
        self._records.clear()
        self._updates.clear()

    # Reading

    def session(self, sid: str) -> SessionRow | None:
        found = self._fetch(schema.SESSION, (sid,))
        return SessionRow(*found[0]) if found else None

    def sessions(self) -> list[SessionRow]:
        return [SessionRow(*row) for row in self._fetch(schema.SESSIONS)]

    def records(self, sid: str) -> list[bytes]:
        return [body for (body,) in self._fetch(schema.RECORDS, self._places(sid, 0))]

    def updates(self, sid: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        return self._fetch(schema.UPDATES, (*self._places(sid, after + 1), max(limit, 0)))

    def token(self, digest: bytes) -> TokenRow | None:
        found = self._fetch(schema.BY_DIGEST, (digest,))
        return TokenRow(*found[0]) if found and compare_digest(found[0][0], digest) else None

    def tokens(self, sid: str) -> list[TokenRow]:
        return [TokenRow(*row) for row in self._fetch(schema.TOKENS, (sid,))]

    def _places(self, sid: str, first: int) -> tuple[int, int]:
        """The first and the last place of a session's rows from a position on; of none if there is no session."""
        head = self._head(sid)
        number = head.number if head else 0  # numbers start at 1
        return place(number, max(0, min(first, PLACE_LAST))), place(number, PLACE_LAST)

    def _fetch(self, statement: str, bindings: Sequence[Any] = ()) -> list[Any]:
        try:
            return self.db.execute(statement, bindings).fetchall()
        except apsw.Error as error:
            raise self._told(error) from error


def _let_go(db: apsw.Connection) -> None:
    try:
        db.pragma("wal_checkpoint", "TRUNCATE")
    except apsw.Error:
        # Everything acknowledged is in the WAL, and the next open() reads it from there: do not try once more.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.close(force=True)


class SqliteJournal(ThreadedJournal):
    """A Journal in one file, durable through kill -9 and power cuts. ":memory:" as the path keeps nothing."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(SqliteStore(str(path)))
