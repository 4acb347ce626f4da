"""Sessions taken out as one file, brought in elsewhere, and forked, with real servers and files."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.codec import decode
from engine.journal.base import Journal
from engine.journal.memory import MemoryJournal
from engine.journal.sqlite import SqliteJournal
from engine.log.parcel import Parcel, ParcelError, pack, unpack
from engine.log.transfer import read_parcel
from engine.log.view import View
from server.app import stop
from server.transfers import AT_ONCE_MAX
from tests.server.conftest import KEY, Peer, Wire, new_token

NDJSON = {"Content-Type": "application/x-ndjson"}
BYTES = 2**20


async def export(wire: Wire, sid: str) -> bytes:
    async with wire.http.get(
        f"{wire.url}/v1/sessions/{sid}/export", headers={"Authorization": f"Bearer {KEY}"}
    ) as answer:
        assert (answer.status, answer.content_type) == (200, NDJSON["Content-Type"])
        return await answer.read()


async def bring(wire: Wire, text: bytes, key: str | None = KEY) -> tuple[int, Any]:
    return await wire.call("POST", "/v1/sessions/import", key, data=text, headers=NDJSON)


async def fork(wire: Wire, sid: str, seq: int | None = None) -> tuple[int, Any]:
    body = {} if seq is None else {"seq": seq}
    return await wire.call("POST", f"/v1/sessions/{sid}/fork", KEY, json=body)


async def updates(wire: Wire, sid: str) -> list[bytes]:
    session = await wire.parts.manager.find(sid)
    assert session is not None
    return [text for _, text in await session.log.read(session.log.trimmed, 10_000)]


async def two(serving: Any, tmp_path: Path) -> tuple[Wire, Wire]:
    """Two servers, each with a file of its own."""
    wires = []
    for name in ("here", "there"):
        data = tmp_path / name
        data.mkdir(mode=0o700)
        wires.append(await serving(journal=SqliteJournal(data / "log.sqlite"), data=data))
    return wires[0], wires[1]


async def say(peer: Peer, first: int, last: int) -> None:
    for c in range(first, last + 1):
        await peer.cmd(c, "say", args={"text": f"number {c} \u2713"})
        assert (await peer.res(c))["ok"]


def standing(texts: list[bytes]) -> dict[str, Any]:
    view = View()
    for text in texts:
        view.apply(text)
    return view.shown(BYTES)


async def test_a_live_session_goes_on_elsewhere_where_it_was(serving: Any, tmp_path: Path) -> None:
    """L1, L4, L5: the same numbers and bytes, the same tokens and commands; but what it came from lives on and goes its
    own way, so a cursor of the one is none of the other, and a snapshot says so."""
    here, there = await two(serving, tmp_path)
    token = new_token()
    peer, welcome = await here.create(token)
    sid = welcome["sid"]
    await say(peer, 1, 3)
    await say(peer, 4, 5)
    text = await export(here, sid)
    status, found = await bring(there, text)
    assert (status, found["sid"]) == (201, sid)
    assert found["epoch"] != welcome["epoch"]
    told = await updates(here, sid)
    assert (await updates(there, sid))[: len(told)] == told
    moved = await there.dial()
    again = await moved.hello(token, n=2, cur={"epoch": welcome["epoch"], "seq": peer.events[-1]["seq"]})
    assert (again["t"], again["resumed"]) == ("welcome", False)
    snap = await moved.next()
    assert snap["t"] == "snap"
    await say(moved, 4, 4)
    assert moved.frames[-1].get("dup") is True
    await say(moved, 6, 6)
    seqs = [event["seq"] for event in moved.events]
    assert seqs == list(range(snap["seq"] + 1, seqs[-1] + 1))
    numbers = [event["data"]["number"] for event in moved.events if event["kind"] == "agent.message"]
    assert numbers == [6]
    # Where it came from it lives on as if nothing had been.
    await say(peer, 6, 6)


async def test_what_was_brought_in_is_there_after_a_restart(serving: Any, tmp_path: Path) -> None:
    """C3, C5: it is stored like one that was made there, and is exported the same again."""
    here, there = await two(serving, tmp_path)
    peer, welcome = await here.create()
    await say(peer, 1, 2)
    await bring(there, await export(here, welcome["sid"]))
    counts = there.parts.manager.counts()
    assert (counts["created"], counts["live"]) == (1, 1)
    await stop(there.runner)
    back = await serving(journal=SqliteJournal(tmp_path / "there" / "log.sqlite"), data=tmp_path / "there")
    told = await updates(here, welcome["sid"])
    assert (await updates(back, welcome["sid"]))[: len(told)] == told
    assert back.parts.manager.counts()["live"] == 1
    twice = unpack(await export(back, welcome["sid"]))
    assert list(twice.updates[: len(told)]) == told


async def test_an_ended_session_is_brought_in_to_be_read(serving: Any, tmp_path: Path) -> None:
    """L9: its end reaches whoever has its token there too; it takes no place among the live."""
    here, there = await two(serving, tmp_path)
    token = new_token()
    peer, welcome = await here.create(token)
    await peer.cmd(1, "terminate")
    await peer.until(lambda frame: frame.get("kind") == "session.ended")
    status, found = await bring(there, await export(here, welcome["sid"]))
    assert (status, found["is_ended"], there.parts.manager.live) == (201, True, 0)
    assert await updates(there, welcome["sid"]) == await updates(here, welcome["sid"])
    reader = await there.dial()
    await reader.hello(token, n=2)
    await reader.until(lambda frame: frame.get("kind") == "session.ended")


async def test_whoever_is_here_already_is_not_brought_in(serving: Any, tmp_path: Path) -> None:
    """L6: two of one name would be two writers. Nothing is left of the refused one."""
    here, there = await two(serving, tmp_path)
    peer, welcome = await here.create()
    text = await export(here, welcome["sid"])
    assert (await bring(here, text))[1]["code"] == "exists"
    results = await asyncio.gather(*(bring(there, text) for _ in range(3)))
    assert sorted(status for status, _ in results) == [201, 409, 409]
    assert there.parts.manager.live == 1
    await say(peer, 1, 1)


async def test_limits_count_what_is_brought_in_and_forked(serving: Any, tmp_path: Path) -> None:
    """C6: six sessions of a user, however they came to be; a refused one takes nothing."""
    here, there = await two(serving, tmp_path)
    _, welcome = await here.create()
    text = await export(here, welcome["sid"])
    for _ in range(5):
        assert (await fork(here, welcome["sid"]))[0] == 201
    status, told = await fork(here, welcome["sid"])
    assert (status, told["code"]) == (503, "full")
    assert here.parts.manager.live == 6
    for _ in range(6):
        await there.create()
    assert (await bring(there, text))[1]["code"] == "full"
    assert there.parts.manager.live == 6
    assert await there.parts.manager.find(welcome["sid"]) is None


async def life(wire: Wire) -> tuple[str, Peer]:
    """A session that was active, talked, was left, came back, and ended."""
    token = new_token()
    peer, welcome = await wire.create(token)
    await say(peer, 1, 2)
    await peer.socket.close()
    await wire.wait_state(welcome["sid"], "reconnecting")
    peer = await wire.dial()
    await peer.hello(token, n=2, cid="c2")
    await peer.state("active")
    await peer.state("active")
    await say(peer, 1, 1)
    await peer.cmd(2, "terminate")
    await peer.until(lambda frame: frame.get("kind") == "session.ended")
    return str(welcome["sid"]), peer


async def test_a_fork_at_every_number_of_a_life(wire: Wire) -> None:
    """L3, M8: its past is the other's, byte for byte, and its states are those that replay shows; then it lives on
    by itself. Where the other had ended there is nothing to go on with."""
    sid, _ = await life(wire)
    told = await updates(wire, sid)
    ending = next(n for n, text in enumerate(told, 1) if decode(text)["data"].get("to") == "terminating")
    for seq in range(len(told) + 1):
        status, forked = await fork(wire, sid, seq)
        if seq == len(told):
            assert (status, forked["code"]) == (409, "ended")
            assert f"fork it at {ending - 1} or below" in forked["detail"]
            continue
        # Within a commit there is nothing to go on from: it is the number before it.
        at = forked["seq"]
        assert (status, at) == (201, min(seq, len(told) - 2))
        mine = await updates(wire, forked["sid"])
        assert mine[:at] == told[:at]
        session = await wire.parts.manager.find(forked["sid"])
        assert session is not None
        records = await wire.parts.manager._journal.records(forked["sid"], 0, 1)
        image = decode(records[0])["image"]
        if at:
            assert image["actors"][0]["state"] == standing(told[:at])["state"]
        assert forked["epoch"] not in {one.epoch for one in wire.parts.manager.sessions() if one is not session}
        if seq == ending - 1:
            peer = await wire.dial()
            welcome = await peer.hello(forked["token"], cid="mine", cur={"epoch": "0" * 12, "seq": 3})
            assert welcome["resumed"] is False
            await say(peer, 1, 1)
            said = [json.loads(text) for text in await updates(wire, forked["sid"])]
            assert [one["data"]["number"] for one in said if one["kind"] == "agent.message"] == [1, 2, 3, 4]
        await wire.call("DELETE", f"/v1/sessions/{forked['sid']}", forked["token"])
    assert await updates(wire, sid) == told


async def test_a_number_that_is_not_there_is_said(wire: Wire) -> None:
    _, welcome = await wire.create()
    status, told = await fork(wire, welcome["sid"], 1000)
    assert (status, "there is no event 1000 yet" in told["detail"]) == (422, True)
    assert (await fork(wire, "s.nobody"))[0] == 404


async def test_only_administrators_copy_sessions(wire: Wire) -> None:
    """A token is the right to one session; a file has all of it, and the hashes of all its tokens."""
    token = new_token()
    _, welcome = await wire.create(token)
    text = await export(wire, welcome["sid"])
    for secret, told in ((None, 401), (token, 403), (new_token(), 401)):
        one = f"/v1/sessions/{welcome['sid']}"
        assert (await wire.call("GET", "/v1/sessions", secret))[0] == told
        assert (await wire.call("GET", f"{one}/export", secret))[0] == told
        assert (await wire.call("POST", f"{one}/fork", secret, json={}))[0] == told
        assert (await bring(wire, text, secret))[0] == told


async def test_a_copy_takes_its_place_until_it_is_over(serving: Any) -> None:
    """L11: whoever waits no longer has left a log in memory; with a store that stalls there would be any number."""
    journal = MemoryJournal()
    wire = await serving(journal=journal, answer_s=0.2)
    _, welcome = await wire.create()
    path = f"/v1/sessions/{welcome['sid']}/export"
    journal.hold()
    given_up = await asyncio.gather(*(wire.call("GET", path, KEY) for _ in range(AT_ONCE_MAX)))
    assert {told["code"] for _, told in given_up} == {"store_unavailable"}
    assert (await wire.call("GET", path, KEY))[1]["code"] == "overloaded"
    journal.release()
    async with asyncio.timeout(5):
        while wire.parts.transfers._taken:
            await journal.session(welcome["sid"])  # which waits for those before it
    async with wire.http.get(f"{wire.url}{path}", headers={"Authorization": f"Bearer {KEY}"}) as answer:
        assert "overloaded" not in await answer.text()


async def test_each_post_takes_its_own_type(wire: Wire) -> None:
    """A form that a page of another server sends without asking is neither of them."""
    for path, kind in (("/v1/sessions/import", "application/json"), ("/v1/sessions/s.x/fork", "application/x-ndjson")):
        status, told = await wire.call("POST", path, KEY, data=b"{}", headers={"Content-Type": kind})
        assert (status, "Content-Type: application/" in told["title"]) == (415, True)


async def parcel_of(wire: Wire) -> tuple[Parcel, bytes]:
    peer, welcome = await wire.create()
    await say(peer, 1, 2)
    text = await export(wire, welcome["sid"])
    return unpack(text), text


def sealed(lines: list[bytes]) -> bytes:
    """Lines with a checksum that fits them."""
    body = b"".join(line + b"\n" for line in lines)
    return body + b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'


async def test_a_file_is_what_was_stored(wire: Wire) -> None:
    """L1: byte for byte, and packing what was unpacked gives the same file."""
    parcel, text = await parcel_of(wire)
    assert b"".join(pack(parcel)) == text
    assert list(parcel.updates) == (await updates(wire, parcel.row.sid))
    assert parcel.ends()[-1] == parcel.row.seq


async def test_a_torn_file_is_refused_wherever_it_is_torn(wire: Wire) -> None:
    """None passes for a shorter session: each is refused with the line in which it breaks off."""
    parcel, text = await parcel_of(wire)
    starts = [0, *itertools.accumulate(len(line) for line in text.splitlines(keepends=True))]
    cuts = {at + by for at in starts for by in (-1, 0, 1, 7)} & set(range(len(text)))
    for cut in cuts:
        with pytest.raises(ParcelError, match=r"line \d+: ") as told:
            unpack(text[:cut])
        assert abs(told.value.line - (text[:cut].count(b"\n") + 1)) <= 1
    status, told_there = await bring(wire, text[: len(text) // 2])
    assert (status, re.match(r"line \d+: ", told_there["detail"]) is not None) == (422, True)
    assert parcel.row.sid in {one.sid for one in wire.parts.manager.sessions()}


async def test_an_altered_file_is_refused_wherever_it_is_altered(wire: Wire) -> None:
    _, text = await parcel_of(wire)
    for at in range(0, len(text), 7):
        altered = text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
        with pytest.raises(ParcelError, match=r"line \d+: "):
            unpack(altered)
    with pytest.raises(ParcelError, match="follow each other"):
        unpack(text + b"{}\n")


async def test_a_foreign_file_is_refused_by_name(wire: Wire) -> None:
    """R4: another version, another release's record, another order, with checksums that fit."""
    parcel, text = await parcel_of(wire)
    head, *rest = text.splitlines()[:-1]
    first = len(parcel.records) + 2
    cases = {
        "line 1: .*no exported session": [b'{"t":"ev"}', *rest],
        "line 1: .*version 2": [head.replace(b'"version":1', b'"version":2'), *rest],
        "line 1: sid": [head.replace(b'"s.', b'"x.'), *rest],
        "line 1: it should have": [head.replace(b'"seq":', b'"seq":9'), *rest],
        "line 2: a record of version 9": [head, rest[0].replace(rb"{\"v\":1", rb"{\"v\":9"), *rest[1:]],
        "line 2: .*begins with": [head, *rest[1:]],
        rf"line {first}: update 1 is missing": [head, *rest[: first - 2], *rest[first - 1 :]],
        r"line 3: .*follow each other": [head, rest[-1], *rest],
        r"line \d+: this is no token": [head, *rest[:-1], rest[-1].replace(b'"control"', b'"owner"')],
        r"line 2: this is no JSON object": [head, b"[]", *rest],
    }
    for words, lines in cases.items():
        with pytest.raises(ParcelError, match=words):
            unpack(sealed(lines))
    with pytest.raises(ParcelError, match="line 1"):
        unpack(b"")


async def test_states_that_the_file_lost_are_refused(serving: Any, tmp_path: Path) -> None:
    """As at a start: named, and nothing is written."""
    here, there = await two(serving, tmp_path)
    peer, welcome = await here.create()
    await say(peer, 1, 1)
    parcel = unpack(await export(here, welcome["sid"]))
    changed = [text.replace(b'"to":"active"', b'"to":"lively"') for text in parcel.records]
    other = Parcel(parcel.row, tuple(changed), parcel.updates, parcel.tokens)
    status, told = await bring(there, b"".join(pack(other)))
    assert (status, told["code"]) == (409, "lost_states")
    assert "session.lively" in told["detail"]
    assert there.parts.manager.live == 0


async def test_a_log_is_read_whole_while_it_grows(wire: Wire) -> None:
    """L1: an export is the session at one moment, whatever it does meanwhile."""
    peer, welcome = await wire.create()
    journal: Journal = wire.parts.manager._journal
    for c in range(1, 21):
        await peer.cmd(c, "say", args={"text": "x"})
        parcel = await read_parcel(journal, welcome["sid"])
        assert parcel.row.seq == parcel.row.trimmed + len(parcel.updates)
        unpack(b"".join(pack(parcel)))
    await peer.res(20)
