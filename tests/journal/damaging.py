"""A small journal with some of everything in it, what it has to give back, and what is found when it is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from engine.errors import Corrupt, JournalError
from engine.journal import Trim
from engine.journal.changes import Change, Claim, Drop
from engine.journal.queued import Store
from engine.journal.sqlite import SqliteStore
from tests.journal.making import commit, creation, right

SIDS = ("s.long", "s.trimmed", "s.ended", "s.short")
LARGE = bytes(range(256)) * 40  # more than two pages hold


@contextmanager
def opened(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(str(path))
    try:
        store.open()
        yield store
    finally:
        store.close()


def write(store: SqliteStore, *changes: Change) -> None:
    problems = [verdict for verdict in store.write(changes) if isinstance(verdict, Exception)]
    assert not problems, problems


def fill(store: SqliteStore) -> None:
    """Four sessions: with a body over several pages, trimmed, ended, and one that is only begun; a fifth is gone."""
    for sid in ("s.gone", *SIDS):
        write(store, creation(sid, updates=(b"hello",), tokens=(right(f"{sid} a", sid), right(f"{sid} b", sid))))
    for rev in range(2, 12):
        body = LARGE if rev == 7 else b"%d " % rev * rev * 9
        write(store, commit(rev, body, b"u%d" % rev, sid="s.long"), commit(rev, body, b"w", sid="s.gone"))
        write(store, replace(commit(rev, b"t%d" % rev * 20, sid="s.trimmed"), trim=Trim(rev - 2, rev - 3)))
    write(store, replace(commit(2, b"end", sid="s.ended"), ended_at=77.5, revoked=("id-s.ended a",)))
    write(store, Drop("s.gone"), Claim("s.trimmed"), Claim("s.long"))


Asked = dict[str, Callable[[], Any]]


def questions(store: Store) -> Asked:
    """Everything that can be asked of it, by name."""
    asked: Asked = {"sessions": store.sessions}
    for sid in (*SIDS, "s.gone"):
        asked |= {
            f"session {sid}": partial(store.session, sid),
            f"records {sid}": partial(store.records, sid, 0, None),
            f"updates {sid}": partial(store.updates, sid, 0, 100),
            f"some updates {sid}": partial(store.updates, sid, 4, 3),
            f"tokens {sid}": partial(store.tokens, sid),
            f"token {sid} a": partial(store.token, right(f"{sid} a", sid).digest),
            f"token {sid} b": partial(store.token, right(f"{sid} b", sid).digest),
        }
    return asked


def answers(store: Store) -> dict[str, Any]:
    return {name: ask() for name, ask in questions(store).items()}


def faults(path: Path, expected: dict[str, Any]) -> list[str]:
    """What is said when the file is opened and asked for everything; nothing if all is well.

    Fails if anything is given back that was not written, or an error names neither the file nor a session.
    """
    found: list[str] = []
    try:
        with opened(path) as store:
            for name, ask in questions(store).items():
                try:
                    assert ask() == expected[name], name
                except JournalError as error:
                    found.append(_named(error, path))
    except JournalError as error:
        found.append(_named(error, path))
    return found


def _named(error: JournalError, path: Path) -> str:
    assert str(path) in str(error) or (isinstance(error, Corrupt) and error.sid in SIDS), f"where? {error}"
    return str(error)
