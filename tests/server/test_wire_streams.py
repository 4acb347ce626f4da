"""Text that is being written, as connections see it: whoever comes late or reads slowly has the same text (rule 10)."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.records import Update
from engine.session import Session
from tests.server.conftest import Peer, Wire


async def session_of(wire: Wire, sid: str) -> Session:
    session = await wire.parts.manager.find(sid)
    assert session is not None
    return session


def chunk(msg: str, at: int, text: str) -> dict[str, Any]:
    return {"agent": "a", "msg": msg, "at": at, "text": text}


async def heard(peer: Peer, msg: str, text: str, so_far: str = "") -> list[dict[str, Any]]:
    """The chunks of msg until, put together, they are text."""
    found = []
    while so_far != text:
        note = await peer.until(lambda frame: frame["t"] == "note" and frame["data"]["msg"] == msg)
        so_far = so_far[: note["data"]["at"]] + note["data"]["text"]
        found.append(note["data"])
    return found


async def test_who_attaches_gets_the_text_so_far_from_the_start(wire: Wire) -> None:
    first, welcome = await wire.create()
    session = await session_of(wire, welcome["sid"])
    session.log.note("agent.chunk", chunk("m1", 0, "Good "))
    session.log.note("agent.chunk", chunk("m1", 5, "morn"))
    await heard(first, "m1", "Good morn")
    late = await wire.dial()
    await late.hello(welcome["token"], cid="c2")
    (all_of_it,) = await heard(late, "m1", "Good morn")
    assert all_of_it == chunk("m1", 0, "Good morn")
    session.log.note("agent.chunk", chunk("m1", 9, "ing"))
    assert (await heard_more(late, "m1"))["at"] == 9
    assert (await heard_more(first, "m1"))["text"] == "ing"


async def heard_more(peer: Peer, msg: str) -> dict[str, Any]:
    note = await peer.until(lambda frame: frame["t"] == "note" and frame["data"]["msg"] == msg)
    data: dict[str, Any] = note["data"]
    return data


async def test_the_text_so_far_comes_after_what_is_in_the_log(wire: Wire) -> None:
    """Otherwise a page would show an answer before its question."""
    first, welcome = await wire.create()
    await first.cmd(1, "say", args={"text": "hello"})
    await first.res(1)
    session = await session_of(wire, welcome["sid"])
    session.log.note("agent.chunk", chunk("m1", 0, "Well"))
    late = await wire.dial()
    again = await late.hello(welcome["token"], cid="c2")
    await heard(late, "m1", "Well")
    assert [frame["seq"] for frame in late.events] == list(range(1, again["head"] + 1))


async def test_a_finished_message_is_not_streamed_again(wire: Wire) -> None:
    """Its end is the durable message; who attaches then gets nothing but that."""
    _, welcome = await wire.create()
    session = await session_of(wire, welcome["sid"])
    assert session.root is not None
    session.log.note("agent.chunk", chunk("m1", 0, "Well"))
    session.log.note("agent.chunk", chunk("m2", 0, "Other"))

    session.tell(session.root, updates=[Update("agent.message", {"agent": "a", "msg": "m1", "text": "Well."}, None)])
    late = await wire.dial()
    await late.hello(welcome["token"], cid="c2")
    await heard(late, "m2", "Other")
    assert [frame["data"]["msg"] for frame in late.frames if frame["t"] == "note"] == ["m2"]


async def test_a_rewound_message_is_told_from_where_it_changed(wire: Wire) -> None:
    first, welcome = await wire.create()
    session = await session_of(wire, welcome["sid"])
    session.log.note("agent.chunk", chunk("m1", 0, "Good morning"))
    await heard(first, "m1", "Good morning")
    session.log.note("agent.chunk", chunk("m1", 5, "night"))
    await heard(first, "m1", "Good night", "Good morning")
    session.log.note("agent.chunk", chunk("m1", 0, ""))
    assert await heard_more(first, "m1") == chunk("m1", 0, "")


async def test_a_slow_reader_costs_no_memory_and_misses_no_word(wire: Wire) -> None:
    """L11: ten thousand chunks while it reads nothing are a few frames when it does."""
    peer, welcome = await wire.create()
    session = await session_of(wire, welcome["sid"])
    text = ""
    for number in range(10_000):
        piece = f"{number} "
        if len(text) + len(piece) > 30_000:
            break
        session.log.note("agent.chunk", chunk("m1", len(text), piece))
        text += piece
    chunks = await heard(peer, "m1", text)
    assert len(chunks) < 20


async def test_streams_of_sessions_do_not_meet(wire: Wire) -> None:
    """C7."""
    peers = [await wire.create() for _ in range(3)]
    for number, (_, welcome) in enumerate(peers):
        session = await session_of(wire, welcome["sid"])
        session.log.note("agent.chunk", chunk("same", 0, f"text {number}"))
    await asyncio.gather(*(heard(peer, "same", f"text {n}") for n, (peer, _) in enumerate(peers)))
    for number, (peer, _) in enumerate(peers):
        notes = [frame["data"]["text"] for frame in peer.frames if frame["t"] == "note"]
        assert notes == [f"text {number}"]
