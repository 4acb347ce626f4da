"""A store that is away for a while: kept in memory, said, refused to newcomers, and then written, the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import small_handlers
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import JournalError, Refused
from engine.journal.base import Append, SessionRow
from engine.journal.memory import MemoryJournal
from engine.live.admission import LAG_MAX_S, QUEUE_MAX, SLOW_S, Admission
from engine.log.backlog import BACKLOG_MAX, STALL_MAX_S, Commit
from engine.log.sessionlog import SessionLog
from engine.records import ROOT, Command, Outcome, Record, Update
from engine.session import Session
from engine.testing.away import Disk
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time, run_virtual

COMPILED = machines(Path(__file__).parent / "files" / "small.yaml", small_handlers)


class Notes:
    """What a connected client is told beside the log."""

    def __init__(self, session: Session) -> None:
        self.kinds: list[str] = []
        session.log.watch_notes(self._note)

    def _note(self, kind: str, data: Mapping[str, Any]) -> None:
        self.kinds.append(f"{kind} {data['why']}")


def begin(r: Rig, session: Session, name: str, c: int, **payload: Any) -> asyncio.Future[Outcome]:
    command = Command("c", c, str(c))
    return asyncio.ensure_future(r.manager.send(session.sid, name=name, payload=payload, command=command))


@in_virtual_time
async def test_a_full_disk_delays_and_loses_nothing() -> None:
    """M2, L5: what was taken is kept, and told when it is durable; what comes meanwhile may come again."""
    disk = Disk()
    async with Rig(COMPILED, journal=disk) as r:
        session = await r.create()
        notes, head = Notes(session), session.log.head
        disk.is_full = True
        taken = begin(r, session, "say", 1, text="one")
        await r.settle()
        assert (taken.done(), session.log.head, notes.kinds) == (False, head, ["degraded store"])
        refused = await r.send(session, "say", {"text": "two"}, command=Command("c", 2, "2"))
        assert (refused.status, refused.code) == ("refused", "store_unavailable")
        await r.advance(30)
        assert (taken.done(), session.log.head) == (False, head)
        disk.is_full = False
        await r.advance(6)
        assert (await taken).status == "done"
        assert notes.kinds == ["degraded store", "restored store"]
        assert (await r.send(session, "say", {"text": "two"}, command=Command("c", 2, "2"))).status == "done"
        assert (await r.send(session, "say", {"text": "two"}, command=Command("c", 2, "2"))).is_duplicate
        assert await r.manager.find(session.sid) is session
        assert session.data["said"] == ["one", "two"]


@in_virtual_time
async def test_work_goes_on_in_memory_and_nothing_of_it_is_shown() -> None:
    """L2: actors commit in order while the disk is away; a reader sees none of it, and then all of it."""
    disk = Disk()
    async with Rig(COMPILED, journal=disk) as r:
        session = await r.create()
        begin(r, session, "pass_on", 1, text="x")
        await r.settle()
        head = session.log.head
        disk.is_full = True
        await r.advance(5)
        assert session.data["echoes"] == ["X"]
        assert session.log.head == head
        assert len(await session.log.read(0, 1000)) == head
        disk.is_full = False
        await r.advance(6)
        seqs = [one["seq"] for one in await r.updates(session)]
        assert seqs == list(range(1, session.log.seq + 1))
        assert session.log.head == session.log.seq > head


@in_virtual_time
async def test_a_store_that_stalls_takes_nothing_new_and_still_delivers() -> None:
    """Not every bad disk says so: after SLOW_S without a commit landing it counts as away."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        notes = Notes(session)
        journal.hold()
        taken = begin(r, session, "say", 1, text="one")
        await r.advance(SLOW_S - 0.1)
        assert notes.kinds == []
        await r.advance(0.2)
        assert notes.kinds == ["degraded store"]
        assert (await r.send(session, "say", {"text": "two"})).code == "store_unavailable"
        with pytest.raises(Refused, match="the store takes nothing now"):
            await r.manager.create()
        assert len(await session.log.read(0, 1000)) == session.log.head > 0
        journal.release()
        await r.settle()
        assert (await taken).status == "done"
        assert notes.kinds == ["degraded store", "restored store"]
        assert (await r.manager.create()).sid


@in_virtual_time
async def test_a_creation_on_a_full_disk_is_refused_whole() -> None:
    """C5, C6: nothing of it is left, it is told at once, and the next one finds room."""
    disk = Disk()
    async with Rig(COMPILED, journal=disk) as r:
        disk.is_full = True
        with pytest.raises(JournalError, match="not stored"):
            await r.manager.create(user="u")
        with pytest.raises(Refused) as refused:
            await r.manager.create(user="u")
        assert (refused.value.code, refused.value.retry_ms) == ("store_unavailable", 1000)
        assert disk.tried == 1
        assert (r.manager.live, r.manager.sessions(), await disk.sessions()) == (0, [], [])
        disk.is_full = False
        await r.advance(3)
        assert (await r.create(user="u")).state == "active"


@in_virtual_time
async def test_who_connects_while_the_store_is_away_is_told() -> None:
    """A client need not have been there when it began to know why its commands are refused."""
    disk = Disk()
    async with Rig(COMPILED, journal=disk) as r:
        session, other = await r.create(), await r.create()
        disk.is_full = True
        begin(r, session, "say", 1, text="one")
        await r.settle()
        late = Notes(other)
        assert late.kinds == ["degraded store"]
        disk.is_full = False
        await r.advance(6)
        assert late.kinds == ["degraded store", "restored store"]


@in_virtual_time
async def test_a_store_that_is_away_for_too_long_costs_what_was_not_durable() -> None:
    """L11: after STALL_MAX_S the session is rebuilt from its log, and goes on from there."""
    disk = Disk()
    async with Rig(COMPILED, journal=disk) as r:
        session = await r.create()
        await r.send(session, "say", {"text": "kept"})
        disk.is_full = True
        taken = begin(r, session, "say", 1, text="lost")
        await r.advance(STALL_MAX_S - 1)
        assert (session.is_failed, taken.done()) == (False, False)
        await r.advance(10)
        assert (session.is_failed, (await taken).code) == (True, "store_unavailable")
        disk.is_full = False
        await r.advance(40)
        again = await r.manager.find(session.sid)
        assert again is not None
        assert again.data["said"] == ["kept"]


@in_virtual_time
async def test_an_end_that_was_written_after_all_is_told_to_who_waits_for_it() -> None:
    """L9: the store said each time that it had failed, and the session is found ended when it is rebuilt."""

    class UnsureOfTheEnd(Disk):
        def append(self, append: Append) -> asyncio.Future[None]:
            self.is_unsure = self.is_unsure or append.ended_at is not None
            return super().append(append)

    async with Rig(COMPILED, journal=UnsureOfTheEnd()) as r:
        session = await r.create()
        begin(r, session, "terminate", 1)
        await r.advance(STALL_MAX_S - 1)
        assert not session.is_ended
        await r.advance(10)
        assert (session.is_failed, session.is_ended, session.state) == (True, True, "terminated")
        assert session.report is not None
        assert (r.manager.live, r.manager.finished) == (0, 1)
        again = await r.manager.find(session.sid)
        assert again is not None
        assert again.report == session.report


@in_virtual_time
async def test_the_backlog_of_a_store_that_is_away_is_bounded() -> None:
    """L11: beyond BACKLOG_MAX the log takes nothing, and says so."""
    disk, log = await log_on_a_disk()
    disk.is_full = True
    waiting = [log.append(record(n)).durable for n in range(BACKLOG_MAX)]
    await asyncio.sleep(1)
    with pytest.raises(JournalError, match="wait for the store already"):
        log.append(record(0))
    disk.is_full = False
    await asyncio.gather(*waiting)
    await log.append(record(0)).durable


@in_virtual_time
async def test_many_sessions_do_not_storm_a_store_that_is_away() -> None:
    """Each asks with its first commit alone, after growing pauses."""
    disk, log = await log_on_a_disk()
    disk.is_full = True
    for n in range(100):
        log.append(record(n))
    await asyncio.sleep(0)
    handed = disk.tried
    await asyncio.sleep(60)
    assert handed == 100
    assert 12 <= disk.tried - handed <= 40
    disk.is_full = False
    await log.drain()


@in_virtual_time
async def test_leaving_a_store_that_is_away_ends_within_the_grace() -> None:
    """L13: what was not durable was told to nobody; the next process goes on with what was."""
    disk = Disk()
    r = Rig(COMPILED, journal=disk)
    before = asyncio.all_tasks()
    await r.manager.start()
    session = await r.create()
    await r.send(session, "say", {"text": "kept"})
    disk.is_full = True
    taken = begin(r, session, "say", 1, text="lost")
    await r.settle()
    began = asyncio.get_running_loop().time()
    await r.manager.shutdown(10)
    assert asyncio.get_running_loop().time() - began <= 10
    assert (await taken).code == "store_unavailable"
    assert asyncio.all_tasks() <= before
    disk.is_full = False
    async with Rig(COMPILED, journal=disk) as again:
        (back,) = again.manager.sessions()
        assert back.data["said"] == ["kept"]


SCRIPT: list[tuple[str, dict[str, Any], float]] = [
    ("pass_on", {"text": "one"}, 0),
    ("say", {"text": "now"}, 0),
    ("slow", {}, 0),
    ("say", {"text": "later"}, 12),
    ("pass_on", {"text": "two"}, 3),
]


async def play(r: Rig) -> tuple[Any, ...]:
    """A client that sends each command again until it is answered; what it brought about, and how the log reads."""
    session = await r.create()
    for c, (name, payload, wait_s) in enumerate(SCRIPT, start=1):
        for _ in range(60):
            if (await begin(r, session, name, c, **payload)).code != "store_unavailable":
                break
            await asyncio.sleep(0.5)
        await r.advance(wait_s)
    await r.advance(30)
    assert await r.manager.find(session.sid) is session, "it was never rebuilt"
    log = [(one["seq"], one["kind"], one["data"]) for one in await r.updates(session)]
    assert [seq for seq, *_ in log] == list(range(1, len(log) + 1))
    texts = sorted(str(data["text"]) for _, kind, data in log if kind == "agent.message")
    return session.state, session.data["said"], session.data["echoes"], texts


class Flickering(Disk):
    """Full from its n-th append on, for some seconds."""

    def __init__(self, position: int, away_s: float) -> None:
        super().__init__()
        self._left, self._away_s = position, away_s

    def append(self, append: Append) -> asyncio.Future[None]:
        self._left -= 1
        if self._left == -1:
            self.is_full = True
            asyncio.get_running_loop().call_later(self._away_s, self._heal)
        return super().append(append)

    def _heal(self) -> None:
        self.is_full = False


@pytest.mark.parametrize("away_s", [0.05, 4.0])
def test_a_disk_that_is_full_from_any_commit_on_changes_nothing(away_s: float) -> None:
    """L1, L5: for every commit of a life but the first, which is the creation: the same states, data and messages."""

    async def life(disk: Disk) -> tuple[Any, ...]:
        async with Rig(COMPILED, journal=disk) as r:
            return await play(r)

    undisturbed = run_virtual(life(Disk()))
    assert undisturbed[1:3] == (["now", "later"], ["ONE", "TWO"])
    for position in range(1, 40):
        assert run_virtual(life(Flickering(position, away_s))) == undisturbed, f"from commit {position} on"


# The log alone, against any pattern of failures.

ROW = SessionRow("s.aaaaaaaaaaaaaaaaaaaaaaaaaa", "user", "epoch", 1.0)


def record(number: int) -> Record:
    return Record("taken", ROOT, "session", float(number), {"event": str(number)})


async def log_on_a_disk() -> tuple[Disk, SessionLog]:
    disk = Disk()
    await disk.open()
    log = SessionLog(disk, ROW, lambda log, error: None)
    await log.append(record(0), session=ROW).durable
    return disk, log


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["well", "full", "unsure"]), st.integers(0, 6), st.sampled_from([0.0, 0.001, 0.3, 7.0])
        ),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_fails_the_log_is_what_was_appended(steps: list[tuple[str, int, float]]) -> None:
    """L1, M2: in order, once, the same bytes; head only ever shows what the store holds."""

    async def live() -> None:
        disk, log = await log_on_a_disk()
        durable, number = [], 0
        log.watch(lambda: shown.append(log.head))
        shown: list[int] = []
        for disk_is, count, pause_s in steps:
            disk.is_full, disk.is_unsure = disk_is == "full", disk_is == "unsure"
            for _ in range(count):
                number += 1
                durable.append(log.append(record(number), [Update("agent.message", {"n": number})]).durable)
            await asyncio.sleep(pause_s)
            assert log.head <= len(await disk.updates(ROW.sid, 0, 1000))
        disk.is_full = disk.is_unsure = False
        await asyncio.gather(*durable)
        stored = [Record.decode(text).at for text in await disk.records(ROW.sid)]
        assert stored == [float(n) for n in range(number + 1)]
        assert shown == sorted(set(shown))
        assert (log.head, log.rev, log.is_degraded) == (number, number + 1, False)

    run_virtual(live())


# Overload


@in_virtual_time
async def test_an_overloaded_server_refuses_new_sessions_first() -> None:
    """Who is here already comes first: a lagging loop and a long queue refuse creations, and no commands."""
    lag_s = 0.0
    admission = Admission(lambda: lag_s)
    assert admission.refusal_of_session() is None
    lag_s = LAG_MAX_S
    assert admission.refusal_of_session().code == "overloaded"  # type: ignore[union-attr]
    lag_s = 0.0
    for _ in range(QUEUE_MAX):
        handed_at = admission.handed()
    assert admission.refusal_of_session().code == "overloaded"  # type: ignore[union-attr]
    assert not admission.is_degraded
    admission.settled(handed_at, None)
    assert admission.refusal_of_session() is None
    admission.stop()


@in_virtual_time
async def test_a_manager_that_is_overloaded_takes_no_session_but_commands() -> None:
    """C6: and the place is given back."""
    async with Rig(COMPILED) as r:
        session = await r.create()
        r.manager._watchdog._late.extend([LAG_MAX_S] * 3)
        with pytest.raises(Refused, match="more to do than it can"):
            await r.manager.create()
        assert (await r.send(session, "say", {"text": "x"})).status == "done"
        assert r.manager.live == 1


def test_who_waits_behind_one_that_fails_is_told() -> None:
    """One waiter's fault is not the others': they hear of the commit, in order."""
    commit = Commit(Append("s", 1, 1, b"", ()), 0)
    told: list[bool] = []

    def fail(is_durable: bool) -> None:
        raise ValueError("a waiter's fault")

    commit.when_over(fail)
    commit.when_over(told.append)
    commit.land()
    assert told == [True]
