"""A disk that fails at any one operation, or from there on: told, nothing half, nothing lost, and service again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from engine.errors import Fenced, JournalError
from engine.journal import Trim, schema
from engine.journal.changes import Change, Claim, Drop
from engine.journal.memory import MemoryStore
from engine.journal.sqlite import SqliteStore
from tests.journal.damaging import SIDS, answers
from tests.journal.faulty_disk import FaultyDisk
from tests.journal.making import commit, creation, right
from tests.server.long import size

STEP = size(23, 1)  # every operation in the long form, every 23rd in the suite
ERRORS = [apsw.IOError("injected"), apsw.FullError("injected"), apsw.ReadOnlyError("injected")]

# What a journal is asked, batch by batch; None: it is closed and opened again.
SCENARIO: list[list[Change] | None] = [
    [creation(sid, updates=(b"hello",), tokens=(right(f"{sid} a", sid),)) for sid in (*SIDS, "s.gone")],
    [commit(2, b"x" * 9000, b"y", sid="s.long"), commit(2, b"t", sid="s.trimmed"), commit(2, sid="s.gone")],
    [Claim("s.long"), commit(3, b"z", sid="s.long", fence=1), commit(9, b"refused", sid="s.short")],
    None,
    [Drop("s.gone"), replace(commit(3, b"t", sid="s.trimmed"), trim=Trim(3, 2))],
    [
        replace(
            commit(2, b"end", sid="s.ended"), ended_at=7.5, revoked=("id-s.ended a",), tokens=(right("n", "s.ended"),)
        )
    ],
    None,
    [commit(4, b"again" * 2000, sid="s.long", fence=1)],
]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyDisk]:
    """With checkpoints all the time, so that they fail as well."""
    monkeypatch.setattr(schema, "WAL_PAGES", 4)
    made = FaultyDisk()
    yield made
    made.unregister()


class Run:
    """The scenario on a disk, beside a model that is told of what was acknowledged only."""

    def __init__(self, path: Path, disk: FaultyDisk) -> None:
        self.store = SqliteStore(str(path))
        self.disk = disk
        self.model = MemoryStore()
        self.failures = 0

    def play(self) -> None:
        self.open()
        for batch in SCENARIO:
            if batch is None:
                self.reopen()
            else:
                self.write(batch)
        self.reopen()
        self.compare()
        self.store.close()

    def open(self) -> None:
        try:
            self.store.open()
        except JournalError as error:
            self.fails(error)
            self.store.close()
            self.store.open()

    def reopen(self) -> None:
        self.store.close()
        self.open()

    def write(self, batch: list[Change]) -> None:
        """Ask for a batch, and once more for what failed: what is acknowledged is there, and nothing else is."""
        failed = self.acknowledge(batch, self.store.write(batch))
        if failed:
            self.disk.recover()
            assert answers(self.store) == answers(self.model)
            assert self.acknowledge(failed, self.store.write(failed)) == []
        self.compare()

    def acknowledge(self, batch: list[Change], verdicts: list[Any]) -> list[Change]:
        failed = []
        for change, verdict in zip(batch, verdicts, strict=True):
            if isinstance(verdict, JournalError) and not isinstance(verdict, Fenced):
                self.fails(verdict)
                failed.append(change)
            else:
                (expected,) = self.model.write([change])
                assert type(verdict) is type(expected), (change, verdict)
                assert isinstance(verdict, Exception) or verdict == expected
        return failed

    def compare(self) -> None:
        try:
            found = answers(self.store)
        except JournalError as error:
            self.fails(error)
            found = answers(self.store)
        assert found == answers(self.model)

    def fails(self, error: JournalError) -> None:
        """Whoever asked is told which file it is and what helps; then somebody mends the disk."""
        assert "journal.db: " in str(error), error
        assert any(word in str(error) for word in ("make room", "look at")), error
        self.failures += 1
        self.disk.recover()


def operations(path: Path, disk: FaultyDisk) -> int:
    """How many operations of the disk the scenario takes when none fails."""
    disk.count = 0
    run = Run(path, disk)
    run.play()
    assert run.failures == 0
    return disk.count


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("is_lasting", [False, True], ids=["once", "until it is mended"])
def test_a_disk_that_fails_at_any_operation(
    tmp_path: Path, disk: FaultyDisk, error: apsw.Error, is_lasting: bool
) -> None:
    """L2, M2: an error to whoever asked, everything acknowledged is still there, nothing is half, and service again."""
    disk.error, disk.is_lasting = error, is_lasting
    total = operations(tmp_path / "count" / "journal.db", disk)
    told = 0
    for at in range(1 + ERRORS.index(error), total, STEP):
        disk.count, disk.fails_at = 0, at
        run = Run(tmp_path / str(at) / "journal.db", disk)
        run.play()
        disk.recover()
        told += run.failures
    assert told > total / STEP / 4
