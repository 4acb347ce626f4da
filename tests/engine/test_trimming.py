"""The log of a session that lives long stays bounded; nobody loses an outcome, a deadline or their place unawares."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import long_handlers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from long_handlers import LONG

from engine.codec import decode, encode
from engine.errors import JournalError, Overtaken
from engine.journal.base import SessionRow
from engine.journal.memory import MemoryJournal
from engine.live.upkeep import RECONCILE_S
from engine.log.archive import RETENTION_S
from engine.log.kept import HELD_SHARE, LEFT_SHARE, LogLimits
from engine.log.snapshot import PAGE
from engine.log.state import OUTCOMES_PER_CID, fold
from engine.log.view import View
from engine.records import Command
from engine.session import Session
from engine.testing.away import Disk
from engine.testing.dying import DyingJournal, live_until_dead
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time, run_virtual

COMPILED = machines(LONG, long_handlers)
EVENTS = 40
FEW = LogLimits(events=EVENTS)
FRAME = 2**18
HOUR_S = 3600.0


class CountingJournal(MemoryJournal):
    """Counts the records that are read; fails reads while asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.is_deaf = False

    async def records(self, sid: str, after: int = 0, limit: int | None = None) -> list[bytes]:
        if self.is_deaf:
            raise JournalError("it cannot be read now")
        found = await super().records(sid, after, limit)
        self.read += len(found)
        return found


def rig(journal: MemoryJournal | None = None, limits: LogLimits = FEW) -> Rig:
    return Rig(COMPILED, journal=journal, log_limits=limits)


async def say(r: Rig, session: Session, count: int, text: str = "x") -> None:
    for _ in range(count):
        assert (await r.send(session, "say", {"text": text})).ok


async def row_of(r: Rig, session: Session) -> SessionRow:
    row = await r.journal.session(session.sid)
    assert row is not None
    return row


@in_virtual_time
async def test_a_log_keeps_a_bounded_number_of_events() -> None:
    """Rule 14 of the protocol: at most the limit, and never less than three quarters of it; in the store too."""
    async with rig() as r:
        session = await r.create()
        for _ in range(10 * EVENTS):
            await say(r, session, 1)
            kept = session.log.seq - session.log.trimmed
            assert kept <= EVENTS
            assert kept >= EVENTS * LEFT_SHARE or not session.log.trimmed
        row = await row_of(r, session)
        assert (row.trimmed, row.first_rev) == (session.log.trimmed, session.log.first_rev)
        assert row.rev - row.first_rev <= EVENTS + 1
        assert len(await r.journal.updates(row.sid, row.trimmed, 1000)) == row.seq - row.trimmed


@in_virtual_time
async def test_what_clients_cannot_see_is_bounded_too() -> None:
    """L11: records without updates make a log grow as well; then a snapshot goes without any update."""
    async with rig() as r:
        session = await r.create()
        await say(r, session, 3)
        for _ in range(5 * EVENTS):
            await r.send(session, "count")
            assert session.log.rev - session.log.first_rev <= EVENTS + 1
        assert session.log.trimmed == 0
        assert session.data["n"] == 5 * EVENTS
        assert len(await r.updates(session, "agent.message")) == 3


@in_virtual_time
async def test_a_log_keeps_a_bounded_number_of_bytes() -> None:
    """Rule 14 of the protocol; counted without reading the log."""
    async with rig(limits=LogLimits(bytes=400_000)) as r:
        session = await r.create()
        for _ in range(300):
            await say(r, session, 1, "x" * 4000)
            row = await row_of(r, session)
            updates = await r.journal.updates(row.sid, row.trimmed, 10_000)
            told = sum(len(text) for _, text in updates)
            written = sum(len(text) for text in (await r.journal.records(row.sid))[1:])
            assert (session.log.kept.update_bytes, session.log.kept.record_bytes >= written) == (told, True)
            assert told + written <= 400_000
        assert session.log.trimmed > 100


@in_virtual_time
async def test_a_large_session_is_not_written_anew_with_every_event() -> None:
    """A snapshot is paid for by the log it shortens, however large it is itself."""
    journal = MemoryJournal()
    async with rig(journal, LogLimits(bytes=20_000)) as r:
        session = await r.create()
        revs = set()
        for n in range(400):
            command = Command(f"c{n % 200}", n // 200 + 1, "d")
            await r.send(session, "say", {"text": "x" * 100}, command=command)
            revs.add(session.log.first_rev)
        assert session.log.kept.snapshot_bytes > 20_000
        assert 2 < len(revs) < 20


@in_virtual_time
async def test_what_is_old_goes_though_nothing_new_comes() -> None:
    """Rule 14 of the protocol: 24 hours, whoever is idle; and with each trim more than one event's worth goes."""
    async with rig(limits=LogLimits()) as r:
        session = await r.create()
        first_revs = set()
        for _ in range(96):
            await say(r, session, 1)
            await r.advance(HOUR_S)
            first_revs.add(session.log.first_rev)
            at = (await r.updates(session))[0]["ts"]
            assert r.manager.clock.now() - at <= 24 * HOUR_S + RECONCILE_S
        assert 18 <= session.log.seq - session.log.trimmed <= 25
        assert len(first_revs) <= 14
        await r.advance(30 * HOUR_S)
        assert session.log.trimmed == session.log.seq
        assert await r.updates(session) == []
        assert (await session.snap(FRAME))[1]["messages"][-1]["seq"] == session.log.seq
        await say(r, session, 1)
        assert [one["seq"] for one in await r.updates(session)] == [session.log.trimmed + 1]


@in_virtual_time
async def test_bringing_a_session_back_costs_the_same_however_long_it_lived() -> None:
    """What start-up reads is what it takes; it does not grow with the life of a session."""
    read = []
    for length in (EVENTS * 2, EVENTS * 8, EVENTS * 20):
        journal = CountingJournal()
        first = rig(journal)
        await first.manager.start()
        session = await first.create()
        await say(first, session, length)
        await first.manager.shutdown(10)
        journal.read = 0
        async with rig(journal) as r:
            (back,) = r.manager.sessions()
            read.append(journal.read)
            assert back.log.kept == session.log.kept
            assert back.log.seq == session.log.seq
    assert max(read) <= EVENTS + 1, read


def plain(session: Session) -> dict[str, Any]:
    return {actor.path: (actor.state, dict(actor.data)) for actor in session.find_actors()}


OPS = st.lists(st.sampled_from(["say", "ask", "count", "work", "again", "burst", "time"]), min_size=30, max_size=80)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ops=OPS, events=st.integers(4, 20))
def test_whatever_is_trimmed_the_session_goes_on_as_it_was(ops: list[str], events: int) -> None:
    """M8, L1, L3, L5: against the same life with a log that is never trimmed."""

    async def live(limits: LogLimits) -> list[Any]:
        journal = MemoryJournal()
        told: list[Any] = []
        first = rig(journal, limits)
        await first.manager.start()
        session = await first.create()
        c = 0
        for op in ops:
            if op == "time":
                await first.advance(1)
            elif op == "again" and c:
                told.append(await first.send(session, "say", {"text": str(c)}, command=Command("c", c, str(c))))
            else:
                sent = []
                for _ in range(6 if op == "burst" else 1):
                    c += 1
                    name = op if op in ("ask", "count", "work") else "say"
                    payload = {"text": str(c)} if name in ("say", "ask") else {}
                    command = Command("c", c, str(c))
                    sent.append(first.manager.send(session.sid, name=name, payload=payload, command=command))
                told += await asyncio.gather(*sent)
                await first.settle()
        before = plain(session)
        seq, shown = await session.snap(FRAME)
        await first.manager.shutdown(10)
        async with rig(journal, limits) as r:
            (back,) = r.manager.sessions()
            for number in range(max(1, c - OUTCOMES_PER_CID + 1), c + 1):
                found = back.intake.outcomes.find("c", number)
                assert found is not None
                told.append(found[1])
            await r.advance(5)
            after = plain(back)
        return [_timeless(one) for one in (told, before, seq, shown, after)]

    assert run_virtual(live(LogLimits(events=events))) == run_virtual(live(LogLimits()))


def _timeless(value: Any) -> Any:
    """Lives of two loops begin at different times of day."""
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if key not in ("ts", "since")}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


@in_virtual_time
async def test_a_reader_that_is_behind_holds_its_part_back_for_a_while() -> None:
    """Rule 7 of the protocol: a slow reader costs nothing; it is overtaken, but not by a hair."""
    async with rig() as r:
        session = await r.create()
        at = 3
        forget = session.log.watch(lambda: None, lambda: at)
        await say(r, session, EVENTS + 4)
        assert session.log.trimmed <= at
        assert (await session.log.read(at, 1))[0][0] == at + 1
        await say(r, session, EVENTS)
        assert session.log.trimmed > at
        assert session.log.seq - session.log.trimmed <= EVENTS * HELD_SHARE
        with pytest.raises(Overtaken) as told:
            await session.log.read(at, 1)
        assert told.value.first == session.log.trimmed + 1
        at = session.log.head
        await say(r, session, EVENTS)
        assert session.log.seq - session.log.trimmed <= EVENTS
        forget()


@in_virtual_time
async def test_a_read_that_is_overtaken_under_way_is_told_so() -> None:
    """L4: the store answers with what is left, which does not follow what was asked after."""

    class Slow(MemoryJournal):
        async def updates(self, sid: str, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
            if limit == 5:
                await asyncio.sleep(1)
            return await super().updates(sid, after, limit)

    async with rig(Slow()) as r:
        session = await r.create()
        await say(r, session, EVENTS - 1)
        session.log._tail.clear()
        reading = asyncio.ensure_future(session.log.read(0, 5))
        await say(r, session, EVENTS)
        assert not reading.done()
        with pytest.raises(Overtaken) as told:
            await reading
        assert told.value.first == session.log.trimmed + 1


@in_virtual_time
async def test_a_store_that_cannot_be_read_costs_the_session_nothing() -> None:
    """The log grows a little, it is tried again with an eighth more, and trimmed once it can be."""
    journal = CountingJournal()
    async with rig(journal) as r:
        session = await r.create()
        journal.is_deaf = True
        await say(r, session, EVENTS * 2)
        assert (session.log.trimmed, session.is_failed) == (0, False)
        journal.is_deaf = False
        await say(r, session, EVENTS)
        assert session.log.trimmed > 0
        await say(r, session, EVENTS)
        assert session.log.seq - session.log.trimmed <= EVENTS


@in_virtual_time
async def test_a_log_is_trimmed_while_more_comes() -> None:
    """Under full load reads wait for the commits before them, and the snapshot has to catch up all the same."""

    class Loaded(MemoryJournal):
        async def records(self, sid: str, after: int = 0, limit: int | None = None) -> list[bytes]:
            await asyncio.sleep(0.1)
            return await super().records(sid, after, limit)

    events = 2 * PAGE
    async with rig(Loaded(), LogLimits(events=events)) as r:
        session = await r.create()
        for _ in range(3 * events):
            await r.manager.send(session.sid, name="say", payload={"text": "x"})
            await asyncio.sleep(0.001)
            assert session.log.seq - session.log.trimmed < events * HELD_SHARE + PAGE
        await r.advance(1)
        assert session.log.trimmed > events
        assert fold(await r.records(session.sid)).rev == session.log.rev


@in_virtual_time
async def test_a_snapshot_waits_for_a_store_that_takes_nothing() -> None:
    """What is new goes first, and everything is there when the disk has room again."""
    journal = Disk()
    async with rig(journal) as r:
        session = await r.create()
        await say(r, session, EVENTS - 1)
        journal.is_full = True
        sent = [asyncio.ensure_future(r.manager.send(session.sid, name="say", payload={"text": "y"})) for _ in range(9)]
        await r.advance(200)
        assert session.log.first_rev == 1
        journal.is_full = False
        await asyncio.wait(sent)
        await r.advance(10)
        assert not session.is_failed
        await say(r, session, EVENTS)
        assert session.log.trimmed > 0
        assert session.log.seq - session.log.trimmed <= EVENTS * HELD_SHARE


@in_virtual_time
async def test_the_log_of_an_ended_session_is_whole_for_a_day_and_then_gone() -> None:
    """Rule 11 of the protocol: from its end on nothing is trimmed; after 24 hours it is dropped."""
    async with rig() as r:
        session = await r.create()
        await say(r, session, EVENTS * 2)
        await r.send(session, "work")
        await r.send(session, "close", command=Command("c", 1, "x"))
        assert session.is_ended
        trimmed, last = session.log.trimmed, session.log.seq
        await r.advance(RETENTION_S - RECONCILE_S)
        found = await r.manager.find(session.sid)
        assert found is not None
        assert [one["seq"] for one in await r.updates(found)] == list(range(trimmed + 1, last + 1))
        assert (await r.updates(found))[-1]["kind"] == "session.ended"
        again = await r.send(found, "close", command=Command("c", 1, "x"))
        assert (again.ok, again.is_duplicate) == (True, True)
        _, shown = await found.snap(FRAME)
        assert (shown["state"], shown["ended"]["code"]) == ("over", "closed")
        await r.advance(3 * RECONCILE_S)
        assert await r.manager.find(session.sid) is None
        assert await r.journal.session(session.sid) is None


@in_virtual_time
async def test_a_crowd_is_given_one_view() -> None:
    """L11: whoever comes back to a session after it was trimmed costs one page, not the whole log."""
    journal = CountingJournal()
    async with rig(journal, LogLimits(events=100)) as r:
        session = await r.create()
        await say(r, session, 109)
        journal.read = 0
        shown = await asyncio.gather(*(session.snap(FRAME) for _ in range(50)))
        assert journal.read == 1
        assert all(one == shown[0] for one in shown)
        await say(r, session, 1, "new")
        seq, later = await session.snap(FRAME)
        assert (seq, later["messages"][-1]["data"]["text"], journal.read) == (session.log.seq, "new", 1)


@in_virtual_time
async def test_a_log_that_is_slow_to_read_holds_up_no_other_session() -> None:
    """C7: each has a queue of its own for those who are told how things stand."""
    slow: set[str] = set()

    class Slow(MemoryJournal):
        async def records(self, sid: str, after: int = 0, limit: int | None = None) -> list[bytes]:
            await asyncio.sleep(60 if sid in slow else 0)
            return await super().records(sid, after, limit)

    async with rig(Slow()) as r:
        first, second = await r.create(), await r.create()
        slow.add(first.sid)
        waiting = asyncio.ensure_future(first.snap(FRAME))
        await r.settle()
        assert (await second.snap(FRAME))[0] == second.log.seq
        assert not waiting.done()
        assert (await waiting)[0] == first.log.seq


def test_a_crash_between_any_two_records_keeps_the_snapshot_and_the_rest() -> None:
    """L2, L5, M8: also right before and right after the record that trims."""

    async def script(r: Rig) -> None:
        session = await r.create()
        for c in range(1, 40):
            name = "work" if c % 9 == 0 else "ask" if c % 4 == 0 else "say"
            payload = {"text": str(c)} if name != "work" else {}
            await r.send(session, name, payload, command=Command("c", c, str(c)))

    async def first(journal: DyingJournal) -> None:
        await live_until_dead(journal, rig(journal, LogLimits(events=10)), script)

    async def second(journal: DyingJournal) -> None:
        journal.left = -1
        async with rig(journal, LogLimits(events=10)) as r:
            for session in r.manager.sessions():
                texts = await journal.updates(session.sid, session.log.trimmed, 1000)
                assert [seq for seq, _ in texts] == list(range(session.log.trimmed + 1, session.log.seq + 1))
                for c in range(1, 40):
                    name = "work" if c % 9 == 0 else "ask" if c % 4 == 0 else "say"
                    payload = {"text": str(c)} if name != "work" else {}
                    await r.send(session, name, payload, command=Command("c", c, str(c)))
                assert session.data["asked"] == 8, "each counts once"
                _, shown = await session.snap(FRAME)
                assert shown["state"] == session.state
                said = [one["data"]["text"] for one in shown["messages"] if one["kind"] == "agent.message"]
                assert said == [str(c) for c in range(1, 40) if c % 9 and c % 4]
                records = await r.records(session.sid)
                assert fold(records).actors["/"].data == dict(session.data)

    undisturbed = DyingJournal(10_000)
    run_virtual(first(undisturbed))
    for position in range(1, 10_000 - undisturbed.left, 5):
        journal = DyingJournal(position)
        run_virtual(first(journal))
        run_virtual(second(journal))


@in_virtual_time
async def test_a_view_of_a_log_that_was_trimmed_is_that_of_the_whole() -> None:
    """L3: what is told from the snapshot and what follows it is what all updates would have told."""
    seen: dict[int, bytes] = {}
    async with rig() as r:
        session = await r.create()
        session.log.watch(lambda: seen.update(session.log._tail))
        for n in range(4 * EVENTS):
            await r.send(session, ("say", "ask", "work")[n % 3], {"text": str(n)} if n % 3 < 2 else {})
        whole = View()
        for seq in range(1, session.log.seq + 1):
            whole.apply(seen[seq])
        seq, shown = await session.snap(FRAME)
        assert session.log.trimmed > 2 * EVENTS
        assert (seq, encode(shown)) == (session.log.seq, encode(whole.shown(FRAME)))
        assert decode(encode(shown)) == shown
