"""A session founded from another's log: what of the one holds in the other, and what may not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import long_handlers
import pytest
from long_handlers import LONG

from engine.codec import decode
from engine.errors import JournalError, Refused
from engine.journal.base import TokenRow
from engine.journal.memory import MemoryJournal
from engine.log.kept import LogLimits
from engine.log.parcel import pack
from engine.records import Command
from engine.session import Session
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time

COMPILED = machines(LONG, long_handlers)
HOUR_S = 3600.0
WORKSHOP = """
lifecycle: 1
name: workshop
machines:
  session:
    initial: opening
    events: {close: {from: [client]}, retry: {from: [admin]}}
    transitions: {close: ending, failed: ending}
    cleanup: [{release: workspace, do: close_workspace, timeout: 3s}]
    states:
      opening: {run: [open_workspace], after: {5s: ending}, transitions: {done: up}}
      up: {after: {10h: ending}, transitions: {restored: []}}
      ending: {run: [cleanup], transitions: {done: over, failed: error}}
      over: {final: true}
      error: {quarantine: true, transitions: {retry: ending}}
"""


def right(sid: str) -> TokenRow:
    return TokenRow(sid.encode().ljust(32)[:32], sid, f"t.{sid[-8:]}", "control")


async def fork(r: Rig, session: Session, at: int | None = None) -> Session:
    forked, _ = await r.manager.transfer.fork(session.sid, at, right)
    forked.attach("control")
    await r.settle()
    return forked


async def image_of(r: Rig, session: Session) -> Any:
    """What the first record of a founded session says."""
    return decode((await r.journal.records(session.sid, 0, 1))[0])["image"]


async def packed(r: Rig, session: Session) -> bytes:
    return b"".join(pack(await r.manager.transfer.take_out(session.sid)))


@in_virtual_time
async def test_time_limits_of_a_fork_go_on_from_the_cut() -> None:
    """Or what was far away then would be over at once; and each of the two has its own."""
    async with Rig(machines(WORKSHOP, "handlers.session")) as r:
        session = await r.create()
        await r.advance(6 * HOUR_S)
        forked = await fork(r, session)
        await r.advance(5 * HOUR_S)
        assert (session.is_ended, forked.state) == (True, "up")
        await r.advance(6 * HOUR_S)
        assert forked.is_ended


@in_virtual_time
async def test_a_fork_answers_for_none_of_the_others_clients() -> None:
    """L5: outcomes are those of the other session's commands; the same number from the same client counts anew."""
    async with Rig(COMPILED) as r:
        session = await r.create()
        command = Command("c1", 1, "d")
        await r.send(session, "count", command=command)
        forked = await fork(r, session)
        assert (await r.send(session, "count", command=command)).is_duplicate
        assert not (await r.send(forked, "count", command=command)).is_duplicate
        assert (session.data["n"], forked.data["n"]) == (1, 2)


@in_virtual_time
async def test_what_was_deferred_counts_once_in_each() -> None:
    """M5: its id is told apart from those that the new log gives out, which begin anew."""
    async with Rig(COMPILED) as r:
        session = await r.create()
        for n in range(3):
            await r.send(session, "say", {"text": f"before {n}"})
        await r.send(session, "work")
        await r.settle()
        told = await r.updates(session)
        at = next(one["seq"] for one in told if one["data"].get("to") == "working")
        forked = await fork(r, session, at)
        image = await image_of(r, forked)
        assert image["actors"][0]["state"] == "working"
        await r.send(forked, "say", {"text": "mine"})
        for one in (session, forked):
            await r.advance(120)
            assert one.state == "up"
        texts = [one["data"]["text"] for one in await r.updates(forked, "agent.message")]
        assert texts == ["before 0", "before 1", "before 2", "mine"]
        assert len(await r.updates(session, "agent.message")) == 3


@in_virtual_time
async def test_a_fork_of_a_trimmed_log_begins_where_it_does() -> None:
    """L4: below that there is nothing to go on from, and it is said which number would do; a reader gets the view."""
    async with Rig(COMPILED, log_limits=LogLimits(events=40)) as r:
        session = await r.create()
        for n in range(100):
            await r.send(session, "say", {"text": f"number {n}"})
        first = (await r.manager.transfer.take_out(session.sid)).ends()[0]
        assert 0 < session.log.trimmed < first
        with pytest.raises(Refused, match=f"may still be read.*; fork it at {first} or above") as told:
            await fork(r, session, first - 1)
        assert told.value.code == "trimmed"
        forked = await fork(r, session, first)
        assert (forked.log.trimmed, forked.log.head) == (session.log.trimmed, first)
        _, shown = await forked.snap(2**18)
        assert [one["data"]["text"] for one in shown["messages"]][-1] == f"number {first - 1}"
        # Its log is bounded like any other's.
        for _ in range(100):
            await r.send(forked, "say", {"text": "x"})
        assert forked.log.seq - forked.log.trimmed <= 40
        assert forked.state == "up"


@in_virtual_time
async def test_a_fork_of_a_fork_of_an_import() -> None:
    """Nothing wears off: each is a session like any other."""
    async with Rig(COMPILED) as here, Rig(COMPILED) as there:
        session = await here.create()
        await here.send(session, "count")
        one: Session = await there.manager.transfer.take_in(await packed(here, session))
        for n in range(2, 6):
            one = await fork(there, one)
            await there.send(one, "count")
            assert one.data["n"] == n
        assert there.manager.counts()["live"] == 5
        assert session.data["n"] == 1


@in_virtual_time
async def test_two_workspaces_are_never_one(tmp_path: Path) -> None:
    """C1, C7: what the fork cleans up is not the other's, and the other way round; the same with an import."""
    compiled = machines(WORKSHOP, "handlers.session")
    async with Rig(compiled, services={"workspace_root": tmp_path}) as r, Rig(compiled) as there:
        session = await r.create()
        await r.advance(1)
        folder = tmp_path / session.sid
        assert (session.state, folder.is_dir()) == ("up", True)
        forked = await fork(r, session)
        brought = await there.manager.transfer.take_in(await packed(r, session))
        assert [actor["holds"] for actor in (await image_of(r, forked))["actors"]] == [[]]
        for rig, one in ((r, forked), (there, brought)):
            await rig.send(one, "close")
            await rig.advance(5)
            assert (one.state, folder.is_dir()) == ("over", True)
        await r.send(session, "close")
        await r.advance(5)
        assert (session.state, folder.exists()) == ("over", False)


@in_virtual_time
async def test_a_store_that_refuses_leaves_nothing_of_it() -> None:
    """C5, C6: no place is taken by what was not stored, and it may be asked for again."""
    async with Rig(COMPILED) as here:
        text = await packed(here, await here.create())
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        journal.fail_next(JournalError("the disk is full"))
        with pytest.raises(JournalError, match="the disk is full"):
            await r.manager.transfer.take_in(text)
        assert (r.manager.live, r.manager.sessions(), await journal.sessions()) == (0, [], [])
        await r.manager.transfer.take_in(text)
        assert (r.manager.live, r.manager.created) == (1, 1)


@in_virtual_time
async def test_whoever_goes_leaves_it_whole_or_not_at_all() -> None:
    """C5, M6: cancelling who asked cuts nothing in two; after a restart it is there once."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        for turns in range(12):
            asking = asyncio.ensure_future(r.manager.transfer.fork(session.sid, None, right))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await r.advance(1)
        live = r.manager.live
        assert len(r.manager.sessions()) == live == len(await journal.sessions())
    async with Rig(COMPILED, journal=journal) as r:
        assert r.manager.live == live
