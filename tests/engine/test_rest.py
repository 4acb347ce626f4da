"""A session with nothing to do leaves memory, and nobody can tell: it is there for whatever comes next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sleepy_handlers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from small_handlers import Thing

from engine.errors import Fenced, JournalError, LimitExceeded
from engine.journal.base import SessionRow, TokenRow
from engine.journal.memory import MemoryJournal
from engine.live.upkeep import RECONCILE_S
from engine.log.recovery import SLICE
from engine.records import Command
from engine.session import Session
from engine.testing.away import Disk
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time, run_virtual
from server.auth import digest_of, new_token
from server.codes import Fault
from server.desk import Desk

COMPILED = machines(Path(__file__).parent / "files" / "sleepy.yaml", sleepy_handlers)
HOUR = 3600.0


def rig(journal: Any = None, idle_memory_s: float | None = 60.0) -> Rig:
    return Rig(COMPILED, journal=journal, idle_memory_s=idle_memory_s)


async def unattended(r: Rig) -> Session:
    """A session that nobody is connected to any more."""
    session = await r.create()
    r.attachment.detach()
    await r.settle()
    assert session.state == "waiting"
    return session


@in_virtual_time
async def test_it_leaves_and_lists_still_show_it() -> None:
    """C3, C6: what it held is released, its log untouched; it counts as live and takes its place."""
    async with rig() as r:
        session = await unattended(r)
        before = await r.journal.session(session.sid)
        await r.advance(200)
        assert r.manager.sessions() == []
        (sleeper,) = r.manager.asleep()
        assert (sleeper.sid, sleeper.state, sleeper.head) == (session.sid, "waiting", session.log.head)
        assert not [thing for thing in Thing.alive if thing.is_open]
        assert await r.journal.session(session.sid) == before
        counts = r.manager.counts()
        assert (counts["live"], counts["asleep"], counts["by_state"]) == (1, 1, {"waiting": 1})
        for _ in range(2):
            await r.manager.create()
        with pytest.raises(LimitExceeded):
            await r.manager.create()


@in_virtual_time
async def test_whatever_comes_next_wakes_it() -> None:
    """An event, a look, a health check; two at once wake it once."""
    async with rig() as r:
        sid = (await unattended(r)).sid
        await r.advance(200)
        outcomes = await asyncio.gather(
            *(r.manager.send(sid, name="say", payload={"text": str(n)}, command=Command("c", n, "x")) for n in (1, 2))
        )
        assert [one.status for one in outcomes] == ["done", "done"]
        (session,) = r.manager.sessions()
        assert session.data["said"] == ["1", "2"]
        assert [thing.is_open for thing in Thing.alive if thing.is_open] == [True]
        await r.advance(200)
        assert r.manager.sessions() == []
        assert await r.manager.find(sid) is not None
        await r.advance(200)
        assert r.manager.sessions() == []
        assert (await r.manager.check_session_health(sid)).is_healthy
        row = await r.journal.session(sid)
        assert row is not None
        assert row.fence == 3, "it was claimed each time, and once for two events at once"


@in_virtual_time
async def test_without_the_setting_nothing_leaves() -> None:
    """It is off by default."""
    async with rig(idle_memory_s=None) as r:
        session = await unattended(r)
        await r.advance(HOUR)
        assert r.manager.sessions() == [session]


@in_virtual_time
async def test_what_is_at_work_or_connected_stays() -> None:
    """R1: a nap is a wait; an activity, an observer and somebody who has just looked it up are not."""
    async with rig() as r:
        session = await unattended(r)
        observer = session.attach("observe")
        await r.advance(HOUR)
        assert r.manager.sessions() == [session]
        observer.detach()
        for _ in range(10):
            await r.advance(50)
            assert await r.manager.find(session.sid) is session
        await r.advance(200)
        assert r.manager.sessions() == []


@in_virtual_time
async def test_a_task_that_a_handler_began_is_work() -> None:
    """C1: it would be cancelled in mid-work, and nothing would say so; once it is over the session leaves."""
    async with rig() as r:
        session = await unattended(r)
        await r.send(session, "brood")
        await r.advance(HOUR - 10)
        assert r.manager.sessions() == [session]
        await r.advance(200)
        assert r.manager.sessions() == []


@in_virtual_time
async def test_whoever_arrives_only_puts_off_that_others_leave() -> None:
    """L8: of who arrives nobody knows yet whose he is. Were it left out, on a busy server nobody would ever leave."""
    async with rig() as r:
        first, second = await unattended(r), await unattended(r)
        with r.manager.arrivals.one():
            await r.advance(200)
            assert len(r.manager.sessions()) == 2
            with r.manager.arrivals.one():
                assert await r.manager.find(second.sid) is second
        assert r.manager.sessions() == [second], "the other was looked up meanwhile"
        assert await r.manager.find(first.sid) is not first


@in_virtual_time
async def test_a_deadline_is_kept_though_it_sleeps() -> None:
    """M7: each fires in the state that is stored, at its time, without `restored`, and it sleeps on."""
    async with rig() as r:
        session = await unattended(r)
        await r.send(session, "pass_on", {"text": "x"})
        sid = session.sid
        await r.advance(HOUR - 10)
        assert r.manager.sessions() == []
        await r.advance(40)
        assert r.manager.sessions() == [], "it slept on after the nap of its child was over"
        updates = [one for one in await r.journal.updates(sid, 0, 1000) if b'"X"' in one[1]]
        assert len(updates) == 1
        await r.advance(HOUR)
        records = [(one.op, one.body.get("event")) for one in await r.records(sid)]
        assert ("step", "after 2h") in records
        assert "restored" not in [event for _, event in records]


@in_virtual_time
async def test_a_limit_of_hours_is_reached_however_often_it_slept() -> None:
    """M7: at the very minute at which it would have been reached awake."""
    async with rig() as r:
        session = await unattended(r)
        await r.advance(3 * HOUR + 10)
        assert (await r.manager.find(session.sid)).state == "long_waiting"  # type: ignore[union-attr]
        await r.advance(12 * HOUR - 60)
        (sleeper,) = r.manager.asleep()
        assert sleeper.state == "long_waiting"
        await r.advance(120)
        ended = await r.manager.find(session.sid)
        assert ended is not None
        assert (ended.state, r.manager.live, r.manager.finished) == ("terminated", 0, 1)
        assert not [thing for thing in Thing.alive if thing.is_open]


@in_virtual_time
async def test_a_token_opens_a_session_that_sleeps() -> None:
    """A hello finds it as ever, and has it for itself: it does not leave under a client."""
    async with rig() as r:
        session = await r.create(token=lambda sid: TokenRow(b"d" * 32, sid, "t1", "control"))
        r.attachment.detach()
        await r.advance(200)
        row = await r.manager.token(b"d" * 32)
        assert row is not None
        found = await r.manager.find(row.sid)
        assert found is not None
        assert found is not session
        found.attach("control")
        await r.advance(HOUR)
        assert r.manager.sessions() == [found]
        assert found.state == "active"


@in_virtual_time
async def test_a_store_that_is_away_lets_nobody_leave_and_nobody_wake() -> None:
    """What cannot be read again stays; what sleeps sleeps on, and says so."""

    class Blind(Disk):
        is_blind = False

        async def session(self, sid: str) -> Any:
            if self.is_blind:
                raise JournalError("the disk reports an error")
            return await super().session(sid)

    disk = Blind()
    async with rig(disk) as r:
        first, second = await unattended(r), await r.create()
        await r.advance(200)
        disk.is_blind = disk.is_full = True
        with pytest.raises(JournalError):
            await r.manager.find(first.sid)
        taken = asyncio.ensure_future(r.manager.send(second.sid, name="say", payload={"text": "x"}))
        r.attachment.detach()
        await r.advance(100)
        assert r.manager.sessions() == [second]
        disk.is_blind = disk.is_full = False
        await r.advance(10)
        assert (await taken).status == "done"
        assert (await r.manager.find(first.sid)).sid == first.sid  # type: ignore[union-attr]


@in_virtual_time
async def test_the_store_gave_a_sleeper_away() -> None:
    """L6: it is not claimed back; its place is free, and it is named."""
    journal = MemoryJournal()
    async with rig(journal) as r:
        sid = (await unattended(r)).sid
        await r.advance(200)
        await journal.claim(sid)
        assert await r.manager.find(sid) is None
        assert "another writer" in r.manager.unreadable[sid]
        assert (r.manager.live, r.manager.created, r.manager.finished) == (0, 0, 0)


@in_virtual_time
async def test_who_kept_the_old_object_harms_nobody() -> None:
    """L6: its log is fenced off since the session came back, and its failure is not the new one's."""
    async with rig() as r:
        old = await unattended(r)
        await r.advance(200)
        again = await r.manager.find(old.sid)
        with pytest.raises(Fenced):
            await old.add_token(TokenRow(b"e" * 32, old.sid, "t2", "observe"))
        await r.settle()
        assert again is not None
        assert not again.is_failed
        assert (await r.send(again, "say", {"text": "x"})).status == "done"


def test_leaving_and_dying_find_a_sleeper_in_the_log() -> None:
    """L13: neither a shutdown nor a crash has to wake it; the next process brings it back like the others."""
    for is_clean in (True, False):
        journal = MemoryJournal()
        left = run_virtual(_sleep_and_leave(journal, is_clean))
        assert run_virtual(_come_back(journal)) == left


async def _sleep_and_leave(journal: MemoryJournal, is_clean: bool) -> tuple[str, list[str]]:
    r = rig(journal)
    await r.manager.start()
    session = await unattended(r)
    await r.send(session, "say", {"text": "kept"})
    await r.advance(200)
    assert r.manager.sessions() == []
    if is_clean:
        await r.manager.shutdown(10)
    return session.sid, ["kept"]


async def _come_back(journal: MemoryJournal) -> tuple[str, list[str]]:
    async with rig(journal) as r:
        (session,) = r.manager.sessions()
        return session.sid, session.data["said"]


@in_virtual_time
async def test_who_gives_up_waiting_while_the_server_leaves_is_not_told_something_else() -> None:
    """M6: a cancellation of one's own is no refusal; who waits on is told that the server leaves."""
    journal = MemoryJournal()
    async with rig(journal) as r:
        session = await unattended(r)
        await r.advance(200)
        journal.hold()
        gives_up, waits_on = (asyncio.ensure_future(r.manager.find(session.sid)) for _ in range(2))
        await r.settle()
        leaving = asyncio.ensure_future(r.manager.shutdown(1))
        gives_up.cancel()
        await leaving
        assert gives_up.cancelled()
        with pytest.raises(JournalError, match="leaving"):
            await waits_on


# A life with leaves and returns, and the same without

STEPS = st.lists(
    st.tuples(
        st.sampled_from([5.0, 61.0, 400.0, 2000.0, HOUR, 1.9 * HOUR, 7 * HOUR]),
        st.sampled_from(["say", "pass_on", "visit", "look", "nothing"]),
    ),
    max_size=10,
).map(lambda steps: list(within_a_day(steps)))


def within_a_day(steps: list[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """After that the log of a session in memory is trimmed, of one that sleeps not; and what ended is dropped."""
    left_s = 22 * HOUR
    for pause_s, what in steps:
        left_s -= pause_s
        if left_s >= 0:
            yield pause_s, what


async def life(steps: list[tuple[float, str]], idle_memory_s: float | None) -> tuple[Any, ...]:
    """Where it ends and what clients saw, each with its time; the kinds of records but for `restored`."""
    async with rig(idle_memory_s=idle_memory_s) as r:
        sid = (await unattended(r)).sid
        for number, (pause_s, what) in enumerate(steps, start=1):
            await r.advance(pause_s)
            await step(r, sid, what, number)
        await r.advance(100.0)
        session = await r.manager.find(sid)
        assert session is not None
        await r.settle()
        seen = [
            (one["kind"], bare(one["data"]), round(one["ts"] - session.created_at)) for one in await r.updates(session)
        ]
        told = [(one.op, one.actor, name_of(one.body.get("event"))) for one in await r.records(sid)]
        states = [(view.path, view.state) for view in session.tree()]
        return states, dict(session.data), seen, [one for one in told if one[2] != "restored"]


def bare(data: dict[str, Any]) -> dict[str, Any]:
    """Without the report of the clean-up: what was let go of on leaving memory is not let go of again."""
    return {name: value for name, value in data.items() if name != "report"}


def name_of(event: Any) -> str | None:
    return event["name"] if isinstance(event, dict) else event


async def step(r: Rig, sid: str, what: str, number: int) -> None:
    if what in ("say", "pass_on"):
        command = Command("c", number, str(number)) if number == 1 else None
        await r.manager.send(sid, name=what, payload={"text": f"t{number}"}, command=command)
    elif what == "look":
        await r.manager.find(sid)
    elif what == "visit" and (session := await r.manager.find(sid)) is not None:
        attachment = session.attach("control")
        await r.advance(5)
        attachment.detach()
    await r.settle()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(steps=[(HOUR, "say"), (7 * HOUR, "pass_on"), (HOUR, "nothing"), (7 * HOUR, "visit")])
@given(steps=STEPS)
def test_a_life_with_leaves_and_returns_is_the_same_life(steps: list[tuple[float, str]]) -> None:
    """M4, M7, M8: the same states, data, updates at the same seconds and records, apart from `restored`."""
    assert run_virtual(life(steps, 60.0)) == run_virtual(life(steps, None))


def test_a_server_that_leaves_sends_the_clients_of_sleeping_sessions_to_its_successor() -> None:
    """Rule 13: it wakes nobody any more, but the token is as good as ever."""

    async def life() -> None:
        async with Rig(COMPILED, idle_memory_s=60.0) as rig:
            token = new_token()
            await rig.create(token=lambda sid: TokenRow(digest_of(token), sid, "t.1", "control"))
            rig.attachment.detach()
            await rig.advance(200)
            assert rig.manager.sessions() == []
            desk = Desk(rig.manager, None)  # type: ignore[arg-type]
            desk.is_leaving = rig.manager.is_leaving = True
            for given, said in ((token, "leaving"), (new_token(), "no_valid_token")):
                with pytest.raises(Fault) as told:
                    await desk.resume(given)
                assert told.value.name == said
            rig.manager.is_leaving = False

    run_virtual(life())


class Slow(MemoryJournal):
    """Something happens before its list of sessions arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def sessions(self) -> list[SessionRow]:
        rows = await super().sessions()
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return rows


@pytest.mark.parametrize("is_ended", [False, True])
@in_virtual_time
async def test_whoever_wakes_or_ends_while_the_store_is_read_costs_the_round_nothing(
    is_ended: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """C7: its deadline is due, a client was faster; what else there is to do in that round is done all the same."""
    journal = Slow()
    async with rig(journal) as r:
        session, stolen = await unattended(r), await r.create()
        sid, due_at = session.sid, r.manager.clock.now() + 2 * HOUR

        async def meanwhile() -> None:
            await r.advance(due_at - r.manager.clock.now() + 0.5)  # the store takes that long
            assert await r.manager.find(sid) is not None
            if is_ended:
                assert (await r.manager.send(sid, name="terminate")).status == "done"
                await r.settle()

        await r.advance(2 * HOUR - RECONCILE_S)
        assert [sleeper.sid for sleeper in r.manager.asleep()] == [sid]
        await journal.claim(stolen.sid)
        journal.meanwhile = meanwhile
        await r.advance(RECONCILE_S + 10)
        assert journal.meanwhile is None
        assert stolen.sid in r.manager.unreadable
        assert "upkeep failed" not in caplog.text
        assert (r.manager.live, r.manager.finished) == ((0, 1) if is_ended else (1, 0))


async def turns_until_awake(r: Rig, sayings: int) -> int:
    """How many turns of the loop a neighbour has while a session that has slept is read back."""
    session = await r.create()
    for n in range(sayings):
        await r.send(session, "say", {"text": str(n)})
    r.attachment.detach()
    await r.advance(200)
    turns = 0
    waking = asyncio.ensure_future(r.manager.find(session.sid))
    while not waking.done():
        turns += 1
        await asyncio.sleep(0)
    woken = waking.result()
    assert woken is not None
    assert len(woken.data.get("said", ())) == sayings
    return turns


@in_virtual_time
async def test_a_long_log_that_is_read_back_delays_nobody_for_long() -> None:
    """C7: it is folded a slice in a turn of the loop, so that a hello of one sleeper costs its neighbours little."""
    async with rig() as r:
        assert await turns_until_awake(r, 5 * SLICE) >= await turns_until_awake(r, 0) + 5
