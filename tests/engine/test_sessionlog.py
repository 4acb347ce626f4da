"""One writer of one log: appends without waiting, and shows nothing that is not durable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Busy, Fenced, JournalError
from engine.journal.base import SessionRow, Trim
from engine.journal.memory import MemoryJournal
from engine.log.backlog import BACKLOG_MAX, Commit
from engine.log.sessionlog import TAIL_BYTES_MAX, TAIL_UPDATES, SessionLog
from engine.records import ROOT, Command, Record, Update
from engine.tasks import current_owner, owned_context
from engine.testing.virtual import in_virtual_time, run_virtual

ROW = SessionRow("s.aaaaaaaaaaaaaaaaaaaaaaaaaa", "user", "epoch", 1.0)


def record(number: int = 0) -> Record:
    return Record("taken", ROOT, "session", float(number), {"event": str(number)})


def updates(*texts: str) -> list[Update]:
    return [Update("agent.message", {"text": text}) for text in texts]


class Life:
    """A journal, a log that has made its session, and what the log told."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal
        self.failures: list[Exception] = []
        self.heads: list[int] = []
        self.log = SessionLog(journal, ROW, lambda log, error: self.failures.append(error))
        self.log.watch(lambda: self.heads.append(self.log.head))

    @classmethod
    async def begin(cls) -> Life:
        journal = MemoryJournal()
        await journal.open()
        life = cls(journal)
        await life.log.append(record(), session=ROW).durable
        return life

    async def texts(self, after: int = 0, limit: int = 10_000) -> list[str]:
        found = await self.log.read(after, limit)
        assert [seq for seq, _ in found] == list(range(after + 1, after + 1 + len(found)))
        assert [json.loads(text)["seq"] for _, text in found] == [seq for seq, _ in found]
        return [json.loads(text)["data"]["text"] for _, text in found]


@in_virtual_time
async def test_head_rises_only_when_the_store_has_said_so() -> None:
    """M2, L2: what a client has seen is in the log after any crash."""
    life = await Life.begin()
    life.journal.hold()
    committed = life.log.append(record(), updates("a", "b"))
    assert (committed.seq, life.log.seq, life.log.head) == (2, 2, 0)
    await asyncio.sleep(10)
    assert (life.log.head, life.heads) == (0, [])
    assert not committed.durable.done()
    life.journal.release()
    await committed.durable
    assert (life.log.head, life.heads) == (2, [2])
    assert await life.texts() == ["a", "b"]


@in_virtual_time
async def test_appends_do_not_wait_for_each_other() -> None:
    """Steps go on while the disk works; their order is the calls'."""
    life = await Life.begin()
    life.journal.hold()
    committed = [life.log.append(record(n), updates(str(n))) for n in range(5)]
    assert [one.append.rev for one in committed] == [2, 3, 4, 5, 6]
    assert [one.seq for one in committed] == [1, 2, 3, 4, 5]
    life.journal.release()
    await committed[-1].durable
    assert all(one.durable.done() for one in committed)
    assert await life.texts() == ["0", "1", "2", "3", "4"]
    assert (await life.journal.session(ROW.sid)).rev == 6  # type: ignore[union-attr]


@in_virtual_time
async def test_a_record_without_updates_has_a_revision_and_no_number() -> None:
    """L1: numbers are the clients', revisions are ours."""
    life = await Life.begin()
    first = life.log.append(record(), updates("a"))
    second = life.log.append(record())
    await second.durable
    assert (first.append.rev, first.seq, second.append.rev, second.seq) == (2, 1, 3, 1)
    assert life.heads == [1]


@in_virtual_time
async def test_an_update_is_the_same_bytes_from_memory_and_from_the_store() -> None:
    """L1."""
    life = await Life.begin()
    await life.log.append(record(), [Update("k", {"x": [1, None, "ü"]}, Command("cid", 7, "d"))]).durable
    assert await life.log.read(0, 10) == await life.journal.updates(ROW.sid, 0, 10)
    ((_, text),) = await life.log.read(0, 10)
    assert json.loads(text) == {
        "seq": 1,
        "ts": 0.0,
        "kind": "k",
        "data": {"x": [1, None, "ü"]},
        "re": {"cid": "cid", "c": 7},
    }
    assert text.startswith(b'{"seq":')


@settings(deadline=None)
@given(
    batches=st.lists(st.integers(0, 40), max_size=25),
    reads=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 300)), max_size=5),
)
def test_any_read_is_a_contiguous_piece_of_the_log(batches: Sequence[int], reads: list[tuple[int, int]]) -> None:
    """L1, L3: from the tail in memory, from the store, or across both."""

    async def play() -> None:
        life = await Life.begin()
        number = 0
        for size in batches:
            await life.log.append(record(), updates(*(str(number + n + 1) for n in range(size)))).durable
            number += size
        assert life.log.head == number
        assert len(life.log._tail) == min(number, TAIL_UPDATES)
        for after, limit in [*reads, (0, 10_000), (number, 5), (max(0, number - TAIL_UPDATES), 10_000)]:
            expected = [str(seq) for seq in range(after + 1, number + 1)][:limit]
            assert await life.texts(after, limit) == expected

    run_virtual(play())


@in_virtual_time
async def test_what_is_kept_for_late_readers_is_bounded_in_bytes_too() -> None:
    """L11: few large updates would else take any memory; what is trimmed, or of a session that ended, takes none."""
    life = await Life.begin()
    for n in range(20):
        await life.log.append(record(), updates(str(n).ljust(60_000))).durable
        assert sum(len(text) for _, text in life.log._tail) == life.log._tail_bytes <= TAIL_BYTES_MAX
    assert len(life.log._tail) == TAIL_BYTES_MAX // 60_100
    assert [text.strip() for text in await life.texts()] == [str(n) for n in range(20)]
    await life.log.append(record(), updates("x" * TAIL_BYTES_MAX, "after")).durable
    assert [seq for seq, _ in life.log._tail] == [22]
    await life.log.append(record(), trim=Trim(records=3, updates=22)).durable
    assert (life.log._tail, life.log._tail_bytes) == ([], 0)
    await life.log.append(record(), updates("a", "b")).durable
    await life.log.append(record(), updates("ended"), ended_at=5.0).durable
    assert [seq for seq, _ in life.log._tail] == [25]
    assert await life.texts(22) == ["a", "b", "ended"]


@in_virtual_time
async def test_what_everybody_connected_has_read_is_not_kept() -> None:
    """L11: of thousands of idle sessions whose readers are all at the end; who comes late reads the store (L3)."""
    life, cursor = await Life.begin(), 0
    stop = life.log.watch(lambda: None, lambda: cursor)
    for text, cursor, kept in (("1", 0, [1]), ("2", 0, [1, 2]), ("3", 1, [2, 3]), ("4", 3, [4])):  # noqa: B007
        await life.log.append(record(), updates(text)).durable
        assert [seq for seq, _ in life.log._tail] == kept
    stop()
    await life.log.append(record(), updates("5")).durable
    assert [seq for seq, _ in life.log._tail] == [4, 5]  # nobody is connected: for whoever comes back
    assert await life.texts() == ["1", "2", "3", "4", "5"]


@in_virtual_time
async def test_a_read_never_shows_what_is_not_durable() -> None:
    """L2: whatever the store answers, only what it has called durable is told."""

    class Hasty(MemoryJournal):
        async def updates(self, sid: str, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
            return [(1, b"{}"), (2, b"{}")]

    journal = Hasty()
    await journal.open()
    life = Life(journal)
    await life.log.append(record(), updates("a"), session=ROW).durable
    life.log._tail.clear()
    journal.hold()
    life.log.append(record(), updates("b"))
    assert [seq for seq, _ in await life.log.read(0, 10)] == [1]


@in_virtual_time
async def test_a_refused_commit_fails_the_log_once_and_for_all() -> None:
    """M2: what is behind it was written on top of it; all of it has not happened."""
    life = await Life.begin()
    life.journal.hold()
    committed = [life.log.append(record(), updates(str(n))) for n in range(3)]
    life.journal.fail_next(Fenced("another writer has it"))
    life.journal.release()
    for one in committed:
        with pytest.raises(JournalError):
            await one.durable
    assert [str(error) for error in life.failures] == ["another writer has it"]
    assert (life.log.head, life.heads) == (0, [])
    with pytest.raises(JournalError, match="failed before"):
        life.log.append(record())
    assert await life.texts() == []


@in_virtual_time
async def test_a_failure_nobody_waits_for_leaves_no_noise() -> None:
    """A step without a sender does not wait; on_failure is told, and that is enough."""
    import gc

    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    life = await Life.begin()
    life.journal.fail_next(Fenced("another writer has it"))
    life.log.append(record())
    await asyncio.sleep(1)
    gc.collect()
    assert len(life.failures) == 1
    assert reported == []


def full(append: Any) -> Any:
    raise Busy("too many")


@in_virtual_time
async def test_a_full_store_makes_commits_wait_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storm of sessions fills the store's queue; that must delay them, not end and rebuild each of them."""
    life = await Life.begin()
    with monkeypatch.context() as patch:
        patch.setattr(life.journal, "append", full)
        waiting = [life.log.append(record(), updates(text)).durable for text in "ab"]
        assert life.log.is_backed_up
        await asyncio.sleep(1)
        assert not any(one.done() for one in waiting)
    await asyncio.gather(*waiting)
    assert not life.log.is_backed_up
    assert await life.texts() == ["a", "b"]
    assert life.failures == []


@in_virtual_time
async def test_what_waits_for_a_full_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """L11: beyond the bound the log takes nothing, and says so."""
    life = await Life.begin()
    with monkeypatch.context() as patch:
        patch.setattr(life.journal, "append", full)
        for _ in range(BACKLOG_MAX):
            life.log.append(record())
        with pytest.raises(JournalError, match="wait for the store already"):
            life.log.append(record())
    await life.log.drain()


@pytest.mark.parametrize("bad", [{"x": object()}, {"x": {1, 2}}, {"x": b"bytes"}])
@in_virtual_time
async def test_what_is_no_json_is_refused_before_anything_is_queued(bad: dict[str, Any]) -> None:
    """M3: a handler's emit(…) with nonsense must not leave a hole in the numbers."""
    life = await Life.begin()
    with pytest.raises(TypeError):
        life.log.append(record(), [*updates("a"), Update("k", bad)])
    with pytest.raises(TypeError):
        life.log.append(Record("taken", ROOT, "session", 1.0, bad), updates("a"))
    await life.log.append(record(), updates("b")).durable
    assert await life.texts() == ["b"]
    assert life.log.rev == 2


@in_virtual_time
async def test_cancelling_a_wait_for_durability_is_no_failure_of_the_log() -> None:
    """M6, C7: a client that goes away while its command is written must not take the session down."""
    life = await Life.begin()
    life.journal.hold()
    committed = life.log.append(record(), updates("a"))

    async def wait() -> None:
        await committed.durable

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    life.journal.release()
    await life.log.drain()
    assert life.failures == []
    assert life.log.head == 1


@in_virtual_time
async def test_all_who_drain_are_told() -> None:
    """Shutdown and a failing session may both wait for the log."""
    life = await Life.begin()
    life.journal.hold()
    last: Commit | None = None
    for _ in range(3):
        last = life.log.append(record(), updates("a"))
    drains = [asyncio.create_task(life.log.drain()) for _ in range(3)]
    await asyncio.sleep(1)
    assert not any(drain.done() for drain in drains)
    life.journal.release()
    await asyncio.wait_for(asyncio.gather(*drains), 1)
    assert last is not None
    assert last.durable.done()
    await life.log.drain()


@in_virtual_time
async def test_a_reader_that_raises_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    """C7: one connection's bug must not stop the others' updates."""
    life = await Life.begin()
    seen: list[int] = []

    def fail() -> None:
        raise ValueError("on purpose")

    life.log.watch(fail)
    life.log.watch(lambda: seen.append(life.log.head))
    await life.log.append(record(), updates("a")).durable
    await asyncio.sleep(0)
    assert seen == [1]
    assert "on purpose" in caplog.text


@in_virtual_time
async def test_who_stopped_watching_is_told_nothing_more() -> None:
    """Also when another reader stopped it in the very same round."""
    life = await Life.begin()
    seen: list[str] = []
    stops: dict[str, Callable[[], None]] = {}

    def first() -> None:
        seen.append("first")
        stops["second"]()

    stops["first"] = life.log.watch(first)
    stops["second"] = life.log.watch(lambda: seen.append("second"))
    await life.log.append(record(), updates("a")).durable
    stops["first"]()
    stops["first"]()  # twice is no error
    await life.log.append(record(), updates("b")).durable
    await asyncio.sleep(0)
    assert seen == ["first"]


@in_virtual_time
async def test_notes_go_to_who_is_there_and_nowhere_else() -> None:
    """Volatile hints are never stored, numbered or replayed."""
    life = await Life.begin()
    seen: list[Any] = []
    stop = life.log.watch_notes(lambda kind, data: seen.append((kind, dict(data))))
    life.log.note("typing", {"who": "a"})
    stop()
    life.log.note("typing", {"who": "b"})
    assert seen == [("typing", {"who": "a"})]
    assert life.log.seq == 0


@in_virtual_time
async def test_readers_work_for_no_handler() -> None:
    """The append came from a handler's emit(); what the server does then must not be interrupted as that handler's."""

    class Owner:
        def adopt(self, task: asyncio.Task[Any]) -> None:
            raise AssertionError("nothing to adopt")

    life = await Life.begin()
    owners: list[Any] = []
    life.log.watch(lambda: owners.append(current_owner()))
    await owned_context(Owner()).run(life.log.append, record(), updates("a")).durable
    await asyncio.sleep(0)
    assert owners == [None]
