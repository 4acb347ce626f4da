"""The faults a test can give a journal in memory, and what importing it costs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import JournalError
from engine.journal.memory import MemoryJournal
from tests.journal.making import commit, creation, stored


@pytest.fixture
async def memory() -> MemoryJournal:
    journal = MemoryJournal()
    await journal.open()
    await journal.append(creation())
    return journal


async def test_a_held_journal_stalls_and_then_goes_on_in_order(memory: MemoryJournal) -> None:
    """What others do while the disk does not answer can be looked at for as long as a test likes."""
    memory.hold()
    appends = [memory.append(commit(2, b"a")), memory.append(commit(3, b"b"))]
    reading: asyncio.Future[Any] = asyncio.ensure_future(memory.updates("s.one", 0, 9))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(waiting.done() for waiting in appends)
    assert not reading.done()
    memory.release()
    await asyncio.gather(*appends)
    assert await reading == [(1, b"a"), (2, b"b")]


async def test_what_is_already_due_is_held_as_well(memory: MemoryJournal) -> None:
    """hold() takes effect at once, also for an append of the same turn."""
    append = memory.append(commit(2))
    memory.hold()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not append.done()
    await memory.close()
    await append


async def test_a_failure_hits_the_next_changes_and_no_more(memory: MemoryJournal) -> None:
    """Like a disk that is full for a moment: nothing was written, and what was queued behind is refused by rev."""
    memory.fail_next(JournalError("the disk is full"))
    appends = [memory.append(commit(2)), memory.append(commit(3)), memory.append(commit(2))]
    results = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["JournalError", "Fenced", "NoneType"]
    assert (await stored(memory)).rev == 2


def test_what_a_loop_left_queued_is_lost_like_in_a_crash() -> None:
    """A second process's life can be played in one test: another loop, the same memory."""
    journal = MemoryJournal()

    async def live() -> None:
        await journal.open()
        await journal.append(creation())
        journal.hold()
        journal.append(commit(2))

    async def live_again() -> None:
        await journal.open()
        journal.release()
        assert (await stored(journal)).rev == 1
        await journal.append(commit(2))
        await journal.close()

    asyncio.run(live())
    asyncio.run(live_again())


def test_the_port_and_the_memory_load_no_database() -> None:
    """P12: `steward --help` and tests in memory do not pay for SQLite."""
    code = "import sys, engine.journal, engine.journal.memory; sys.exit('apsw' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
