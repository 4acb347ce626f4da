"""C5: creation cut at every await of its flow — by cancellation, by an error, by a time-out, by a crash — leaves a
whole session or none, and no counter off."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
import small_handlers
from small_handlers import Thing

from engine.errors import JournalError
from engine.journal.memory import MemoryJournal
from engine.session import Session
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time, run_virtual

SMALL = Path(__file__).parent / "files" / "small.yaml"
COMPILED = machines(SMALL, small_handlers)
TURNS_MAX = 400
HANDLERS = ("open_thing", "start_workers", "make_worker")


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def assert_whole_or_none(r: Rig) -> None:
    """The directory, the limits' counter and the log agree, and what is there is a whole life."""
    live = r.manager.sessions()
    assert r.manager.live == len(live)
    assert r.manager.created == r.manager.finished + len(live), "C3"
    for session in live:
        assert session.state in {"active", "reconnecting"}
        assert [view.path for view in session.tree()] == ["/", "/w1", "/w2"]


async def assert_all_gone(r: Rig) -> None:
    await r.advance(120)
    assert r.manager.live == 0
    assert r.manager.created == r.manager.finished
    for row in await r.journal.sessions():
        assert row.ended_at is not None
    gc.collect()
    assert not [thing for thing in Thing.alive if thing.is_open]


def test_cancelled_at_every_turn_of_the_loop() -> None:
    """Every await of the flow is at some turn; the caller is cancelled at each of them in its own history."""
    cut = finished = 0
    for turn in range(TURNS_MAX):
        was_cut = run_virtual(_cancel_at(turn))
        cut += was_cut
        finished += not was_cut
        if finished > 3:
            break
    assert cut >= 2, "the caller was cancelled inside the flow at least twice"
    assert finished > 3, "and the range reached beyond the end of the flow"


async def _cancel_at(turn: int) -> bool:
    async with Rig(COMPILED) as r:
        caller = asyncio.ensure_future(r.manager.create(user="u"))
        await turns(turn)
        was_cut = caller.cancel()
        await asyncio.wait({caller})
        await r.settle()
        assert_whole_or_none(r)
        await assert_all_gone(r)
        return was_cut


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("way", ["raise", "hang", "swallow", "exit"])
def test_a_handler_that_fails_on_the_way_ends_the_session_whole(handler: str, way: str) -> None:
    """A failing or hanging step takes the declared way out; everything before it is rolled back by the clean-up."""

    @in_virtual_time
    async def play() -> None:
        compiled = machines(SMALL, _sabotaged(handler, way))
        async with Rig(compiled) as r:
            session = await r.create()
            await r.advance(40)
            assert session.state == "terminated"
            assert session.report is not None
            assert session.report["ok"]
            end = (await r.updates(session))[-1]
            assert (end["kind"], end["data"]["code"]) == ("session.ended", "failed")
            await assert_all_gone(r)

    play()


def _sabotaged(name: str, way: str) -> Any:
    """The handlers' module with one of them doing something else."""
    from types import ModuleType

    from engine.registry import action

    module = ModuleType("sabotaged")
    vars(module).update({key: value for key, value in vars(small_handlers).items() if not key.startswith("__")})

    async def misbehave(ctx: Any) -> None:
        if way == "raise":
            raise RuntimeError("no")
        if way == "exit":
            raise SystemExit(3)
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if way == "hang":
                    raise

    acquires = {"thing"} if name == "open_thing" else ()
    setattr(module, name, action(name, acquires=acquires)(misbehave))
    return module


@pytest.mark.parametrize("position", range(12))
def test_a_store_that_refuses_the_nth_commit(position: int) -> None:
    """The first commit refused: no session, and the caller is told. A later one: rebuilt from the log, then ended."""

    @in_virtual_time
    async def play() -> None:
        journal = FailingJournal(position)
        async with Rig(COMPILED, journal=journal) as r:
            made: list[Session] = []
            try:
                made.append(await r.manager.create(user="u"))
            except JournalError:
                assert position == 0
            assert bool(made) == (position > 0)
            await r.advance(1)
            for session in r.manager.sessions():
                assert session.state in {"active", "reconnecting", "terminating", "terminated"}
            assert r.manager.live == len(r.manager.sessions())
            await assert_all_gone(r)

    play()


class FailingJournal(MemoryJournal):
    """Refuses the append of one position, counted over all; everything else is the real thing."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self._position = position

    def append(self, append: Any) -> Any:
        self._position -= 1
        if self._position == -1:
            self.fail_next(JournalError("the disk says no"))
        return super().append(append)


def test_the_process_dies_at_every_turn_of_the_loop() -> None:
    """Restarted on what was durable: no session, or one that ends truthfully with everything gone."""
    seen = set()
    for turn in range(60):
        journal = MemoryJournal()
        run_virtual(_die_at(turn, journal))
        seen.add(run_virtual(_come_back(journal)))
    assert seen == {0, 1}, "both before and after the first commit"


async def _die_at(turn: int, journal: MemoryJournal) -> None:
    rig = Rig(COMPILED, journal=journal)
    await rig.manager.start()
    creating = asyncio.ensure_future(rig.manager.create(user="u"))
    await turns(turn)
    journal.hold()
    creating.cancel()
    await asyncio.wait({creating})


async def _come_back(journal: MemoryJournal) -> int:
    Thing.alive.clear()
    async with Rig(COMPILED, journal=journal) as r:
        count = len(await journal.sessions())
        await r.advance(1)
        assert r.manager.live == len(r.manager.sessions())
        await r.advance(120)
        assert r.manager.live == 0
        for row in await journal.sessions():
            assert row.ended_at is not None
        assert not [thing for thing in Thing.alive if thing.is_open]
        return count
