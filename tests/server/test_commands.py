"""One number of a client has one outcome, whatever is under way when it is asked for (rule 4, L5)."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.records import Caller, Command, Outcome
from engine.session import Session
from engine.steps.intake import EXPIRED
from engine.steps.mailbox import MAILBOX_EVENTS_MAX
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time
from tests.server import wire_handlers
from tests.server.conftest import LIFECYCLE, Wire
from tests.server.wire_handlers import GATES


def rig() -> Rig:
    return Rig(machines(LIFECYCLE, wire_handlers))


def submit(session: Session, name: str, c: int, digest: str = "d", **more: Any) -> asyncio.Future[Outcome]:
    to, payload = more.pop("to", "/"), more.pop("payload", {})
    command = Command("cid", c, digest)
    return session.intake.submit(to, name, payload, origin="client", caller=Caller(), command=command, **more)


@in_virtual_time
async def test_who_asks_while_the_step_is_under_way_gets_its_outcome() -> None:
    """A client that dialled again with no time left must not hear `expired` of what happens all the same."""
    async with rig() as r:
        session = await r.create()
        first = submit(session, "wait", 1)
        await r.settle()
        asked = session.intake.turn_away("wait", Command("cid", 1, "d"), EXPIRED)
        await r.settle()
        assert not asked.done()
        GATES[session.sid].set()
        assert (await first).status == "done"
        told = await asked
        assert (told.status, told.is_duplicate) == ("done", True)


@in_virtual_time
async def test_a_number_whose_step_is_under_way_is_not_free_for_something_else() -> None:
    """Otherwise two steps would count under one number."""
    async with rig() as r:
        session = await r.create()
        first = submit(session, "wait", 1)
        await r.settle()
        other = await submit(session, "say", 1, "other", payload={"text": "x"})
        nobody = await submit(session, "say", 1, "third", to="/nobody")
        assert [one.code for one in (other, nobody)] == ["conflict", "conflict"]
        GATES[session.sid].set()
        assert (await first).status == "done"
        kept = session.intake.outcomes.find("cid", 1)
        assert kept is not None
        assert kept[1] == await first


@in_virtual_time
async def test_time_to_live_runs_out_in_the_mailbox_too() -> None:
    """It says how long a command may still be begun; and `expired` is then its outcome for ever."""
    async with rig() as r:
        session = await r.create()
        loop = asyncio.get_running_loop()
        first = submit(session, "wait", 1)
        second = submit(session, "say", 2, payload={"text": "late"}, is_late=lambda: loop.time() > 1.0)
        third = submit(session, "say", 3, payload={"text": "in time"}, is_late=lambda: loop.time() > 60.0)
        await r.advance(2)
        GATES[session.sid].set()
        assert [(await one).code for one in (first, second, third)] == ["", "expired", ""]
        again = await submit(session, "say", 2, payload={"text": "late"})
        assert (again.code, again.is_duplicate) == ("expired", True)
        texts = [one["data"]["text"] for one in await r.updates(session, "agent.message")]
        assert texts == ["in time"]


@in_virtual_time
async def test_after_the_end_nobody_is_told_of_a_forgotten_beginning() -> None:
    """Rule 11: a stored outcome or `ended`, also for a client whose first command came too late already."""
    async with rig() as r:
        session = await r.create()
        assert (await submit(session, "terminate", 1)).ok
        await r.settle()
        assert session.is_ended
        for c in (1, 2, 3):
            late = session.intake.submit(
                "/", "say", {"text": "x"}, origin="client", caller=Caller(), command=Command("late", c, "d")
            )
            assert (await late).code == "ended"
        assert (await submit(session, "terminate", 1)).is_duplicate


async def test_a_command_that_was_too_large_uses_its_number_up(wire: Wire) -> None:
    """So that the next number of a new client is not taken for one whose beginning was forgotten."""
    peer, _ = await wire.create()
    for is_again in (False, True):
        await peer.cmd(1, "say", args={"text": "x" * 70_000})
        answer = await peer.res(1)
        assert answer["err"]["code"] == "too_large"
        assert answer.get("dup", False) is is_again
    await peer.cmd(1, "say", args={"text": "short"})
    assert (await peer.res(1))["err"]["code"] == "conflict"
    await peer.cmd(2, "say", args={"text": "short"})
    assert (await peer.res(2))["ok"]


async def test_a_handler_that_found_somebody_busy_has_decided(wire: Wire) -> None:
    """L5: it is the outcome of that number, for ever. Told to come again, its client would ask to no end, and all that
    it sends later would wait for it."""
    peer, welcome = await wire.create()
    for is_again in (False, True):
        await peer.cmd(1, "overload")
        answer = await peer.res(1)
        assert (answer["err"]["code"], "retry_ms" in answer["err"], answer.get("dup", False)) == (
            "busy",
            False,
            is_again,
        )
    await peer.cmd(2, "say", args={"text": "on"})
    assert (await peer.res(2))["ok"]
    path = f"/v1/sessions/{welcome['sid']}/commands"
    status, problem = await wire.call("POST", path, welcome["token"], json={"name": "overload"})
    assert (status, problem["code"], "retry_ms" in problem) == (429, "busy", False)


async def test_time_to_live_runs_out_while_waiting_for_a_full_mailbox(serving: Any) -> None:
    """A command that found no room waits at its connection, where its time runs as well."""
    wire: Wire = await serving(commands_per_s=10_000, commands_burst=10_000)
    peer, welcome = await wire.create()
    session = await wire.parts.manager.find(welcome["sid"])
    assert session is not None
    under_way = submit(session, "wait", 1)
    await (await peer.socket.ping())
    for c in range(2, 2 + MAILBOX_EVENTS_MAX):
        submit(session, "say", c, payload={"text": "fill"})
    assert submit(session, "say", 999, payload={"text": "no room"}).result().code == "busy"
    await peer.cmd(1, "say", args={"text": "late"}, ttl_ms=50)
    assert (await peer.res(1))["err"]["code"] == "expired"
    assert not under_way.done()
    GATES[welcome["sid"]].set()
    assert (await under_way).ok
