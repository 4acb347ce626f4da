"""What is particular to the journal on disk: its file, its settings, its thread, its disk's faults."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from engine.errors import JournalError, UnknownFormat
from engine.journal import schema, writer
from engine.journal.sqlite import SqliteJournal
from tests.journal.faulty_disk import FaultyDisk
from tests.journal.making import commit, creation, right, stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    made = SqliteJournal(path)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    """Asked for before the journal, which then is on it."""
    made = FaultyDisk()
    yield made
    made.answers.set()
    made.unregister()


async def in_thread(journal: SqliteJournal, read: Callable[[apsw.Connection], Any]) -> Any:
    """What read says of the journal's own connection, asked in the journal's own thread."""
    store: Any = journal._store
    return await journal._ask(lambda: read(store.db))


def thread_names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


async def make_one(path: Path) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    await journal.append(creation(updates=(b"a",)))
    await journal.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# The file


async def test_the_file_is_for_its_user_alone(path: Path, journal: SqliteJournal) -> None:
    """What people said to their agents is in it, also in the files beside it."""
    await journal.append(creation())
    assert mode(path.parent) == 0o700
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["journal.db", "journal.db-wal", "journal.db.lock"]
    assert {mode(file) for file in files} == {0o600}


async def test_a_closed_file_is_whole_without_its_wal(path: Path) -> None:
    """It can be copied by anyone then, and the marks are where `file` and other programs look for them."""
    await make_one(path)
    assert not path.with_name("journal.db-wal").exists()
    head = path.read_bytes()[:100]
    assert head[60:64] == schema.FORMAT_VERSION.to_bytes(4, "big")
    assert head[68:72] == b"STWD"


@pytest.mark.parametrize("version", [0, 1, 99])
async def test_another_format_is_refused_by_name_and_left_as_it_is(path: Path, version: int) -> None:
    """R4: a newer release's data is not ours to touch."""
    await make_one(path)
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {version}")
    other.close()
    before = path.read_bytes()
    with pytest.raises(
        UnknownFormat, match=rf"written in format {version}; this release knows format {schema.FORMAT_VERSION}"
    ):
        await SqliteJournal(path).open()
    assert path.read_bytes() == before


async def test_another_format_that_is_still_in_the_wal_is_refused_as_well(path: Path) -> None:
    """R4: a newer release that crashed right after it converted the file."""
    await make_one(path)
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 98")
    crashed = path.parent / "crashed"
    crashed.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(path.with_name(name), crashed / name)
    other.close()
    before = [(crashed / name).read_bytes() for name in ("journal.db", "journal.db-wal")]
    with pytest.raises(UnknownFormat, match="written in format 98"):
        await SqliteJournal(crashed / "journal.db").open()
    assert [(crashed / name).read_bytes() for name in ("journal.db", "journal.db-wal")] == before


async def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """A wrong path in the configuration must not cost anyone their data."""
    path = tmp_path / "addresses.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE addresses (name TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(UnknownFormat, match="another program's database"):
        await SqliteJournal(path).open()
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"short", b"dear diary\n" * 1000, b"SQLite format 3\0"])
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """The message says what to do; the file says what it said."""
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"notes.txt: it is not a SQLite database: move it away"):
        await SqliteJournal(path).open()
    assert path.read_bytes() == content


async def test_an_empty_file_is_made_a_journal(tmp_path: Path) -> None:
    """A crash between making the file and its first transaction must not need a person."""
    (tmp_path / "journal.db").touch()
    await make_one(tmp_path / "journal.db")


@pytest.mark.parametrize("fault", ["fails_write", "fails_sync"])
async def test_an_opening_that_the_disk_cut_short_can_be_repeated(path: Path, disk: FaultyDisk, fault: str) -> None:
    """A file is ours whole or not begun: no half-made one has to be cleared away by hand."""
    setattr(disk, fault, apsw.FullError("injected"))
    with pytest.raises(JournalError, match="make room"):
        await SqliteJournal(path).open()
    setattr(disk, fault, None)
    await make_one(path)


async def test_a_damaged_database_is_refused_with_what_to_do(path: Path) -> None:
    """R4: damage has a name of its own."""
    await make_one(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xaa" * (len(whole) - 100))
    with pytest.raises(JournalError, match=r"it is damaged \(.*`steward repair .*journal.db`"):
        await SqliteJournal(path).open()


async def test_a_path_that_cannot_be_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """An operator's typing error ends in a sentence, not in a traceback."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "journal.db"):
        with pytest.raises(JournalError, match="name a directory that may be written"):
            await SqliteJournal(path).open()


async def test_the_settings_are_really_in_force(journal: SqliteJournal) -> None:
    """SQLite ignores a PRAGMA it cannot follow, without a word; durability rests on these."""
    found = await in_thread(journal, lambda db: {name: db.pragma(name) for name, _ in schema.SETTINGS})
    assert found == dict(schema.SETTINGS)
    assert found["journal_mode"] == "wal"
    assert found["synchronous"] == 2
    assert await in_thread(journal, lambda db: db.pragma("locking_mode")) == "exclusive"


async def test_other_programs_cannot_open_a_live_journal(path: Path, journal: SqliteJournal) -> None:
    """A shell with an old SQLite could corrupt the WAL; it is told that the file is locked."""
    await journal.append(creation())
    look = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('SELECT * FROM sessions')"
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", look, stderr=asyncio.subprocess.PIPE)
    _, said = await other.communicate()
    assert b"database is locked" in said
    await journal.append(commit(2))


async def test_memory_is_a_path_too() -> None:
    """For tests of others: SQLite itself, without a file."""
    journal = SqliteJournal(":memory:")
    await journal.open()
    await journal.append(creation())
    assert (await stored(journal)).rev == 1
    await journal.close()
    assert not Path(":memory:.lock").exists()


async def test_what_is_dropped_in_the_batch_it_was_written_in_leaves_no_row(journal: SqliteJournal) -> None:
    """C3: rows without a session would be found by the next one that gets its number."""
    appends = [journal.append(creation(updates=(b"a",), tokens=(right("t"),))), journal.append(commit(2, b"b"))]
    await asyncio.gather(*appends, journal.drop("s.one"))
    count = "SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM updates) + (SELECT count(*) FROM tokens)"
    assert await in_thread(journal, lambda db: db.execute(count).get) == 0


# The thread


async def test_open_and_close_leave_no_thread_and_no_descriptor(path: Path) -> None:
    """C3: back at base, also when the opening failed."""
    await make_one(path)
    base = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    journal = SqliteJournal(path)
    await journal.open()
    assert writer.THREAD_NAME in thread_names()
    with pytest.raises(JournalError):
        await SqliteJournal(path).open()
    await journal.close()
    with pytest.raises(JournalError):
        await SqliteJournal(path.parent).open()
    assert writer.THREAD_NAME not in thread_names()
    assert not base or len(os.listdir("/proc/self/fd")) == base


async def test_an_opening_that_was_cancelled_can_be_closed(path: Path, disk: FaultyDisk) -> None:
    """C5: cut at its await, there is a thread that somebody can still end; then it opens as new."""
    journal = SqliteJournal(path)
    with disk.stalled():
        opening = asyncio.ensure_future(journal.open())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await journal.close()
    assert writer.THREAD_NAME not in thread_names()
    await journal.open()
    await journal.close()


def test_a_loop_that_closed_first_harms_nothing(path: Path) -> None:
    """The verdicts have nobody to go to; the thread goes on, and the next loop can close it."""
    journal = SqliteJournal(path)

    async def leave() -> None:
        await journal.open()
        await journal.append(creation())
        journal.append(commit(2, b"nobody waits"))

    async def come_back() -> None:
        with pytest.raises(JournalError, match="close it first"):
            await journal.open()
        await journal.close()
        await journal.open()
        assert (await stored(journal)).rev == 2
        await journal.append(commit(3))
        await journal.close()

    asyncio.run(leave())
    asyncio.run(come_back())
    assert writer.THREAD_NAME not in thread_names()


# The disk


async def test_what_is_queued_together_costs_one_sync(disk: FaultyDisk, journal: SqliteJournal) -> None:
    """Group commit: the price of durability is paid once for all that wait."""
    await journal.append(creation())
    before = disk.syncs
    with disk.stalled():
        appends = [journal.append(commit(rev, b"u")) for rev in range(2, 502)]
    await asyncio.gather(*appends)
    assert disk.syncs - before <= 4


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError])
async def test_a_failed_write_refuses_all_and_the_disk_is_tried_again(
    disk: FaultyDisk, journal: SqliteJournal, error: type[apsw.Error]
) -> None:
    """Nothing of the batch is there, for nobody, and the same revisions are taken when the disk is well."""
    await journal.append(creation(updates=(b"a",)))
    disk.fails_write = error("injected")
    for _ in range(3):
        appends = [journal.append(commit(2, b"x")), journal.append(commit(3, b"y")), journal.append(creation("s.two"))]
        results = await asyncio.gather(*appends, return_exceptions=True)
        assert {type(result) for result in results} == {JournalError}
        assert (await stored(journal)).rev == 1
    disk.fails_write = None
    await journal.append(commit(2, b"b"))
    assert await journal.updates("s.one", 0, 9) == [(1, b"a"), (2, b"b")]


async def test_a_failed_sync_is_never_acknowledged(disk: FaultyDisk, path: Path, journal: SqliteJournal) -> None:
    """M2: written is not durable. What is acknowledged afterwards is on the disk, and nothing else is."""
    await journal.append(creation())
    disk.fails_sync = apsw.IOError("injected")
    with pytest.raises(JournalError, match="the disk reports an error"):
        await journal.append(commit(2, b"lost"))
    with pytest.raises(JournalError):
        await journal.claim("s.one")
    disk.fails_sync = None
    await journal.append(commit(2, b"kept"))
    await journal.close()
    await journal.open()
    assert await journal.updates("s.one", 0, 9) == [(1, b"kept")]
    assert (await stored(journal)).fence == 0


async def test_what_is_behind_a_failed_append_is_refused_by_its_revision(
    disk: FaultyDisk, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M2: the disk recovering between two batches must not make a log with a hole."""
    monkeypatch.setattr(writer, "JOBS_TOGETHER_MAX", 1)
    await journal.append(creation())
    disk.fails_write = apsw.FullError("injected")
    failed = journal.append(commit(2, b"x"))
    failed.add_done_callback(lambda _: setattr(disk, "fails_write", None))
    with pytest.raises(JournalError):
        await failed
    behind = await asyncio.gather(journal.append(commit(3)), journal.append(commit(2, b"y")), return_exceptions=True)
    assert [type(result).__name__ for result in behind] == ["Fenced", "NoneType"]


async def test_closing_on_a_stalled_disk_is_bounded(
    disk: FaultyDisk, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4, L13: an exit is not held up for ever; the queued append is not acknowledged, and not lost by us either."""
    await journal.append(creation())
    monkeypatch.setattr(writer, "CLOSE_WAIT_S", 0.05)
    monkeypatch.setattr(writer, "JOIN_WAIT_S", 0.05)
    with disk.stalled():
        waiting = journal.append(commit(2))
        with pytest.raises(JournalError, match="has not answered for"):
            await journal.close()
        assert not waiting.done()
    await waiting
    monkeypatch.undo()
    await journal.close()
    assert writer.THREAD_NAME not in thread_names()


async def test_a_checkpoint_that_fails_at_the_close_loses_nothing(disk: FaultyDisk, journal: SqliteJournal) -> None:
    """What is acknowledged is in the WAL; the next opening reads it from there."""
    await journal.append(creation(updates=(b"a",)))
    disk.fails_write = apsw.FullError("injected")
    await journal.close()
    disk.fails_write = None
    await journal.open()
    assert await journal.updates("s.one", 0, 9) == [(1, b"a")]


async def test_a_failure_to_open_that_nobody_waits_for_is_no_noise(path: Path) -> None:
    """A signal while a damaged file is looked at: the interpreter would tell of an error that nobody has asked for."""
    noise: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: noise.append(context))
    path.parent.mkdir()
    path.write_bytes(b"dear diary\n" * 1000)
    journal = SqliteJournal(path)
    opening = asyncio.create_task(journal.open())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait({opening})
    await journal.close()
    del journal, opening
    gc.collect()
    assert noise == []
