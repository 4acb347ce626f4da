"""Every now and then what is stored and what is in memory are made to agree."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import small_handlers

from engine.codec import encode
from engine.errors import JournalError
from engine.journal.base import Append, SessionRow
from engine.journal.memory import MemoryJournal
from engine.live.upkeep import RECONCILE_S
from engine.log.archive import RETENTION_S
from engine.records import Command, Record
from engine.testing.away import Disk
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time
from server.auth import Credentials, new_token
from server.config import Settings
from server.desk import Desk
from server.frames import Create

COMPILED = machines(Path(__file__).parent / "files" / "small.yaml", small_handlers)


@in_virtual_time
async def test_a_session_that_another_writer_has_is_let_go_of() -> None:
    """L6: also when nothing of it would ever commit again; what it held is released, its place is free."""
    journal = MemoryJournal()
    before = set(small_handlers.Thing.alive)  # of tests whose process died
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        await journal.claim(session.sid)
        await r.advance(RECONCILE_S + 1)
        assert (session.is_failed, r.manager.live, r.manager.sessions()) == (True, 0, [])
        assert "another writer" in r.manager.unreadable[session.sid]
        assert not [thing for thing in set(small_handlers.Thing.alive) - before if thing.is_open]
        assert r.manager.created == r.manager.finished + r.manager.live, "C3"
        assert await r.manager.find(session.sid) is None


@in_virtual_time
async def test_a_session_that_the_store_has_no_more_is_let_go_of() -> None:
    """Memory is never the truth of a session."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        gone, other = await r.create(), await r.create()
        await journal.drop(gone.sid)
        await r.advance(RECONCILE_S + 1)
        assert r.manager.sessions() == [other]
        assert r.manager.live == 1


@in_virtual_time
async def test_a_creation_whose_answer_was_lost_ends_by_itself() -> None:
    """C5: the disk failed at the sync and had written it: nobody was given that session, so it is ended."""
    disk = Disk()
    async with Rig(COMPILED, journal=disk) as r:
        disk.is_unsure = True
        with pytest.raises(JournalError):
            await r.manager.create(user="u")
        disk.is_unsure = False
        assert (len(await disk.sessions()), r.manager.live) == (1, 0)
        await r.advance(RECONCILE_S + 30)
        (row,) = await disk.sessions()
        assert row.ended_at is not None
        assert (r.manager.live, r.manager.created, r.manager.finished) == (0, 1, 1)


@in_virtual_time
async def test_the_client_of_such_a_creation_does_not_wait_for_the_next_round() -> None:
    """L12: its token is known then, so it is asked to come again, and finds within seconds what became of it."""
    disk = Disk()
    async with Rig(COMPILED, journal=disk) as r:
        desk, token = Desk(r.manager, Credentials(Settings(open=True), None)), new_token()
        disk.is_unsure = True
        with pytest.raises(JournalError):
            await desk.resume_or_create(token, Create.model_validate({}), None)
        disk.is_unsure = False
        with pytest.raises(JournalError, match="try again"):
            await desk.resume_or_create(token, Create.model_validate({}), None)
        await r.advance(5)
        found = await desk.resume_or_create(token, Create.model_validate({}), None)
        assert [row.sid for row in await disk.sessions()] == [found.session.sid]


@in_virtual_time
async def test_an_end_whose_answer_was_lost_is_an_end() -> None:
    """L9: the last commit was written, though the disk said it was not; nothing is brought back to end once more."""
    disk = Disk()
    async with Rig(COMPILED, journal=disk) as r:
        session = await r.create()
        disk.is_unsure = True
        ending = asyncio.ensure_future(r.manager.send(session.sid, name="terminate", command=Command("c", 1, "x")))
        await r.advance(1)
        assert (ending.done(), session.is_ended) == (False, False)
        disk.is_unsure = False
        await r.advance(30)
        assert (await ending).status == "done"
        found = await r.manager.find(session.sid)
        assert found is not None
        assert found.is_ended
        assert [one["kind"] for one in await r.updates(found)].count("session.ended") == 1
        assert (r.manager.live, r.manager.created, r.manager.finished) == (0, 1, 1)


@in_virtual_time
async def test_the_log_of_an_ended_session_is_kept_for_a_day_and_dropped() -> None:
    """L11: nothing grows for ever."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        await r.send(session, "terminate")
        await r.advance(RETENTION_S - 2 * RECONCILE_S)
        assert (await journal.sessions()) != []
        await r.advance(4 * RECONCILE_S)
        assert (await journal.sessions()) == []
        assert await r.manager.find(session.sid) is None


@in_virtual_time
async def test_a_store_that_does_not_list_its_sessions_is_asked_again() -> None:
    """What cannot be compared now is compared soon, and nothing is let go of meanwhile."""

    class Silent(MemoryJournal):
        is_silent = False

        async def sessions(self) -> list[object]:  # type: ignore[override]
            if self.is_silent:
                raise JournalError("the disk reports an error")
            return await super().sessions()  # type: ignore[return-value]

    journal = Silent()
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        journal.is_silent = True
        await r.advance(RECONCILE_S * 2)
        assert r.manager.sessions() == [session]
        journal.is_silent = False
        await journal.claim(session.sid)
        await r.advance(2)
        assert r.manager.sessions() == []


UP = {"v": 1, "op": "created", "actor": "/", "kind": "session", "at": 1.0}
BORN: dict[str, Any] = {**UP, "state": "active", "parent": None, "data": {}, "deadlines": {}}


@pytest.mark.parametrize(
    "altered, says",
    [
        ({"deadlines": {"after 20s": 1.0, "after 30s": "soon"}}, "must be real number"),
        ({"parent": "/nobody"}, "KeyError: '/nobody'"),
        ({"actor": "/child"}, "no root"),
        ({"kind": ["session"]}, "no name"),
        ({"state": 7}, "no name"),
        ({"data": 5}, "no record"),
    ],
)
@in_virtual_time
async def test_a_log_that_says_what_cannot_be_costs_its_session_alone(altered: dict[str, Any], says: str) -> None:
    """C7, R4: it is named at the start, whatever it made the engine raise, and left as it is; the others live."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        neighbour = await r.create()
    await journal.open()
    row = SessionRow("s.odd", "user", "e", 1.0)
    await journal.append(Append(row.sid, 0, 1, encode(BORN | altered), session=row))
    stored = await journal.records(row.sid)
    async with Rig(COMPILED, journal=journal) as r:
        assert says in r.manager.unreadable[row.sid]
        assert await r.manager.find(row.sid) is None
        assert (r.manager.live, r.manager.created, len(r.manager.sessions())) == (1, 1, 1)
        found = await r.manager.find(neighbour.sid)
        assert found is not None
        found.attach("control")
        await r.settle()
        assert (await r.send(found, "pass_on", {"text": "x"})).ok
        await r.advance(RECONCILE_S + 1)
        assert (found.is_failed, await journal.records(row.sid)) == (False, stored)


@in_virtual_time
async def test_what_cannot_be_rebuilt_is_given_up_with_all_that_was_begun() -> None:
    """C3: its place is free, its timers are gone, and it is not tried again and again."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        timers = len(r.manager.clock)
        other = await r.create()
        body = {"event": "x", "deadlines": {"after 1h": 1e12, "after 2h": "soon"}}
        other.log.append(Record("step", "/", "session", 1.0, body))
        await other.log.landed()
        other.fail(JournalError("a hiccup"))
        await r.advance(60)
        assert "must be real number" in r.manager.unreadable[other.sid]
        assert (r.manager.live, r.manager.created, len(r.manager.clock)) == (1, 1, timers)
        assert not session.is_failed
