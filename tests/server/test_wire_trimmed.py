"""A server whose sessions keep few events: every transport says what is gone before it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.journal.memory import MemoryJournal
from engine.live.upkeep import RECONCILE_S
from engine.log.archive import RETENTION_S
from engine.log.view import View
from engine.testing.rig import machines
from engine.testing.virtual import in_virtual_time
from server.frames import SERVER_FRAME_BYTES_MAX
from tests.server import wire_handlers
from tests.server.conftest import LIFECYCLE, Peer, Wire, new_token
from tests.server.simulated import Client, Server, Truth
from tests.server.test_sse import reading

KEPT = 100
SAID = 140  # in the middle between two trims


@pytest.fixture
async def long(serving: Any) -> tuple[Wire, Peer, dict[str, Any], str]:
    """A session that has told more than is kept."""
    wire: Wire = await serving(kept_events_max=KEPT, commands_per_s=10_000, commands_burst=10_000)
    token = new_token()
    peer, welcome = await wire.create(token)
    for c in range(1, SAID + 1):
        await peer.cmd(c, "say", args={"text": f"t{c}"})
        assert (await peer.res(c))["ok"]
    return wire, peer, welcome, token


async def first_kept(wire: Wire, welcome: dict[str, Any]) -> int:
    session = await wire.parts.manager.find(welcome["sid"])
    assert session is not None
    assert session.log.trimmed > 0
    return session.log.trimmed + 1


@pytest.mark.parametrize("cur", [None, 0, 1])
async def test_who_begins_before_what_is_kept_is_given_a_snapshot(long: Any, cur: int | None) -> None:
    """L4: no cursor means 0, and that is gone as well."""
    wire, _, welcome, token = long
    peer = await wire.dial()
    fields = {} if cur is None else {"cur": {"epoch": welcome["epoch"], "seq": cur}}
    again = await peer.hello(token, cid="c2", **fields)
    assert again["resumed"] is False
    snap = await peer.next()
    assert (snap["t"], snap["seq"]) == ("snap", again["head"])
    assert snap["data"]["state"] == "active"
    assert [one["data"]["text"] for one in snap["data"]["messages"]] == [f"t{n}" for n in range(1, SAID + 1)]
    await peer.cmd(1, "say", args={"text": "on"})
    assert (await peer.until(lambda frame: frame["t"] == "ev"))["seq"] == snap["seq"] + 1


async def test_who_stands_in_what_is_kept_goes_on(long: Any) -> None:
    """Rule 3 of the protocol, up to the very edge."""
    wire, _, welcome, token = long
    edge = await first_kept(wire, welcome) - 1
    peer = await wire.dial()
    again = await peer.hello(token, cid="c2", cur={"epoch": welcome["epoch"], "seq": edge})
    assert again["resumed"] is True
    assert (await peer.next())["seq"] == edge + 1


async def test_a_command_from_before_the_trim_keeps_its_outcome(long: Any) -> None:
    """L5, rule 4 of the protocol."""
    _, peer, _, _ = long
    for c in range(SAID - 63, SAID + 1):
        await peer.cmd(c, "say", args={"text": f"t{c}"})
        again = await peer.res(c)
        assert (again["ok"], again["dup"]) == (True, True)
    await peer.cmd(SAID - 64, "say", args={"text": f"t{SAID - 64}"})
    assert (await peer.res(SAID - 64))["err"]["code"] == "forgotten"


async def test_a_page_of_the_log_tells_what_is_gone(long: Any) -> None:
    """L4 over HTTP: refused where it was asked for by number, told where the beginning was asked for."""
    wire, _, welcome, token = long
    log = f"/v1/sessions/{welcome['sid']}/log"
    first = await first_kept(wire, welcome)
    status, gone = await wire.call("GET", f"{log}?after=0", token)
    assert (status, gone["code"], gone["first"]) == (410, "trimmed", first)
    status, page = await wire.call("GET", f"{log}?limit=1000", token)
    assert (status, page["first"], page["snap"]["seq"]) == (200, first, first - 1)
    assert [one["seq"] for one in page["events"]] == list(range(first, page["head"] + 1))
    view = View.from_json({"seq": first - 1, **page["snap"]["data"]})
    for event in page["events"]:
        view.apply(json.dumps(event).encode())
    status, begun = await wire.call("GET", f"{log}?after={first - 1}&limit=1", token)
    assert (status, begun["events"][0]["seq"], "snap" in begun) == (200, first, False)
    peer = await wire.dial()
    await peer.hello(token, cid="c2")
    assert (await peer.next())["data"] == view.shown(SERVER_FRAME_BYTES_MAX)


async def test_an_event_stream_begins_with_a_snapshot(long: Any) -> None:
    """L4 for readers that only listen."""
    wire, _, welcome, token = long
    async with reading(wire, welcome["sid"], token) as reader:
        snap = await reader.next()
        assert snap is not None
        assert (snap["event"], snap["id"]) == ("snap", f"{welcome['epoch']}:{SAID + 1}")
        assert len(json.loads(snap["data"])["messages"]) == SAID


@in_virtual_time
async def test_a_day_after_its_end_a_session_and_its_tokens_are_gone() -> None:
    """Rules 8, 11 and 15 of the protocol: welcomed, replayed, closed with 4500; then 4300, as if it had never been."""
    server = Server(machines(LIFECYCLE, wire_handlers), MemoryJournal(), Path())
    await server.start()

    async def dial(client: Client, create: dict[str, Any] | None = None) -> None:
        client.dial(server.accept(), create)
        await server.settle()
        client.read()

    token = new_token()
    client = Client(Truth(), token, "c1")
    await dial(client, {})
    client.command("terminate")
    await server.advance(10)
    client.read()
    assert (client.is_over, client.close) == (True, 4500)
    server.sweep.cancel()  # nobody is connected, and a day has 345,600 of its rounds
    await server.advance(RETENTION_S - 3 * RECONCILE_S)
    late = Client(Truth(), token, "c2")
    await dial(late)
    assert (late.is_welcome, late.is_over) == (True, True)
    late.hang_up()
    await server.advance(6 * RECONCILE_S)
    stranger, later = Client(Truth(), new_token(), "c3"), Client(Truth(), token, "c4")
    for one in (stranger, later):
        await dial(one)
        assert (one.is_welcome, one.close) == (False, 4300)
    await server.stop_at_once()
