"""What clients see of a disk that is full for a while: nobody is cut, nothing is lost, and everybody is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from engine.errors import Corrupt
from engine.journal.memory import MemoryJournal
from engine.testing.away import Disk
from tests.server.conftest import KEY, Peer, Wire, new_token
from tests.server.wire_handlers import GATES


def is_note(kind: str) -> Any:
    return lambda frame: frame["t"] == "note" and frame["kind"] == kind


async def test_a_full_disk_cuts_nobody_off(serving: Any) -> None:
    """M2, L5: the command under way is answered when it is durable, the next is refused and may come again."""
    disk = Disk()
    wire: Wire = await serving(disk)
    peer, _ = await wire.create()
    disk.is_full = True
    await peer.cmd(1, "say", args={"text": "one"})
    note = await peer.until(is_note("degraded"))
    assert note["data"] == {"why": "store"}
    await peer.cmd(2, "say", args={"text": "two"})
    refused = await peer.res(2)
    assert refused["err"]["code"] == "store_unavailable"
    assert refused["err"]["retry_ms"] == 1000
    disk.is_full = False
    assert (await peer.res(1))["ok"]
    await peer.cmd(2, "say", args={"text": "two"})
    assert (await peer.res(2))["ok"]
    assert [frame["kind"] for frame in peer.frames if frame["t"] == "note"] == ["degraded", "restored"]
    texts = [event["data"]["text"] for event in peer.events if event["kind"] == "agent.message"]
    assert texts == ["one", "two"]
    seqs = [event["seq"] for event in peer.events]
    assert seqs == list(range(1, len(seqs) + 1))


def said(*peers: Peer) -> list[str]:
    return [event["data"]["text"] for one in peers for event in one.events if event["kind"] == "agent.message"]


async def say(peer: Peer, c: int, **more: Any) -> str:
    """The code of its outcome."""
    await peer.cmd(c, "say", args={"text": str(c)}, **more)
    return str((await peer.res(c)).get("err", {}).get("code", "done"))


async def away_and_back(disk: Disk, peer: Peer, c: int) -> None:
    """Nothing is decided about c, and then the store is well again."""
    disk.is_full = True
    await peer.cmd(c - 1, "say", args={"text": str(c - 1)})
    await peer.until(is_note("degraded"))
    assert await say(peer, c) == "store_unavailable"
    disk.is_full = False
    assert (await peer.res(c - 1))["ok"]


async def test_what_was_sent_behind_an_undecided_command_waits_for_it(serving: Any) -> None:
    """L5: the order in which a client sends is the order of effects, though the store is well again in between."""
    disk = Disk()
    wire: Wire = await serving(disk)
    peer, _ = await wire.create()
    await away_and_back(disk, peer, 2)
    assert [await say(peer, c) for c in (3, 4, 2, 4, 3, 4, 5)] == [
        *["store_unavailable"] * 2,
        "done",
        "store_unavailable",
        *["done"] * 3,
    ]
    assert said(peer) == ["1", "2", "3", "4", "5"]


async def test_a_client_may_give_up_an_undecided_command(serving: Any) -> None:
    """By asking with no time left, or by dialling again without it: nothing waits for what will not come."""
    disk = Disk()
    wire: Wire = await serving(disk)
    token = new_token()
    peer, _ = await wire.create(token)
    await away_and_back(disk, peer, 2)
    assert await say(peer, 3) == "store_unavailable"
    assert await say(peer, 2, ttl_ms=0) == "expired"
    assert await say(peer, 3) == "done"
    await away_and_back(disk, peer, 5)
    again = await wire.dial()
    await again.hello(token, n=2)
    assert await say(again, 6) == "done"
    assert said(again) == ["1", "3", "4", "6"]


async def test_a_command_that_was_decided_after_all_holds_up_nobody(serving: Any) -> None:
    """A second copy of a command that waits for its actor may find the store away, and the first is applied."""
    disk = Disk()
    wire: Wire = await serving(disk)
    peer, welcome = await wire.create()
    await peer.cmd(1, "wait")
    await peer.cmd(2, "say", args={"text": "2"})
    disk.is_full = True
    path = f"/v1/sessions/{welcome['sid']}/tokens"
    writing = asyncio.create_task(wire.call("POST", path, welcome["token"], json={"role": "observe"}))
    await peer.until(is_note("degraded"))
    assert await say(peer, 2) == "store_unavailable"
    disk.is_full = False
    await peer.until(is_note("restored"))
    assert (await writing)[0] == 201
    GATES[welcome["sid"]].set()
    assert (await peer.res(2))["ok"]
    assert await say(peer, 3) == "done"
    assert said(peer) == ["2", "3"]


async def test_nobody_is_told_what_a_crash_would_undo(serving: Any) -> None:
    """M2, L2: a look waits for what it tells; a list, and a welcome, tell what is durable."""
    journal = MemoryJournal()
    wire: Wire = await serving(journal)
    _, welcome = await wire.create()
    path = f"/v1/sessions/{welcome['sid']}"
    session = await wire.parts.manager.find(welcome["sid"])
    assert session is not None
    journal.hold()
    before = session.log.seq
    ending = asyncio.create_task(wire.call("DELETE", path, KEY))
    while session.log.seq == before:
        _, listed = await wire.call("GET", "/v1/sessions", KEY)
    look = asyncio.create_task(wire.call("GET", path, KEY))
    _, listed = await wire.call("GET", "/v1/sessions", KEY)
    (one,) = listed["sessions"]
    assert (one["state"], one["head"]) == ("active", session.log.head)
    assert not look.done()
    journal.release()
    _, told = await look
    await ending
    _, page = await wire.call("GET", f"{path}/log", KEY)
    moves = {event["seq"]: event["data"]["to"] for event in page["events"] if event["kind"] == "session.state"}
    assert told["state"] == told["actors"][0]["state"] == moves[max(n for n in moves if n <= told["head"])]
    assert session.told_state == session.state == "terminated"


async def test_a_full_disk_takes_no_sessions_and_says_when_to_come_again(serving: Any) -> None:
    """C5: not ready, 4104 and 503 with a time; who has a session still gets to it, and is told."""
    disk = Disk()
    wire: Wire = await serving(disk)
    token = new_token()
    peer, welcome = await wire.create(token)
    disk.is_full = True
    await peer.cmd(1, "say", args={"text": "one"})
    await peer.until(is_note("degraded"))
    status, problem = await wire.call("GET", "/readyz")
    assert (status, problem["code"], problem["retry_ms"]) == (503, "store_unavailable", 1000)
    status, problem = await wire.call("POST", "/v1/sessions", KEY, json={"team": "wire"})
    assert (status, problem["code"], problem["retry_ms"]) == (503, "store_unavailable", 1000)
    stranger = await wire.dial()
    await stranger.hello(new_token(), create={"team": "wire"}, auth=KEY)
    assert await stranger.closed() == 4104
    assert stranger.errors[0]["retry_ms"] == 1000
    again = await wire.dial()
    assert (await again.hello(token, n=2, cid="c2"))["sid"] == welcome["sid"]
    await again.until(is_note("degraded"))
    disk.is_full = False
    await again.until(is_note("restored"))
    assert (await wire.call("GET", "/readyz"))[0] == 200
    assert wire.parts.manager.live == 1


async def test_a_client_cannot_tell_that_its_session_left_memory(wire: Wire) -> None:
    """L1, L8: a hello wakes it, the log goes on with the next number, and lists have shown it all the time."""
    token = new_token()
    peer, welcome = await wire.create(token)
    await peer.cmd(1, "say", args={"text": "one"})
    await peer.res(1)
    await peer.socket.close()
    sid = welcome["sid"]
    await wire.wait_state(sid, "reconnecting")
    manager = wire.parts.manager
    await manager.sessions()[0].log.landed()
    manager._rest.leave(sid)
    assert (manager.sessions(), manager.live) == ([], 1)
    _, listed = await wire.call("GET", "/v1/sessions", KEY)
    assert [(one["sid"], one["state"], one["is_ended"]) for one in listed["sessions"]] == [(sid, "reconnecting", False)]
    again = await wire.dial()
    back = await again.hello(token, n=2, cur={"epoch": welcome["epoch"], "seq": peer.events[-1]["seq"]})
    assert (back["sid"], back["resumed"]) == (sid, True)
    await again.cmd(2, "say", args={"text": "two"})
    assert (await again.res(2))["ok"]
    seqs = [event["seq"] for event in peer.events + again.events]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(manager.sessions()) == 1


class Rotten(MemoryJournal):
    """Its updates are not as they were written."""

    async def updates(self, sid: str, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        raise Corrupt(sid, "update 1 is not as it was written")


async def test_who_reads_what_is_damaged_is_told_so_and_does_not_dial_for_ever(
    serving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """L4, rule 15: time does not mend it, so the close says stop, with a reference to the log line that names it."""
    wire: Wire = await serving(Rotten())
    token = new_token()
    peer, welcome = await wire.create(token)
    await peer.socket.close()
    await wire.wait_state(welcome["sid"], "reconnecting")
    manager = wire.parts.manager
    await manager.sessions()[0].log.landed()
    manager._rest.leave(welcome["sid"])  # so that nothing of its log is in memory
    again = await wire.dial()
    await again.hello(token, n=2)
    assert await again.closed() == 4502
    told = again.errors[0]
    assert (told["code"], told.get("retry_ms")) == (4502, None)
    lines = [line for line in caplog.records if getattr(line, "ref", "-") in told["msg"]]
    assert ["update 1 is not as it was written" in line.getMessage() for line in lines] == [True]
    assert "update 1" not in told["msg"]
