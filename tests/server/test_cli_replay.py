"""`steward replay` and `log`, from a running server and from what one has left."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.journal.sqlite import SqliteJournal
from server.app import stop
from server.cli import steward
from tests.server.conftest import KEY, Wire
from tests.server.test_cli_sessions import run


async def lived(wire: Wire) -> str:
    """A session that somebody talked to, and that has ended."""
    peer, welcome = await wire.create()
    await peer.cmd(1, "say", args={"text": "hello"})
    await peer.res(1)
    await peer.cmd(2, "terminate")
    await peer.until(lambda frame: frame.get("kind") == "session.ended")
    return str(welcome["sid"])


async def offline(data: Path, *args: str) -> Result:
    words = [*args, "--data", str(data)]
    return await asyncio.to_thread(CliRunner().invoke, steward, words, prog_name="steward")


async def test_a_life_is_shown_again_and_how_it_stood(wire: Wire) -> None:
    """M8: every event as clients saw it, in order; then the states they amount to."""
    sid = await lived(wire)
    done = await run(wire, "replay", sid)
    assert done.exit_code == 0, done.output
    events = json.loads((await run(wire, "replay", sid, "--json")).output)
    assert f"after event {events['seq']}:" in done.output
    assert "initializing -> active" in done.output
    assert "the session has ended" in done.output


async def test_it_stops_where_it_is_told_to(wire: Wire) -> None:
    """The states are those of that moment, not of the end."""
    sid = await lived(wire)
    log = [json.loads(line) for line in (await run(wire, "log", sid, "--json")).output.splitlines()]
    moves = [event for event in log if event["kind"] == "session.state"]
    for move in moves:
        stood = json.loads((await run(wire, "replay", sid, "--to", str(move["seq"]), "--json")).output)
        assert (stood["seq"], stood["state"]) == (move["seq"], move["data"]["to"])


async def test_a_number_that_is_not_there_yet_is_said(wire: Wire) -> None:
    sid = await lived(wire)
    done = await run(wire, "replay", sid, "--to", "99999")
    assert (done.exit_code, "there is no 99999" in done.output) == (0, True)
    assert (await run(wire, "replay", sid, "--speed", "nan")).exit_code == 2


async def test_pauses_are_those_of_the_life_divided_by_the_speed(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most PAUSE_MAX_S each: nobody watches a night go by."""
    sid = await lived(wire)
    pauses: list[float] = []
    monkeypatch.setattr("server.cli_replay.time.sleep", pauses.append)
    await run(wire, "replay", sid)
    assert pauses == []
    await run(wire, "replay", sid, "--speed", "0.5")
    log = [json.loads(line) for line in (await run(wire, "log", sid, "--json")).output.splitlines()]
    between = [b["ts"] - a["ts"] for a, b in itertools.pairwise(log)]
    assert pauses == [pytest.approx(min(5.0, one / 0.5)) for one in between]


async def test_without_a_server_the_data_directory_is_read(serving: Any, tmp_path: Path) -> None:
    """After a stop, and after a kill that left the server's address behind."""
    wire: Wire = await serving(journal=SqliteJournal(tmp_path / "log.sqlite"))
    sid = await lived(wire)
    before = (await run(wire, "log", sid, "--json")).output
    await stop(wire.runner)
    for address in (None, json.dumps({"url": wire.url, "pid": 2**22 + 1})):
        if address is not None:
            (tmp_path / "address").write_text(address)
        assert (await offline(tmp_path, "log", sid, "--json")).output == before
        assert "the session has ended" in (await offline(tmp_path, "replay", sid)).output
    missing = await offline(tmp_path, "replay", "s.none")
    assert (missing.exit_code, "there is no session s.none" in missing.output) == (1, True)


async def test_a_number_before_the_first_event_is_said(wire: Wire) -> None:
    sid = await lived(wire)
    done = await run(wire, "replay", sid, "--to", "0")
    assert (done.exit_code, "no event up to 0" in done.output) == (1, True)
    assert KEY not in done.output


async def test_a_life_whose_beginning_is_gone_begins_where_it_is_kept(serving: Any, tmp_path: Path) -> None:
    """L4: it is said what is missing, and how everything stood after it counts; from a server and from its files."""
    wire: Wire = await serving(journal=SqliteJournal(tmp_path / "log.sqlite"), kept_events_max=100)
    peer, welcome = await wire.create()
    for c in range(1, 141):
        await peer.cmd(c, "say", args={"text": f"t{c}"})
        await peer.res(c)
    sid = welcome["sid"]
    session = await wire.parts.manager.find(sid)
    assert session is not None
    trimmed = session.log.trimmed
    told = f"steward: events up to {trimmed} are not kept any more\n"
    served = await run(wire, "replay", sid, "--json")
    log = await run(wire, "log", sid, "--json")
    early = await run(wire, "replay", sid, "--to", str(trimmed - 1))
    assert f"has no event up to {trimmed - 1}" in early.stderr
    await stop(wire.runner)
    assert (served.stderr, log.stderr) == (told, told)
    assert json.loads(log.stdout.splitlines()[0])["seq"] == trimmed + 1
    stood = json.loads(served.stdout)
    assert [one["data"]["text"] for one in stood["messages"]] == [f"t{c}" for c in range(1, 141)]
    assert stood["state"] == "active"
    left = await offline(tmp_path, "replay", sid, "--json", "--to", str(stood["seq"]))
    assert (left.stderr, json.loads(left.stdout)) == (told, stood)


async def test_what_was_said_is_no_order_to_the_terminal(wire: Wire) -> None:
    """Nor does it begin a line among those of the log."""
    peer, welcome = await wire.create()
    await peer.cmd(1, "say", args={"text": "\x1b]0;owned\x07\n    0.001 s     9 agent.message: \x9b2J"})
    await peer.res(1)
    shown = (await run(wire, "replay", welcome["sid"])).output
    assert r"\x1b]0;owned\x07\n" in shown
    assert shown.replace("\n", "").isprintable()
