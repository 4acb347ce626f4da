"""Frames on a real socket: commands and their results, bad ones and what they get, the end of a session."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from engine.errors import Corrupt
from engine.journal.memory import MemoryJournal
from server.commands import Commands
from server.outbox import UNSENT_BYTES_MAX
from tests.server.conftest import ANSWER_S, KEY, Wire, new_token
from tests.server.wire_handlers import GATES, STUCK


async def test_a_result_follows_the_events_it_caused(wire: Wire) -> None:
    """And names the last of them, so that a client knows when it has seen them all."""
    peer, _ = await wire.create()
    await peer.cmd(1, "say", args={"text": "hello"})
    event = await peer.until(lambda frame: frame.get("kind") == "agent.message")
    answer = await peer.res(1)
    assert answer["ok"]
    assert answer["seq"] == event["seq"]
    assert event["re"] == {"cid": "c1", "c": 1}


async def test_numbers_rise_by_one_for_everyone(wire: Wire) -> None:
    """L1: two clients of one session see the same bytes."""
    token = new_token()
    peer, _welcome = await wire.create(token)
    for c in range(1, 200):
        await peer.cmd(c, "say", args={"text": str(c)})
    for c in range(1, 200):
        assert (await peer.res(c))["ok"]
    other = await wire.dial()
    head = (await other.hello(token, cid="c2"))["head"]
    await other.until(lambda frame: frame.get("seq") == head)
    assert other.events == peer.events[:head]
    assert [event["seq"] for event in peer.events] == list(range(1, len(peer.events) + 1))
    texts = [event["data"]["text"] for event in peer.events if event["kind"] == "agent.message"]
    assert texts == [str(c) for c in range(1, 200)]


@pytest.mark.parametrize(
    "message, code",
    [
        ("{", 4400),
        (b'{"t":"cmd"}', 4400),
        ('{"t":"dance"}', 4400),
        ("[]", 4400),
        (json.dumps({"t": "hello", "token": "t" * 43, "cid": "c1", "n": 9}), 4400),
        (json.dumps({"t": "cmd", "c": 9, "name": "say", "args": ["no object"]}), 4400),
        ("x" * 200_000, 4413),
    ],
)
async def test_a_bad_frame_is_told_and_closed_and_the_session_unharmed(wire: Wire, message: Any, code: int) -> None:
    """What to do is in the error frame, its number is the close code, and another connection goes on."""
    token = new_token()
    peer, welcome = await wire.create(token)
    await peer.socket.send(message)
    assert await peer.closed() == code
    assert peer.errors == [{"t": "error", "code": code, "msg": peer.errors[0]["msg"]}]
    again = await wire.dial()
    assert (await again.hello(token, n=2))["sid"] == welcome["sid"]
    await again.cmd(1, "say", args={"text": "unharmed"})
    assert (await again.res(1))["ok"]


async def test_a_command_before_hello_is_out_of_order(wire: Wire) -> None:
    """Nothing is known of whoever sends it."""
    peer = await wire.dial()
    await peer.cmd(1, "say", args={"text": "hello"})
    assert await peer.closed() == 4400


async def test_a_large_command_gets_too_large_and_the_connection_lives(wire: Wire) -> None:
    """Rule 14."""
    peer, _ = await wire.create()
    await peer.cmd(1, "say", args={"text": "x" * 70_000})
    assert (await peer.res(1))["err"]["code"] == "too_large"
    await peer.cmd(2, "say", args={"text": "short"})
    assert (await peer.res(2))["ok"]


@pytest.mark.parametrize(
    "fields, code",
    [
        ({"name": "dance"}, "unknown_event"),
        ({"name": "say", "args": {}}, "bad_payload"),
        ({"name": "say", "args": {"text": 1}}, "bad_payload"),
        ({"name": "say", "args": {"text": "x"}, "to": "/nobody"}, "unknown_actor"),
        ({"name": "retry_cleanup"}, "forbidden"),
    ],
)
async def test_a_command_that_cannot_be_says_why(wire: Wire, fields: dict[str, Any], code: str) -> None:
    """M5: a reason with a stable code, on a connection that lives."""
    peer, _ = await wire.create()
    await peer.send(t="cmd", c=1, **fields)
    answer = await peer.res(1)
    assert (answer["ok"], answer["err"]["code"]) == (False, code)
    assert answer["err"]["msg"]


async def test_a_handlers_error_reaches_clients_without_its_text(wire: Wire) -> None:
    """Rule 15."""
    peer, _ = await wire.create()
    await peer.cmd(1, "trip")
    answer = await peer.res(1)
    assert not answer["ok"]
    assert "secret" not in json.dumps(peer.frames)


async def test_a_resend_gets_the_stored_result_and_nothing_happens_twice(wire: Wire) -> None:
    """L5, over a new connection, as after every welcome."""
    token = new_token()
    peer, _ = await wire.create(token)
    await peer.cmd(1, "say", args={"text": "once"})
    first = await peer.res(1)
    await peer.socket.close()
    again = await wire.dial()
    await again.hello(token, n=2)
    await again.cmd(1, "say", args={"text": "once"})
    assert await again.res(1) == {**first, "dup": True}
    await again.cmd(1, "say", args={"text": "something else"})
    assert (await again.res(1))["err"]["code"] == "conflict"
    assert len([event for event in again.events if event["kind"] == "agent.message"]) == 1


async def test_a_command_in_flight_when_the_connection_ends_counts_once(wire: Wire) -> None:
    """L5: it had begun; the resend of the next connection finds what became of it."""
    token = new_token()
    peer, welcome = await wire.create(token)
    await peer.cmd(1, "wait")
    await peer.cmd(2, "say", args={"text": "after"})
    again = await wire.dial()
    await again.hello(token, n=2)
    await again.cmd(1, "wait")
    await again.cmd(2, "say", args={"text": "after"})
    GATES[welcome["sid"]].set()
    assert (await again.res(1))["ok"]
    assert (await again.res(2))["ok"]
    await again.cmd(3, "say", args={"text": "last"})
    await again.res(3)
    texts = [event["data"]["text"] for event in again.events if event["kind"] == "agent.message"]
    assert texts == ["after", "last"]


async def test_ttl_0_asks_and_applies_nothing(wire: Wire) -> None:
    """Rule 4: how a client finds out about a command that it does not want to happen any more."""
    peer, _ = await wire.create()
    await peer.cmd(1, "say", args={"text": "done"})
    await peer.res(1)
    await peer.cmd(1, "say", args={"text": "done"}, ttl_ms=0)
    assert (await peer.res(1))["dup"] is True
    await peer.cmd(2, "say", args={"text": "not done"}, ttl_ms=0)
    assert (await peer.res(2))["err"]["code"] == "expired"
    assert [event["data"]["text"] for event in peer.events if event["kind"] == "agent.message"] == ["done"]


async def test_a_full_mailbox_makes_wait_and_keeps_the_order(wire: Wire, serving: Any) -> None:
    """Rule 4: more commands than a mailbox holds, while its actor is busy, from several clients."""
    fast: Wire = await serving(commands_per_s=10_000, commands_burst=10_000)
    token = new_token()
    first, welcome = await fast.create(token)
    await first.cmd(1, "wait")
    peers = [first]
    for name in ("b", "c"):
        peer = await fast.dial()
        await peer.hello(token, cid=name)
        peers.append(peer)
    for n, peer in enumerate(peers):
        for c in range(2 if n == 0 else 1, 150):
            await peer.cmd(c, "say", args={"text": f"{n} {c}"})
    GATES[welcome["sid"]].set()
    for peer in peers:
        assert (await peer.res(149))["ok"]
    texts = [event["data"]["text"] for event in peers[0].events if event["kind"] == "agent.message"]
    head = 446
    while len(texts) < head:
        event = await peers[0].until(lambda frame: frame.get("kind") == "agent.message")
        texts.append(event["data"]["text"])
    for n in range(3):
        numbers = [int(text.split()[1]) for text in texts if text.startswith(f"{n} ")]
        assert numbers == list(range(2 if n == 0 else 1, 150))


async def test_terminate_gets_through_a_full_mailbox(serving: Any) -> None:
    """The lane for it is never full, not even of one's own connection."""
    fast: Wire = await serving(commands_per_s=10_000, commands_burst=10_000)
    peer, welcome = await fast.create()
    await peer.cmd(1, "wait")
    for c in range(2, 60):
        await peer.cmd(c, "say", args={"text": str(c)})
    await peer.cmd(60, "terminate")
    GATES[welcome["sid"]].set()
    await peer.state("terminating")
    assert not [event for event in peer.events if event["kind"] == "agent.message"]


async def test_notes_are_sent_and_not_kept(wire: Wire) -> None:
    """Volatile: whoever resumes does not get them."""
    token = new_token()
    peer, _ = await wire.create(token)
    await peer.cmd(1, "whisper", args={"text": "psst"})
    note = await peer.until(lambda frame: frame["t"] == "note")
    assert note == {"t": "note", "kind": "agent.chunk", "data": {"msg": "m1", "at": 0, "text": "psst"}}


async def test_an_event_above_a_frames_limit_names_the_page_that_has_it(wire: Wire) -> None:
    """No server frame over 256 KiB; what it says is still to be had."""
    token = new_token()
    peer, _ = await wire.create(token)
    await peer.cmd(1, "big", args={"size": 300_000})
    event = await peer.until(lambda frame: frame.get("kind") == "agent.message")
    assert event["data"]["truncated"] is True
    status, page = await wire.call("GET", event["data"]["href"], token)
    assert status == 200
    assert [(item["seq"], len(item["data"]["text"])) for item in page["events"]] == [(event["seq"], 300_000)]


async def test_session_ended_is_the_last_event_and_then_comes_4500(serving: Any) -> None:
    """L9 and rule 11; whoever comes later gets the same end, and stored outcomes."""
    wire: Wire = await serving(ended_s=0.1)
    token = new_token()
    peer, _welcome = await wire.create(token)
    await peer.cmd(1, "say", args={"text": "hello"})
    await peer.res(1)
    await peer.cmd(2, "terminate")
    assert await peer.closed() == 4500
    ended = peer.events[-1]
    assert ended["kind"] == "session.ended"
    assert (ended["data"]["code"], ended["data"]["why"] != "") == ("closed", True)
    assert peer.frames[-1]["t"] == "error"

    late = await wire.dial()
    again = await late.hello(token, n=2)
    assert (again["state"], again["resumed"]) == ("terminated", True)
    await late.cmd(1, "say", args={"text": "hello"})
    assert (await late.res(1))["dup"] is True
    await late.cmd(3, "say", args={"text": "anybody?"})
    assert (await late.res(3))["err"]["code"] == "ended"
    assert await late.closed() == 4500
    assert late.events == peer.events


async def test_in_quarantine_connections_stay_and_commands_say_so(wire: Wire) -> None:
    """Rule 11: `error` waits for a person, and tells everybody else that it does."""
    peer, welcome = await wire.create()
    await peer.cmd(1, "leak")
    assert (await peer.res(1))["ok"]
    await peer.cmd(2, "terminate")
    await peer.state("error")
    await peer.cmd(3, "say", args={"text": "hello?"})
    assert (await peer.res(3))["err"]["code"] == "quarantined"
    STUCK.discard(welcome["sid"])


async def test_a_lost_connection_is_an_event_and_the_next_one_too(wire: Wire) -> None:
    """Rule 5: whenever no control connection is there, the window is open."""
    token = new_token()
    peer, _welcome = await wire.create(token)
    await peer.socket.close()
    again = await wire.dial()
    await again.hello(token, n=2)
    states = [(await again.state(name))["data"]["event"] for name in ("active", "reconnecting", "active")]
    assert states == ["done", "last_connection_lost", "connected"]


async def test_heartbeats_come_as_ping_frames_and_websocket_pings(serving: Any) -> None:
    """A client sees that it lags, and a pong keeps it alive without a word of its own."""
    wire: Wire = await serving(heartbeat_s=0.05, dead_s=1.0)
    peer, _ = await wire.create()
    for _ in range(6):
        ping = await peer.until(lambda frame: frame["t"] == "ping")
    assert ping["head"] == peer.events[-1]["seq"]


async def test_a_peer_that_answers_no_ping_is_cut_and_detached(serving: Any) -> None:
    """L10: within the declared time of its last byte."""
    wire: Wire = await serving(heartbeat_s=0.05, dead_s=0.3)
    token = new_token()
    peer, welcome = await wire.create(token)
    # Stop reading: a frozen peer. Its kernel still takes what is sent, so only silence tells.
    peer.socket.transport.pause_reading()
    await wire.wait_state(welcome["sid"], "reconnecting")
    session = await wire.parts.manager.find(welcome["sid"])
    assert session is not None
    assert session.connections == 0


async def test_a_slow_reader_costs_no_memory_and_delays_nobody(serving: Any) -> None:
    """L10, L11: what it does not read stays in the log."""
    wire: Wire = await serving(heartbeat_s=5, commands_per_s=10_000, commands_burst=10_000)
    token = new_token()
    peer, _ = await wire.create(token)
    slow = await wire.dial()
    await slow.hello(token, cid="slow")
    slow.socket.transport.pause_reading()
    kernel = slow.socket.transport.get_extra_info("socket")
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
    for c in range(1, 200):
        await peer.cmd(c, "big", args={"size": 50_000})
    for c in range(1, 200):
        assert (await peer.res(c))["ok"]
    unsent = max(one._outbox.unsent for one in wire.parts.pool.connections)
    assert unsent < 2 * UNSENT_BYTES_MAX + 60_000
    slow.socket.transport.resume_reading()
    assert (await slow.until(lambda frame: frame.get("seq") == peer.events[-1]["seq"]))["t"] == "ev"
    assert slow.events == peer.events


async def test_a_newer_dial_does_not_wait_for_a_frozen_older_one(serving: Any) -> None:
    """L7 and L10: the older one takes no close frame any more; it is cut, and costs the newer one nothing."""
    wire: Wire = await serving(commands_per_s=10_000, commands_burst=10_000)
    token = new_token()
    frozen, welcome = await wire.create(token)
    frozen.socket.transport.pause_reading()
    for c in range(1, 300):
        await frozen.cmd(c, "big", args={"size": 50_000})
    newer = await wire.dial()
    assert (await newer.hello(token, n=2))["t"] == "welcome"
    await newer.cmd(300, "say", args={"text": "it is me"})
    assert (await newer.res(300))["ok"]
    session = await wire.parts.manager.find(welcome["sid"])
    assert session is not None
    assert session.connections == 1
    async with asyncio.timeout(ANSWER_S):
        await wire.parts.pool.wait_fewer(2)
    assert len(wire.parts.pool.connections) == 1


async def test_a_session_whose_log_failed_sends_clients_to_dial_again(serving: Any) -> None:
    """Nothing was decided, so nothing is answered: the client sends it again, and it counts once."""
    journal = MemoryJournal()
    wire: Wire = await serving(journal)
    token = new_token()
    peer, welcome = await wire.create(token)
    journal.fail_next(Corrupt("", "it is damaged"))
    await peer.cmd(1, "say", args={"text": "hello"})
    assert await peer.closed() == 4104
    again = await wire.dial()
    answer = await again.hello(token, n=2, create={"team": "wire"}, auth=KEY)
    assert answer["sid"] == welcome["sid"]
    await again.cmd(1, "say", args={"text": "hello"})
    assert (await again.res(1))["ok"]


async def test_a_fault_of_ours_is_told_as_a_reference(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 15: a bug ends its connection with 4105, and its text stays in the log."""

    def stumble(commands: Commands, order: Any) -> None:
        raise RuntimeError("the secret text of a bug")

    token = new_token()
    peer, _ = await wire.create(token)
    with monkeypatch.context() as patch:
        patch.setattr(Commands, "begin", stumble)
        await peer.cmd(1, "say", args={"text": "hello"})
        assert await peer.closed() == 4105
    assert "ref r." in peer.errors[0]["msg"]
    assert "secret" not in json.dumps(peer.frames)
    again = await wire.dial()
    await again.hello(token, n=2)
    await again.cmd(1, "say", args={"text": "hello"})
    assert (await again.res(1))["ok"]
