"""One session from creation to its end, on the real manager, in virtual time."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
import small_handlers
from small_handlers import Thing

from engine.errors import LimitExceeded
from engine.records import Command
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time

SMALL = Path(__file__).parent / "files" / "small.yaml"


def rig(**services: object) -> Rig:
    return Rig(machines(SMALL, small_handlers), services=services)


@in_virtual_time
async def test_a_session_is_created_through_its_declared_states() -> None:
    """The whole flow: its things and children are there before it is active."""
    async with rig() as r:
        session = await r.create(user="ada", data={"team": "x"})
        assert [(view.path, view.state) for view in session.tree()] == [
            ("/", "active"),
            ("/w1", "ready"),
            ("/w2", "ready"),
        ]
        assert session.data["team"] == "x"


@in_virtual_time
async def test_without_a_connection_the_window_begins_at_once_and_ends_the_session() -> None:
    """Whenever a session that is up has no control connection, also right after creation (protocol, rule 5)."""
    async with rig() as r:
        session = await r.create(is_connected=False)
        assert session.state == "reconnecting"
        await r.advance(29.9)
        assert session.state == "reconnecting"
        await r.advance(0.2)
        assert session.state == "terminated"
        end = (await r.updates(session))[-1]
        assert end["kind"] == "session.ended"
        assert end["data"]["code"] == "window"


@in_virtual_time
async def test_a_connection_inside_the_window_brings_it_back() -> None:
    """L8: an attach before the deadline succeeds, and the old deadline is gone (M4)."""
    async with rig() as r:
        session = await r.create(is_connected=False)
        await r.advance(29)
        session.attach("control")
        await r.settle()
        assert session.state == "active"
        await r.advance(600)
        assert session.state == "active"


@in_virtual_time
async def test_an_observer_keeps_no_window_open() -> None:
    """Rule 6: only control connections count."""
    async with rig() as r:
        session = await r.create(is_connected=False)
        session.attach("observe")
        await r.advance(31)
        assert session.state == "terminated"


@in_virtual_time
async def test_the_end_is_reported_whole_and_twice_the_same() -> None:
    """C1, C2: children first, then the entries; asked again, the same report."""
    async with rig() as r:
        session = await r.create()
        assert (await r.send(session, "terminate")).status == "done"
        assert session.state == "terminated"
        report = session.report
        assert report is not None
        assert [(item["kind"], item["verdict"]) for item in report["items"]] == [
            ("children", "released"),
            ("children", "released"),
            ("thing", "released"),
        ]
        again = await r.send(session, "terminate")
        assert (again.status, again.already, again.value) == ("done", True, report)
        refused = await r.send(session, "say", {"text": "too late"})
        assert (refused.status, refused.code) == ("refused", "ended")
        assert r.manager.live == 0
        gc.collect()
        assert not [thing for thing in Thing.alive if thing.is_open]


@in_virtual_time
async def test_a_thing_that_does_not_close_is_forced() -> None:
    """do → force → probe: the report says forced, with a reference to the log, not the handler's text."""
    async with rig(stuck_thing=True) as r:
        session = await r.create()
        await r.send(session, "terminate")
        assert session.state == "terminated"
        assert session.report is not None
        item = session.report["items"][-1]
        assert (item["kind"], item["verdict"]) == ("thing", "forced")
        assert "it does not close" not in str(session.report)


@in_virtual_time
async def test_a_leak_puts_the_root_into_quarantine_and_names_it() -> None:
    """C1, R3: nothing is retried by itself; an admin retries, or writes it off with a reason."""
    async with rig(stuck_thing=True, unkillable_thing=True) as r:
        session = await r.create()
        await r.send(session, "terminate")
        assert session.state == "error"
        assert session.report is not None
        assert session.report["leaked"] == 1
        await r.advance(100_000)
        assert session.state == "error"
        refused = await r.send(session, "say", {"text": "hello"})
        assert refused.code == "quarantined"
        forbidden = await r.send(session, "write_off", {"reason": "x"}, origin="client")
        assert forbidden.code == "forbidden"
        await r.send(session, "retry_cleanup", origin="admin")
        assert session.state == "error"
        await r.send(session, "write_off", {"reason": "the host is rebooted tonight"}, origin="admin")
        assert session.state == "terminated"
        (entry,) = r.manager.written_off_list
        assert (entry.kind, entry.reason, entry.user) == ("thing", "the host is rebooted tonight", "tester")
        for thing in Thing.alive:
            thing.is_open = False


@in_virtual_time
async def test_a_retried_cleanup_that_works_ends_the_session() -> None:
    """Quarantine is a way station, not an end."""
    async with rig(stuck_thing=True, unkillable_thing=True) as r:
        session = await r.create()
        await r.send(session, "terminate")
        r.services.clear()
        await r.send(session, "retry_cleanup", origin="admin")
        assert session.state == "terminated"


@in_virtual_time
async def test_what_is_said_while_work_goes_on_waits_its_turn() -> None:
    """`defer`: recorded, told as deferred, offered again in order after the change of state."""
    async with rig() as r:
        session = await r.create()
        await r.send(session, "slow")
        for number, text in enumerate(["one", "two"], start=1):
            outcome = await r.send(session, "say", {"text": text}, command=Command("c", number, text))
            assert outcome.status == "deferred"
        assert "said" not in session.data
        await r.advance(11)
        assert session.data["said"] == ["one", "two"]
        messages = await r.updates(session, "agent.message")
        assert [one["re"] for one in messages] == [{"cid": "c", "c": 1}, {"cid": "c", "c": 2}]


@in_virtual_time
async def test_what_was_deferred_and_never_taken_is_refused_at_the_end() -> None:
    """M5: whoever sent it learns what came of it, before session.ended, which is last (L9)."""
    async with rig() as r:
        session = await r.create()
        await r.send(session, "slow")
        await r.send(session, "say", {"text": "lost"}, command=Command("c", 1, "x"))
        await r.send(session, "terminate")
        assert session.state == "terminated"
        (late,) = await r.updates(session, "command.outcome")
        assert (late["data"]["code"], late["re"]) == ("not_now", {"cid": "c", "c": 1})
        assert (await r.updates(session))[-1]["kind"] == "session.ended"
        assert [one["kind"] for one in await r.updates(session)].count("session.ended") == 1


@in_virtual_time
async def test_a_failing_do_changes_nothing() -> None:
    """M3: the sender gets a code and a reference; data and state are as before."""
    async with rig() as r:
        session = await r.create()
        outcome = await r.send(session, "boom")
        assert (outcome.status, outcome.code) == ("failed", "raised")
        assert "the text of this error" not in outcome.message
        assert session.state == "active"
        assert "trace" not in session.data


@pytest.mark.parametrize("way", ["raise", "hang", "swallow"])
def test_a_hostile_activity_costs_its_own_time_out(way: str) -> None:
    """M3, C4: the worker goes its declared way; the session and the neighbour feel nothing."""

    @in_virtual_time
    async def play() -> None:
        async with rig(work=way) as r:
            session = await r.create()
            await r.send(session, "pass_on", {"text": "x"})
            assert (await r.send(session, "say", {"text": "meanwhile"})).status == "done"
            await r.advance(6)
            assert [view.state for view in session.tree()] == ["active", "ready", "ready"]
            await r.send(session, "terminate")
            assert session.state == "terminated"
            assert session.report is not None
            assert session.report["ok"]

    play()


@in_virtual_time
async def test_terminate_never_waits_behind_other_events() -> None:
    """Two lanes: sixty messages wait, terminate goes first."""
    async with rig() as r:
        session = await r.create()
        said = [r.manager.send(session.sid, name="say", payload={"text": str(n)}) for n in range(60)]
        outcomes = await asyncio.gather(*said, r.manager.send(session.sid, name="terminate"))
        assert outcomes[-1].status == "done"
        assert len(session.data.get("said", [])) < 60


@in_virtual_time
async def test_limits_are_exact_under_a_storm() -> None:
    """C6: never more than declared, and the places come back."""
    async with rig() as r:
        tries = [r.manager.create(user=f"u{n % 3}") for n in range(30)]
        made = await asyncio.gather(*tries, return_exceptions=True)
        sessions = [one for one in made if not isinstance(one, BaseException)]
        assert len(sessions) == 6
        assert all(isinstance(one, LimitExceeded) for one in made if isinstance(one, BaseException))
        assert r.manager.live == 6
        await r.advance(60)
        assert r.manager.live == 0
        assert (await r.create(user="u0")).state == "active"


@in_virtual_time
async def test_commands_count_once_and_their_outcome_is_stable() -> None:
    """L5: the same number again is a duplicate; other content a conflict; a foreign start is forgotten."""
    async with rig() as r:
        session = await r.create()
        first = await r.send(session, "say", {"text": "a"}, command=Command("c", 1, "h1"))
        again = await r.send(session, "say", {"text": "a"}, command=Command("c", 1, "h1"))
        assert again.is_duplicate
        assert (again.status, again.seq) == (first.status, first.seq)
        other = await r.send(session, "say", {"text": "b"}, command=Command("c", 1, "h2"))
        assert other.code == "conflict"
        unknown = await r.send(session, "say", {"text": "b"}, command=Command("d", 7, "h3"))
        assert (unknown.code, "a new one begins with 1" in unknown.message) == ("forgotten", True)
        refused = await r.send(session, "nonsense", command=Command("c", 2, "h4"))
        assert refused.code == "unknown_event"
        assert (await r.send(session, "nonsense", command=Command("c", 2, "h4"))).is_duplicate
        assert session.data["said"] == ["a"]


@in_virtual_time
async def test_outcomes_older_than_the_kept_ones_are_forgotten() -> None:
    """Rule 4: 64 outcomes a cid; an older number is refused, never applied again."""
    async with rig() as r:
        session = await r.create()
        for number in range(1, 67):
            await r.send(session, "say", {"text": "x"}, command=Command("c", number, "h"))
        assert (await r.send(session, "say", {"text": "x"}, command=Command("c", 2, "h"))).code == "forgotten"
        assert (await r.send(session, "say", {"text": "x"}, command=Command("c", 3, "h"))).is_duplicate
        assert len(session.data["said"]) == 66


@in_virtual_time
async def test_a_guard_is_named_in_the_refusal() -> None:
    """The sender learns what was missing."""
    async with rig() as r:
        session = await r.create()
        refused = await r.send(session, "secret")
        assert refused.code == "guard"
        assert "sender_has_role" in refused.message
        assert (await r.send(session, "secret", roles=frozenset({"supervisor"}))).status == "done"


@in_virtual_time
async def test_what_one_actor_sends_another_arrives_and_comes_back() -> None:
    """session → worker → session: three actors' steps, one log."""
    async with rig() as r:
        session = await r.create()
        await r.send(session, "pass_on", {"text": "abc"})
        await r.advance(2)
        assert session.data["echoes"] == ["ABC"]
        numbers = [one["seq"] for one in await r.updates(session)]
        assert numbers == list(range(1, len(numbers) + 1)), "L1"


@in_virtual_time
async def test_an_idle_session_ends_after_its_idle_time() -> None:
    """`idle` counts from the last event accepted; refused events do not move it."""
    async with rig() as r:
        session = await r.create()
        await r.advance(3500)
        await r.send(session, "say", {"text": "still here"})
        await r.advance(3500)
        await r.send(session, "secret")
        assert session.state == "active"
        await r.advance(101)
        assert session.state == "terminated"


@in_virtual_time
async def test_cancelling_the_caller_does_not_cancel_the_transition() -> None:
    """M6: the step goes on whole, and CancelledError reaches the caller."""
    async with rig() as r:
        session = await r.create()
        caller = asyncio.ensure_future(r.manager.send(session.sid, name="say", payload={"text": "x"}))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await r.settle()
        assert session.data["said"] == ["x"]
