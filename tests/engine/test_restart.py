"""A process that dies after any record of a life, and the next one that goes on from the log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import small_handlers

from engine.journal.base import TokenRow
from engine.journal.memory import MemoryJournal
from engine.log import archive
from engine.log.state import fold
from engine.records import Command, Record
from engine.testing.dying import DyingJournal, live_until_dead
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time, run_virtual

SMALL = Path(__file__).parent / "files" / "small.yaml"
COMPILED = machines(SMALL, small_handlers)


async def script(r: Rig) -> None:
    session = await r.create()
    await r.send(session, "pass_on", {"text": "one"}, command=Command("c", 1, "1"))
    await r.send(session, "slow", command=Command("c", 2, "2"))
    await r.send(session, "say", {"text": "later"}, command=Command("c", 3, "3"))
    await r.advance(12)
    await r.send(session, "pass_on", {"text": "two"}, command=Command("c", 4, "4"))
    await r.advance(3)


COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("pass_on", {"text": "one"}),
    ("slow", {}),
    ("say", {"text": "later"}),
    ("pass_on", {"text": "two"}),
]


async def first_life(journal: DyingJournal) -> list[bytes]:
    """Run the script until the journal dies; gives the updates that were durable, as a client saw them."""
    rig = Rig(COMPILED, journal=journal)
    await live_until_dead(journal, rig, script)
    seen: list[bytes] = []
    for session in rig.manager.sessions():
        seen += [text for _, text in session.log._tail]
    return seen


async def second_life(journal: DyingJournal, seen: list[bytes]) -> dict[str, Any] | None:
    """Bring it back, send every command again in order, end it; its data, None if it did not outlive its creation."""
    journal.left = -1
    async with Rig(COMPILED, journal=journal) as r:
        sessions = r.manager.sessions()
        if not sessions:
            return None
        (session,) = sessions
        after = [text for _, text in await session.log.read(0, 1000)]
        assert after[: len(seen)] == seen, "L1, L2: what a client has seen is in the log, the same bytes"
        session.attach("control")
        await r.settle()
        for number, (name, payload) in enumerate(COMMANDS, start=1):
            await r.send(session, name, payload, command=Command("c", number, str(number)))
            await r.advance(12 if name == "say" else 0)
        await r.advance(30)
        data = dict(session.data) if not session.is_ended else None
        await r.send(session, "terminate")
        assert session.state == "terminated"
        assert r.manager.live == 0
        return data


def test_a_crash_after_every_record_loses_nothing_and_doubles_nothing() -> None:
    """L5, M5, M7, M8: whatever was sent counts once, whether the client sends it again or the log owes it."""
    undisturbed = DyingJournal(10_000)
    run_virtual(first_life(undisturbed))
    total = run_virtual(_rev(undisturbed))
    whole = 0
    for position in range(total + 1):
        journal = DyingJournal(position)
        data = run_virtual(second_life(journal, run_virtual(first_life(journal))))
        if data is not None:
            whole += 1
            assert (data["echoes"], data["said"]) == (["ONE", "TWO"], ["later"]), f"after record {position}"
    assert whole >= total - 12, "only its creation, which the file ends on `restored`, may be without effect"


async def _rev(journal: DyingJournal) -> int:
    await journal.open()
    (row,) = await journal.sessions()
    return row.rev


def test_replay_gives_the_states_that_were_live() -> None:
    """M8: same journal, same spec, same states; and no handler is called for it."""

    async def play() -> None:
        async with Rig(COMPILED) as r:
            session = await r.create()
            await r.send(session, "pass_on", {"text": "x"})
            await r.advance(5)
            await r.send(session, "slow")
            image = fold(Record.decode(text) for text in await r.journal.records(session.sid))
            live = {actor.path: (actor.state, actor.activation, actor.data) for actor in session.find_actors()}
            assert {p: (a.state, a.activation, a.data) for p, a in image.actors.items()} == live

    run_virtual(play())


@in_virtual_time
async def test_an_ended_session_is_one_object_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """L6: two of them would write under revisions of their own, and the second one's writer be taken for a stranger."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        session = await r.create()
        await r.send(session, "terminate")
        await r.advance(60)
        assert session.is_ended
    async with Rig(COMPILED, journal=journal) as r:
        found = await asyncio.gather(*(r.manager.find(session.sid) for _ in range(3)))
        one = found[0]
        assert one is not None
        assert all(other is one for other in found)
        # Many ends later it is not kept any more, but is still in somebody's hands.
        monkeypatch.setattr(archive, "IN_MEMORY_MAX", 0)
        r.manager._archive.keep(one)
        other = await r.manager.find(session.sid)
        assert other is one
        rights = [TokenRow(bytes([n]) * 32, session.sid, f"t.{n}", "observe") for n in range(3)]
        await asyncio.gather(one.add_token(rights[0]), other.add_token(rights[1]))
        await one.add_token(rights[2])
        assert await journal.tokens(session.sid) == rights


def test_a_deadline_survives_a_restart() -> None:
    """M7: the deadline is stored, not the delay."""
    journal = MemoryJournal()

    async def first() -> float:
        rig = Rig(COMPILED, journal=journal)
        await rig.manager.start()
        session = await rig.create()
        await rig.send(session, "slow")
        assert session.root is not None
        deadline = session.root.timers["after 10s"].deadline
        await rig.manager.shutdown(10)
        return deadline

    async def second(deadline: float) -> None:
        async with Rig(COMPILED, journal=journal) as r:
            (session,) = r.manager.sessions()
            assert session.state == "pausing"
            assert session.root is not None
            assert session.root.timers["after 10s"].deadline == deadline
            session.attach("control")
            await r.advance(11)
            assert session.state == "active"

    run_virtual(second(run_virtual(first())))


def test_a_restarted_activity_goes_on_behind_its_recorded_steps() -> None:
    """A step that is recorded is not run again, unless what it acquires did not survive."""

    async def play() -> None:
        async with Rig(COMPILED) as r:
            session = await r.create()
            of_root = [one for one in await r.records(session.sid) if one.actor == "/"]
            assert [one.body["index"] for one in of_root if one.op == "ran"] == [0]
            assert [one.body["event"]["name"] for one in of_root if one.op == "owed"] == ["done"], "the last step's end"

    run_virtual(play())
