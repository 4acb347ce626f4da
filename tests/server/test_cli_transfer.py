"""`steward export`, `import`, `fork` and `log --follow`, against servers that run and what one has left."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.journal.sqlite import SqliteJournal
from engine.log.parcel import unpack
from server.app import stop
from server.following import Message, follow, messages
from server.lives import followed
from server.remote import RemoteError
from server.sse import EventStream
from tests.server.conftest import ANSWER_S, KEY, Peer, Wire, new_token
from tests.server.test_cli_replay import lived, offline
from tests.server.test_cli_sessions import run


async def logged(wire: Wire, sid: str) -> list[str]:
    return (await run(wire, "log", sid, "--json")).output.splitlines()


async def test_a_session_is_taken_from_one_server_to_another(serving: Any, tmp_path: Path) -> None:
    """L1: the log there begins with the log here; its token opens it. The file is its owner's alone."""
    here: Wire = await serving()
    there: Wire = await serving()
    token = new_token()
    peer, welcome = await here.create(token)
    await peer.cmd(1, "say", args={"text": "hello"})
    await peer.res(1)
    sid, file = welcome["sid"], tmp_path / "one.jsonl"
    done = await run(here, "export", sid, "-o", str(file))
    assert (done.exit_code, stat.S_IMODE(file.stat().st_mode)) == (0, 0o600), done.output
    done = await run(there, "import", str(file))
    assert (done.exit_code, done.output.startswith(f"{sid} is here, in ")) == (0, True), done.output
    told = await logged(here, sid)
    assert (await logged(there, sid))[: len(told)] == told
    assert (await (await there.dial()).hello(token, n=2))["sid"] == sid
    again = await run(there, "import", str(file))
    assert (again.exit_code, "already" in again.output) == (1, True)
    assert KEY not in again.output


async def test_standard_output_gets_the_file_itself(wire: Wire) -> None:
    sid = await lived(wire)
    done = await run(wire, "export", sid)
    assert unpack(done.stdout_bytes).row.sid == sid
    missing = await run(wire, "export", "s.nobody")
    assert (missing.exit_code, "no such session" in missing.output) == (1, True)


async def test_without_a_server_the_data_directory_is_exported(serving: Any, tmp_path: Path) -> None:
    """The same file, after a stop."""
    wire: Wire = await serving(journal=SqliteJournal(tmp_path / "log.sqlite"))
    sid = await lived(wire)
    before = unpack((await run(wire, "export", sid)).stdout_bytes)
    await stop(wire.runner)
    assert unpack((await offline(tmp_path, "export", sid)).stdout_bytes) == before


async def test_a_file_that_is_none_is_refused_with_its_line(wire: Wire, tmp_path: Path) -> None:
    """Before anything is sent."""
    sid = await lived(wire)
    text = (await run(wire, "export", sid)).stdout_bytes
    file = tmp_path / "torn.jsonl"
    for torn in (text[:-100], text[: len(text) // 3], b"", b"{}\n", text.replace(b"hello", b"hallo")):
        file.write_bytes(torn)
        done = await run(wire, "import", str(file))
        assert (done.exit_code, re.search(r"torn\.jsonl: line \d+: ", done.output) is not None) == (2, True)
    assert (await run(wire, "import", str(tmp_path / "none"))).exit_code == 2


async def test_a_fork_prints_its_name_and_token(wire: Wire) -> None:
    """Its states are those that replay shows of the other at that number."""
    sid = await lived(wire)
    at = next(e["seq"] for e in map(json.loads, await logged(wire, sid)) if e["kind"] == "agent.message")
    done = await run(wire, "fork", sid, "--at", str(at))
    name, token = done.stdout.split()
    stood = json.loads((await run(wire, "replay", sid, "--to", str(at), "--json")).output)
    mine = json.loads((await run(wire, "replay", name, "--to", str(at), "--json")).output)
    assert mine == stood
    welcome = await (await wire.dial()).hello(token)
    assert (welcome["t"], welcome["sid"]) == ("welcome", name)
    over = await run(wire, "fork", sid)
    assert (over.exit_code, "fork it at" in over.output) == (1, True)


async def say(peer: Peer, first: int, last: int) -> None:
    for c in range(first, last + 1):
        await peer.cmd(c, "say", args={"text": f"number {c}"})
        await peer.res(c)


async def test_a_log_is_followed_over_cut_connections_to_its_end(wire: Wire) -> None:
    """L3: each event once and in order, whatever becomes of the connections; then it is over."""
    peer, welcome = await wire.create()
    seen: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    said: list[str] = []

    def read() -> None:
        for event in follow(lambda: (wire.url, KEY), welcome["sid"], 0, said.append, pause=lambda _: None):
            loop.call_soon_threadsafe(seen.put_nowait, event)

    reading = asyncio.ensure_future(asyncio.to_thread(read))
    events: list[dict[str, Any]] = []
    for n in range(1, 4):
        await say(peer, n, n)
        while not events or events[-1]["data"].get("number") != n:
            async with asyncio.timeout(10):
                events.append(await seen.get())
        for stream in [one for one in wire.parts.pool.connections if isinstance(one, EventStream)]:
            assert stream._transport is not None
            stream._transport.abort()
    await peer.cmd(4, "terminate")
    async with asyncio.timeout(10):
        await reading
    while not seen.empty():
        events.append(seen.get_nowait())
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["kind"] == "session.ended"
    assert [json.dumps(event) for event in events] == await logged(wire, welcome["sid"])


async def test_following_what_has_ended_shows_it_and_is_over(wire: Wire) -> None:
    sid = await lived(wire)
    done = await run(wire, "log", sid, "--follow", "--json")
    assert (done.exit_code, done.output.splitlines()) == (0, await logged(wire, sid))
    last = len(await logged(wire, sid))
    assert (await run(wire, "log", sid, "--follow", "--after", str(last))).output == ""
    missing = await run(wire, "log", "s.nobody", "--follow")
    assert missing.exit_code == 1


def test_a_server_that_stays_away_is_given_up() -> None:
    """Every retry has a bound; one that never answered is told at once."""
    with pytest.raises(RemoteError, match="no answer"):
        next(
            follow(
                lambda: ("http://127.0.0.1:9", KEY), "s.x", 0, lambda _: None, pause=lambda _: pytest.fail("it waited")
            )
        )


async def test_a_server_that_went_away_is_given_up_in_time(wire: Wire) -> None:
    peer, welcome = await wire.create()
    clock = iter(range(0, 10_000, 100))
    said: list[str] = []
    pauses: list[float] = []
    events = follow(lambda: (wire.url, KEY), welcome["sid"], 0, said.append, pauses.append, lambda: float(next(clock)))
    await asyncio.to_thread(next, events)
    await stop(wire.runner)
    with pytest.raises(RemoteError, match="no answer"):
        await asyncio.to_thread(list, events)
    assert said
    assert 0 < len(pauses) < 10
    assert peer is not None


async def test_following_begins_with_what_is_stored_while_no_server_runs(
    serving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a plain `log` does, after a stop and after a kill; then the next server is waited for, wherever it listens."""
    monkeypatch.setattr("server.following.PAUSE_S", 0.05)
    wire: Wire = await serving(journal=SqliteJournal(tmp_path / "log.sqlite"), data=tmp_path)
    peer, welcome = await wire.create()
    await say(peer, 1, 2)
    told = await logged(wire, welcome["sid"])
    await stop(wire.runner)
    (tmp_path / "address").write_text(json.dumps({"url": wire.url, "pid": 2**22 + 1}))
    seen: list[str] = []
    waits = asyncio.Event()
    loop = asyncio.get_running_loop()

    def say_so(text: str) -> None:
        loop.call_soon_threadsafe(waits.set)

    def read() -> None:
        where: dict[str, Any] = {"url": None, "data": tmp_path, "key": KEY, "config": None, "after": 0}
        seen.extend(json.dumps(event) for event in followed(welcome["sid"], say=say_so, gone=pytest.fail, **where))

    reading = asyncio.create_task(asyncio.to_thread(read))
    await waits.wait()
    assert seen == told
    again: Wire = await serving(journal=SqliteJournal(tmp_path / "log.sqlite"), data=tmp_path)
    (tmp_path / "address").write_text(json.dumps({"url": again.url, "pid": os.getpid()}))
    await again.call("DELETE", f"/v1/sessions/{welcome['sid']}", KEY)
    async with asyncio.timeout(ANSWER_S):
        await reading
    assert seen == await logged(again, welcome["sid"])


def test_an_event_that_breaks_off_is_none() -> None:
    """Comments are none either; an event that is whole counts even if the next one is not."""
    text = b': hello\n\nid: e:1\ndata: {"a":1}\n\nevent: snap\nid: e:2\ndata: {}\n\nid: e:3\ndata: {"b"'
    assert list(messages(text.splitlines(keepends=True))) == [Message(b'{"a":1}', "e:1"), Message(b"{}", "e:2", "snap")]


async def test_a_file_that_cannot_be_written_is_said(wire: Wire, tmp_path: Path) -> None:
    sid = await lived(wire)
    done = await run(wire, "export", sid, "-o", str(tmp_path / "none" / "x.jsonl"))
    assert (done.exit_code, "cannot be written" in done.output) == (2, True)
    assert os.listdir(tmp_path) == [] or not list(tmp_path.glob("x.jsonl*"))
