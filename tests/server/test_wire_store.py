"""What clients see of a disk that is full for a while: nobody is cut, nothing is lost, and everybody is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from engine.errors import Corrupt
from engine.journal.memory import MemoryJournal
from engine.testing.away import Disk
from tests.server.conftest import KEY, Wire, new_token


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
