"""server/client.py against the real server, which loses its connections."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.testing.away import Disk
from server.client import Client, FileCursors, Reply
from server.codes import Fault
from server.dialling import COMMANDS_UNANSWERED_MAX, Stopped
from tests.server.conftest import ANSWER_S, KEY, Wire, new_token
from tests.server.wire_handlers import GATES


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dialling again at once; the pauses are shown in test_play.py."""
    monkeypatch.setattr("server.dialling.BACKOFF_S_MAX", 0.0)


def client(wire: Wire, **options: Any) -> Client:
    return Client(wire.url, create={"team": "wire"}, auth=KEY, **options)


def cut(wire: Wire) -> None:
    """What a network does: no close, no word."""
    for connection in wire.parts.pool.connections:
        connection._transport.abort()


async def until_active(one: Client) -> list[int]:
    seen = []
    async for event in one:
        seen.append(event["seq"])
        if event["kind"] == "session.state" and event["data"]["to"] == "active":
            break
    return seen


async def test_a_life_by_events_and_replies(wire: Wire) -> None:
    """A loop over events, and commands that are answered: all that a program needs."""
    kinds = []
    async with asyncio.timeout(ANSWER_S), client(wire) as one:
        assert one.welcome["sid"].startswith("s.")
        async for event in one:
            kinds.append(event["kind"])
            if event["kind"] == "session.state" and event["data"]["to"] == "active":
                reply = await one.send("say", {"text": "hello"})
                assert reply == Reply(ok=True, seq=reply.seq)
                refused = await one.send("dance")
                assert (refused.ok, refused.code) == (False, "unknown_event")
                await one.send("terminate")
    assert kinds[-1] == "session.ended"


async def test_lost_connections_cost_nothing(wire: Wire) -> None:
    """L3, L5: cut under every command; each takes effect once and no event is missing or there twice."""
    async with asyncio.timeout(ANSWER_S), client(wire) as one:
        seen = await until_active(one)
        said = []
        for number in range(10):
            sending = asyncio.create_task(one.send("say", {"text": str(number)}))
            await asyncio.sleep(0)
            cut(wire)
            assert (await sending).ok
        await one.send("terminate")
        async for event in one:
            seen.append(event["seq"])
            if event["kind"] == "agent.message":
                said.append(event["data"]["text"])
    assert seen == list(range(1, len(seen) + 1))
    assert said == [str(number) for number in range(10)]


async def test_a_reply_comes_however_many_events_wait_before_it(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a reply may be the one who would read the events: it must not wait for itself."""
    monkeypatch.setattr("server.client.EVENTS_WAITING_MAX", 2)
    async with asyncio.timeout(ANSWER_S), client(wire) as one:
        await until_active(one)
        for number in range(20):
            assert (await one.send("say", {"text": str(number)})).ok
        await one.send("terminate")
        texts = [event["data"].get("text") async for event in one if event["kind"] == "agent.message"]
    assert texts == [str(number) for number in range(20)]


async def test_a_program_goes_on_where_it_stopped(wire: Wire, tmp_path: Path) -> None:
    """Its cursor is saved when it asks for the next event: what it was at when it died it gets again, no more."""
    cursors, token = FileCursors(tmp_path / "cursor.json"), new_token()
    async with asyncio.timeout(ANSWER_S):
        async with client(wire, token=token, cursors=cursors) as one:
            seen = await until_active(one)
            for text in ("a", "b"):
                await one.send("say", {"text": text})
            async for event in one:
                seen.append(event["seq"])
                if event["data"].get("text") == "b":
                    break
        assert cursors.load() == {"epoch": one.welcome["epoch"], "seq": seen[-1] - 1}
        async with Client(wire.url, token=token, cursors=cursors) as again:
            assert again.welcome["resumed"]
            await again.send("terminate")
            rest = [event["seq"] async for event in again]
    assert rest == list(range(seen[-1], rest[-1] + 1))


@pytest.mark.parametrize("text", ["", "[]", '{"epoch": 1, "seq": 1}', '{"seq": 1}'])
def test_a_file_that_holds_no_cursor_is_named(tmp_path: Path, text: str) -> None:
    """To read from the beginning in silence would do every effect again."""
    (tmp_path / "cursor.json").write_text(text)
    with pytest.raises(ValueError, match=r"cursor\.json|Expecting"):
        FileCursors(tmp_path / "cursor.json").load()


async def test_the_servers_last_word_reaches_everybody(wire: Wire) -> None:
    """Whoever reads, whoever waits for a reply, and whoever comes later."""
    with pytest.raises(Stopped, match="no valid token"):
        async with Client(wire.url, token=new_token()):
            pass
    async with asyncio.timeout(ANSWER_S), client(wire) as one:
        await until_active(one)
        wire.parts.pool.stop_all(Fault("no_valid_token"))
        with pytest.raises(Stopped, match="no valid token"):
            [event async for event in one]
        with pytest.raises(Stopped, match="not connected"):
            await one.send("say", {"text": "x"})


async def test_who_waits_for_a_reply_when_the_client_leaves_is_told(wire: Wire) -> None:
    """Nobody waits for ever."""
    async with asyncio.timeout(ANSWER_S), client(wire) as one:
        await until_active(one)
        cut(wire)
        waiting = asyncio.create_task(one.send("say", {"text": "x"}))
        await asyncio.sleep(0)
    with pytest.raises(Stopped, match="closed"):
        await waiting


async def test_an_observer_reads_and_may_not_command(wire: Wire) -> None:
    async with asyncio.timeout(ANSWER_S), client(wire) as one:
        await until_active(one)
        async with Client(wire.url, token=one.token, role="observe") as other:
            assert (await other.send("say", {"text": "x"})).code == "forbidden"
            await one.send("terminate")
            assert [event["seq"] async for event in other][:3] == [1, 2, 3]


async def test_a_store_that_is_away_costs_a_program_nothing_but_time(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands about which nothing was decided are sent again, the same, and take effect once and in order (L5)."""
    monkeypatch.setattr("server.frames.RETRY_MS", 20)
    disk = Disk()
    wire: Wire = await serving(journal=disk)
    told: asyncio.Queue[str] = asyncio.Queue()
    async with asyncio.timeout(ANSWER_S), client(wire, on_note=lambda kind, data: told.put_nowait(kind)) as one:
        await until_active(one)
        disk.is_full = True
        first = asyncio.create_task(one.send("say", {"text": "a"}))
        assert await told.get() == "degraded"
        others = [asyncio.create_task(one.send("say", {"text": text})) for text in "bc"]
        await asyncio.wait(others, timeout=0.1)
        disk.is_full = False
        assert (await first).ok
        for text in "defgh":
            others.append(asyncio.create_task(one.send("say", {"text": text})))
            await asyncio.sleep(0)
        assert all(reply.ok for reply in await asyncio.gather(*others))
        await one.send("terminate")
        texts = [event["data"]["text"] async for event in one if event["kind"] == "agent.message"]
    assert texts == list("abcdefgh")


async def test_no_more_is_unanswered_than_the_server_remembers(wire: Wire) -> None:
    """Rule 4: what is further behind would be forgotten after a cut, and told as if it had not been done."""
    async with asyncio.timeout(ANSWER_S), client(wire) as one:
        await until_active(one)
        sending = [asyncio.create_task(one.send("say", {"text": str(number)})) for number in range(200)]
        for _ in range(20):
            await asyncio.sleep(0)
            assert len(one._dialler._unanswered) <= 64
            cut(wire)
        assert all(reply.ok for reply in await asyncio.gather(*sending))
        await one.send("terminate")
        texts = [event["data"]["text"] async for event in one if event["kind"] == "agent.message"]
    assert texts == [str(number) for number in range(200)], "in order, over all these connections"


async def test_the_reply_that_nobody_waits_for_makes_room(wire: Wire) -> None:
    """L5: the lowest unanswered command holds up the others, also when its sender has gone."""
    async with asyncio.timeout(ANSWER_S), client(wire) as one:
        await until_active(one)
        given_up = asyncio.create_task(one.send("wait"))
        await asyncio.sleep(0)
        given_up.cancel()
        for _ in range(COMMANDS_UNANSWERED_MAX - 1):
            assert (await one.send("say", {"text": "x"}, to="/nobody")).code == "unknown_actor"
        held = asyncio.create_task(one.send("say", {"text": "y"}))
        await asyncio.sleep(0)
        assert one._dialler.is_full
        GATES[one.welcome["sid"]].set()
        assert (await held).ok


async def test_a_program_that_is_slow_stays_connected_and_misses_nothing(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not read yet waits in the server's log, not in its memory; pings are answered meanwhile (L11)."""
    monkeypatch.setattr("server.client.EVENTS_WAITING_MAX", 4)
    async with asyncio.timeout(ANSWER_S), client(wire) as one:
        seen = await until_active(one)
        async with Client(wire.url, token=one.token) as other:
            for number in range(50):
                assert (await other.send("say", {"text": str(number)})).ok
            await one.send("say", {"text": "last"})
            assert len(one._events) <= 4 + 1, "its own reply may have one event before it"
            texts = []
            async for event in one:
                seen.append(event["seq"])
                if "text" in event["data"]:
                    texts.append(event["data"]["text"])
                if texts and texts[-1] == "last":
                    break
    assert texts == [*map(str, range(50)), "last"]
    assert seen == list(range(1, len(seen) + 1))
