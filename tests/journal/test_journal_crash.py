"""What a killed process leaves of its journal, and what a second process gets to hear."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import JournalError
from engine.journal import Journal
from engine.journal.sqlite import SqliteJournal
from engine.journal.wal import FRAME_BYTES, HEADER_BYTES
from tests.journal.crashing import record, update

ROOT = Path(__file__).parents[2]
ROUNDS = 6
ROUNDS_WRAPPED = 3
WAL_PAGES_FEW = 800  # some forty group commits, so that one of the rounds ends well before the end
SESSIONS = 8


def start(path: Path, *wal_pages: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.journal.crashing", str(path), str(SESSIONS), *map(str, wal_pages)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def read_acknowledged(process: subprocess.Popen[str], lines: int | None) -> dict[str, tuple[int, int]]:
    """The last (rev, seq) of each session among so many lines of a writer, or all it had time to say."""
    assert process.stdout is not None
    acknowledged: dict[str, tuple[int, int]] = {}
    for count, line in enumerate(process.stdout, start=1):
        if line.endswith("\n") and line.startswith("s."):
            sid, rev, seq = line.split()
            acknowledged[sid] = (int(rev), int(seq))
        if count == lines:
            break
    return acknowledged


async def check(journal: Journal, sid: str, rev: int, seq: int) -> None:
    """Everything up to rev and seq is there, and it is a prefix of what was written: no gap, no half append."""
    found = await journal.session(sid)
    assert found is not None
    assert found.rev >= rev
    assert found.seq >= seq
    records = await journal.records(sid)
    assert records[1:] == [record(sid, rev) for rev in range(2, found.rev + 1)]
    updates = await journal.updates(sid, 0, 10**6)
    assert updates == [(seq, update(sid, seq)) for seq in range(1, found.seq + 1)]
    assert found.seq == sum(rev % 3 for rev in range(2, found.rev + 1))


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """L2, M2: SIGKILL in the middle of a stream of group commits, again and again on the same file."""
    path = tmp_path / "journal.db"
    dice = random.Random(7)
    acknowledged: dict[str, tuple[int, int]] = {}
    for _ in range(ROUNDS):
        writer = start(path)
        acknowledged |= read_acknowledged(writer, dice.randrange(40, 1500))
        writer.kill()
        acknowledged |= read_acknowledged(writer, None)
        writer.communicate()
        journal = SqliteJournal(path)
        await journal.open()
        for sid, (rev, seq) in acknowledged.items():
            await check(journal, sid, rev, seq)
        await journal.close()
    assert len(acknowledged) == SESSIONS


def left_over(wal: bytes) -> list[bool]:
    """Of each frame behind a WAL's end, from before it was begun anew: whether it ended a commit."""
    frames = range(HEADER_BYTES, len(wal) - FRAME_BYTES + 1, FRAME_BYTES)
    return [any(wal[at + 4 : at + 8]) for at in frames if wal[at + 8 : at + 16] != wal[16:24]]


async def test_what_was_acknowledged_survives_kill_9_when_the_wal_has_wrapped(tmp_path: Path) -> None:
    """L2: what lies behind its end then are whole commits of before, with other salts. That is no damage, or no server
    would start after a crash once it has written 16 MiB."""
    dice = random.Random(8)
    behind = 0
    for number in range(ROUNDS_WRAPPED):
        path = tmp_path / f"journal{number}.db"
        writer = start(path, WAL_PAGES_FEW)
        acknowledged = read_acknowledged(writer, dice.randrange(1800, 2500))
        writer.kill()
        acknowledged |= read_acknowledged(writer, None)
        writer.communicate()
        wal = Path(f"{path}-wal").read_bytes()
        assert int.from_bytes(wal[12:16], "big") >= 2  # so often was it begun anew
        behind += sum(left_over(wal))
        journal = SqliteJournal(path)
        await journal.open()
        for sid, (rev, seq) in acknowledged.items():
            await check(journal, sid, rev, seq)
        await journal.close()
    assert behind > 0


async def test_a_second_process_is_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    """L6: two servers on one file would each believe in their own sessions. The lock ends with its process."""
    path = tmp_path / "journal.db"
    path.with_name("journal.db.lock").write_text("99999999999\n")  # of one that was killed long ago
    first = start(path)
    read_acknowledged(first, 1)
    second = SqliteJournal(path)
    with pytest.raises(JournalError, match=rf": process {first.pid} is using"):
        await second.open()
    first.kill()
    first.communicate()
    await second.open()
    await second.close()


@pytest.mark.parametrize("alias", ["a link to the file", "a link to its directory", "another way there", "a hard link"])
async def test_a_second_process_by_another_name_is_refused_too(tmp_path: Path, alias: str) -> None:
    """L6: one file has one writer, whatever it is called."""
    path = tmp_path / "data" / "journal.db"
    first = start(path)
    read_acknowledged(first, 20)
    other = tmp_path / "other"
    match alias:
        case "a link to the file":
            other.symlink_to(path)
        case "a link to its directory":
            other.symlink_to(path.parent)
            other = other / path.name
        case "another way there":
            other = path.parent / ".." / "data" / path.name
        case _:
            other.hardlink_to(path)
    second = SqliteJournal(other)
    with pytest.raises(JournalError, match=rf": process {first.pid} is using"):
        await second.open()
    first.kill()
    first.communicate()
    if alias == "a hard link":
        with pytest.raises(JournalError, match="has a second name"):
            await second.open()
    else:
        await second.open()
        assert await second.sessions()
        await second.close()


async def test_a_second_journal_in_one_process_is_refused_too(tmp_path: Path) -> None:
    """L6: the same mistake made nearer, and the first one works on unharmed."""
    first, second = SqliteJournal(tmp_path / "journal.db"), SqliteJournal(tmp_path / "journal.db")
    await first.open()
    with pytest.raises(JournalError, match=rf"process {os.getpid()} is using"):
        await second.open()
    assert await first.sessions() == []
    await first.close()
    await second.open()
    await second.close()


FORGETFUL = """
import asyncio, sys
from engine.journal.sqlite import SqliteJournal
from engine.journal.wal import FRAME_BYTES, HEADER_BYTES
from tests.journal.making import creation
async def main():
    journal = SqliteJournal(sys.argv[1])
    await journal.open()
    await journal.append(creation())
asyncio.run(main())
"""


async def test_a_process_that_forgets_to_close_still_ends(tmp_path: Path) -> None:
    """C4: the journal's thread keeps nobody alive, and what was acknowledged is there."""
    path = tmp_path / "journal.db"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", FORGETFUL, str(path), cwd=ROOT)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    journal = SqliteJournal(path)
    await journal.open()
    assert [found.sid for found in await journal.sessions()] == ["s.one"]
    await journal.close()


LIMITED = """
import asyncio, os, resource, sys
from dataclasses import replace
from engine.errors import JournalError
from engine.journal.sqlite import SqliteJournal
from engine.journal.wal import FRAME_BYTES, HEADER_BYTES
from tests.journal.making import commit, creation
async def main():
    journal = SqliteJournal(sys.argv[1])
    await journal.open()
    await journal.append(creation())
    wal = os.path.getsize(sys.argv[1] + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal + 8192, resource.RLIM_INFINITY))
    for _ in range(3):
        refused = [journal.append(commit(2, b"x" * 100_000)), journal.append(commit(3))]
        for result in await asyncio.gather(*refused, return_exceptions=True):
            assert type(result) is JournalError and "make room" in str(result) or "room on it" in str(result), result
    assert (await journal.session("s.one")).rev == 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await asyncio.gather(journal.append(commit(2, b"a" * 100_000)), journal.append(commit(3, b"b")))
    await journal.close()
    await journal.open()
    assert [seq for seq, _ in await journal.updates("s.one", 0, 9)] == [1, 2]
    await journal.close()
asyncio.run(main())
"""


def test_a_full_disk_refuses_and_serves_again_when_there_is_room(tmp_path: Path) -> None:
    """A real write error of the kernel (a file-size limit): JournalError, nothing written, and no restart needed."""
    subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path / "journal.db")], cwd=ROOT, check=True, timeout=60)
