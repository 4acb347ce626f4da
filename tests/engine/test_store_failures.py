"""A store that refuses, stalls or belongs to somebody else: told, nothing lost, service again when it is back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import small_handlers

from engine.errors import Corrupt, Fenced, JournalError, StewardError
from engine.journal.base import TokenRow
from engine.journal.memory import MemoryJournal
from engine.records import Command
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time, run_virtual
from server.auth import Credentials, digest_of, new_token
from server.codes import Fault
from server.config import Settings
from server.desk import Desk
from server.frames import Create

SMALL = Path(__file__).parent / "files" / "small.yaml"
COMPILED = machines(SMALL, small_handlers)
TOKEN = new_token()


@in_virtual_time
async def test_a_commit_refused_for_good_is_told_and_the_session_comes_back() -> None:
    """Commit before memory: the refused step has not happened, what was before is there, and it goes on."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        await r.send(session, "say", {"text": "kept"})
        journal.fail_next(Corrupt("", "it is damaged"))
        lost = await r.send(session, "say", {"text": "lost"}, command=Command("c", 1, "x"))
        assert (lost.status, lost.code) == ("refused", "store_unavailable")
        await r.advance(1)
        again = await r.manager.find(session.sid)
        assert again is not None
        assert again is not session
        assert again.data["said"] == ["kept"]
        again.attach("control")
        await r.settle()
        assert (await r.send(again, "say", {"text": "kept too"}, command=Command("c", 1, "x"))).status == "done"
        assert again.data["said"] == ["kept", "kept too"]


@in_virtual_time
async def test_nothing_is_told_before_it_is_durable() -> None:
    """M2: while the disk stalls, no outcome and no update leaves."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        head = session.log.head
        journal.hold()
        waiting = asyncio.ensure_future(r.manager.send(session.sid, name="say", payload={"text": "x"}))
        await r.settle()
        assert not waiting.done()
        assert session.log.head == head
        journal.release()
        assert (await waiting).status == "done"
        assert session.log.head == head + 1


@in_virtual_time
async def test_a_second_writer_fences_the_first() -> None:
    """L6: after another claim, the stale one appends nothing."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        await journal.claim(session.sid)
        outcome = await r.send(session, "say", {"text": "stale"})
        assert outcome.code == "store_unavailable"
        assert isinstance(session.log.error, Fenced)


def test_a_state_that_the_file_lost_stops_the_start_with_the_count() -> None:
    """Nothing is guessed about stored actors whose state is gone."""
    journal = MemoryJournal()

    async def first() -> None:
        r = Rig(COMPILED, journal=journal)
        await r.manager.start()
        session = await r.create()
        await r.send(session, "slow")
        await r.manager.shutdown(10)

    async def second() -> None:
        text = SMALL.read_text().replace("pausing", "resting")
        r = Rig(machines(text, small_handlers), journal=journal)
        with pytest.raises(StewardError, match=r"session\.pausing \(1\)"):
            await r.manager.start()
        await r.manager.shutdown(1)

    run_virtual(first())
    run_virtual(second())


def test_a_record_of_another_version_is_refused_by_name_and_left_alone() -> None:
    """R4: never taken for corruption, never dropped."""
    journal = MemoryJournal()

    async def first() -> str:
        r = Rig(COMPILED, journal=journal)
        await r.manager.start()
        session = await r.create()
        await r.manager.shutdown(10)
        return session.sid

    async def second(sid: str) -> None:
        stored = journal._memory._sessions[sid]
        stored.records[0] = stored.records[0].replace(b'"v":1', b'"v":9')
        before = list(stored.records)
        async with Rig(COMPILED, journal=journal) as r:
            assert "version 9" in r.manager.unreadable[sid]
            assert await r.manager.find(sid) is None
        assert stored.records == before

    run_virtual(second(run_virtual(first())))


class Damaged(MemoryJournal):
    """Cannot give the records of some sessions any more."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: set[str] = set()

    async def records(self, sid: str) -> list[bytes]:
        if sid in self.lost:
            raise Corrupt(sid, "record 1 is not as it was written")
        return await super().records(sid)


def test_a_damaged_log_is_named_and_costs_nobody_else_theirs() -> None:
    """C7, R4: at the start one session is left as it is, by name; the others go on, and nobody asks again for ever."""
    journal = Damaged()

    async def first() -> tuple[str, str]:
        r = Rig(COMPILED, journal=journal)
        await r.manager.start()
        lost, kept = await r.create(), await r.create()
        await r.manager.shutdown(10)
        return lost.sid, kept.sid

    async def second(lost: str, kept: str) -> None:
        journal.lost.add(lost)
        async with Rig(COMPILED, journal=journal) as r:
            assert "record 1 is not as it was written" in r.manager.unreadable[lost]
            assert await r.manager.find(lost) is None
            assert await r.manager.find(kept) is not None
            assert (await r.send(await r.manager.find(kept), "say", {"text": "on"})).status == "done"

    run_virtual(second(*run_virtual(first())))


@in_virtual_time
async def test_a_log_that_turns_out_damaged_on_the_way_is_given_up() -> None:
    """R4: a session whose rebuild meets the damage is named, instead of being asked for again and again."""
    journal = Damaged()
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        journal.lost.add(session.sid)
        journal.fail_next(Corrupt(session.sid, "its own row is missing"))
        await r.send(session, "say", {"text": "lost"}, command=Command("c", 1, "x"))
        await r.advance(60)
        assert "record 1 is not as it was written" in r.manager.unreadable[session.sid]


def right(sid: str) -> TokenRow:
    return TokenRow(digest_of(TOKEN), sid, "t.1", "control")


@in_virtual_time
async def test_a_commit_that_breaks_a_rule_says_nothing_of_the_store() -> None:
    """C7: a token that is known costs whoever came with it; the store is well, and neighbours are served."""
    async with Rig(COMPILED) as r:
        session = await r.create(token=right)
        told: list[str] = []
        session.log.watch_notes(lambda kind, _: told.append(kind))
        with pytest.raises(JournalError, match="is known already"):
            await r.manager.create(token=right)
        assert not r.manager.admission.is_degraded
        assert (await r.send(session, "say", {"text": "on"})).status == "done"
        await r.advance(10)
        assert (told, len(await r.journal.sessions()), r.manager.live) == ([], 1, 1)


def test_the_client_of_a_session_that_cannot_be_read_is_told_so() -> None:
    """R4, C7: it says hello with `create` each time, as clients do, and may not be sent round in circles for that."""
    journal = Damaged()

    async def first() -> str:
        r = Rig(COMPILED, journal=journal)
        await r.manager.start()
        session = await r.create(token=right)
        await r.manager.shutdown(10)
        return session.sid

    async def second(lost: str) -> None:
        journal.lost.add(lost)
        async with Rig(COMPILED, journal=journal) as r:
            desk = Desk(r.manager, Credentials(Settings(open=True), None))
            for _ in range(2):
                with pytest.raises(Fault) as told:
                    await desk.resume_or_create(TOKEN, Create.model_validate({}), None)
                assert told.value.name == "no_valid_token"
            assert (await desk.resume_or_create(new_token(), Create.model_validate({}), None)).session.sid != lost
            assert (await journal.sessions())[0].sid == lost

    run_virtual(second(run_virtual(first())))


@in_virtual_time
async def test_leaving_keeps_sessions_for_the_next_process() -> None:
    """L13: shutdown ends no session; what they hold here is let go of, and the log is whole."""
    small_handlers.Thing.alive.clear()  # those of other tests, whose process "died" with them
    journal = MemoryJournal()
    r = Rig(COMPILED, journal=journal)
    await r.manager.start()
    session = await r.create()
    await r.send(session, "pass_on", {"text": "x"})
    await r.manager.shutdown(10)
    assert not [thing for thing in small_handlers.Thing.alive if thing.is_open]
    async with Rig(COMPILED, journal=journal) as again:
        (back,) = again.manager.sessions()
        back.attach("control")
        await again.advance(3)
        assert back.data["echoes"] == ["X"]
