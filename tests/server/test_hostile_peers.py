"""Peers that do their worst: what they cost is bounded, and their neighbours do not notice (C7, L10, L11)."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import ANSWER_S, KEY, ROOT, Peer, Wire, new_token
from tests.server.long import size
from tests.server.raw import PING, Raw, dialled, fragments, frame, text

JUNK = size(500, 10_000)
ASKED = size(150, 1000)  # answers of the neighbour that are timed, with and without the others
GROWTH_KB_MAX = 64 * 1024
SLOWER_MAX = 10.0
SLACK_S = 0.3  # what sharing two processors with the attackers may cost in itself


def hello(token: str, **fields: Any) -> bytes:
    return text(t="hello", token=token, cid="raw", n=1, **fields)


async def test_a_message_in_fragments_of_one_byte_is_a_message(wire: Wire) -> None:
    """And one that is too large is refused however it is cut."""
    async with dialled(wire.url) as peer:
        peer.write(fragments(hello(new_token(), create={}, auth=KEY)))
        assert (await peer.until("welcome"))["resumed"] is True
        peer.write(fragments(b"x" * 140_000))
        assert await peer.close_code() == 4413


async def test_compression_that_nobody_agreed_to_is_no_message(wire: Wire) -> None:
    """Rule 14: a deflate bomb is never inflated; what it would have been, nobody learns."""
    bomb = zlib.compressobj(wbits=-15)
    packed = bomb.compress(b" " * 64_000_000) + bomb.flush(zlib.Z_SYNC_FLUSH)
    assert len(packed) < 128 * 1024
    async with dialled(wire.url, "Sec-WebSocket-Extensions: permessage-deflate\r\n") as peer, asyncio.timeout(ANSWER_S):
        peer.write(frame(packed, is_compressed=True))
        assert await peer.close_code() in (1002, 1006, 4400)
    again, _ = await wire.create()
    assert again.frames[0]["t"] == "welcome"


async def test_a_lost_welcome_after_a_resume_loses_nothing(wire: Wire) -> None:
    """L12: neither session nor event, and the place of the connection that was lost is taken over."""
    token = new_token()
    peer, welcome = await wire.create(token)
    await peer.cmd(1, "say", args={"text": "before"})
    await peer.res(1)
    cur = {"epoch": welcome["epoch"], "seq": 1}
    for n in (2, 3, 4):
        lost = await wire.dial()
        await lost.send(t="hello", token=token, cid="c1", n=n, cur=cur)
        lost.socket.transport.abort()
    again = await wire.dial()
    assert (await again.hello(token, n=5, cur=cur))["sid"] == welcome["sid"]
    await again.until(lambda one: one.get("seq") == peer.events[-1]["seq"])
    assert again.events == peer.events[1:]
    assert wire.parts.manager.live == 1


async def test_a_peer_that_sends_and_never_reads_is_cut(serving: Any) -> None:
    """L10: it is heard all the time, so only that nothing it is sent gets through tells that it is no reader."""
    wire: Wire = await serving(stuck_s=1.0, commands_per_s=10_000, commands_burst=10_000)
    token = new_token()
    peer, welcome = await wire.create(token)
    session = await wire.parts.manager.find(welcome["sid"])
    assert session is not None
    async with dialled(wire.url) as deaf, asyncio.timeout(3 * ANSWER_S):
        deaf.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.write(frame(hello(token)))
        await deaf.until("welcome")
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        c = 0
        while session.connections > 1:
            c += 1
            deaf.write(frame(b"", PING), frame(text(t="cmd", c=c, name="say", args={"text": "still here"})))
            await peer.cmd(c, "big", args={"size": 50_000})
            assert (await peer.res(c))["ok"]


async def answers(peer: Peer, first: int, count: int) -> list[float]:
    """Seconds from a command to its answer, one after the other."""
    taken = []
    for c in range(first, first + count):
        began = time.perf_counter()
        await peer.cmd(c, "say", args={"text": "neighbour"})
        assert (await peer.res(c))["ok"]
        taken.append(time.perf_counter() - began)
        await asyncio.to_thread(time.sleep, 0.002)  # so that they do not make up the load themselves
    return taken


def p99(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.99) - 1]


async def junk(url: str, count: int) -> Any:
    """What became of them; in a process of their own, so that only the server is shared with who is timed."""
    command = (sys.executable, "-m", "tests.server.junk", url, str(count))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    text, _ = await process.communicate()
    return json.loads(text)


async def babble(raw: Raw) -> None:
    """Command after command, nothing read."""
    c = 0
    while not raw.writer.transport.is_closing():
        c += 1
        raw.write(frame(text(t="cmd", c=c, name="say", args={"text": "x" * 500})), frame(b"", PING))
        await asyncio.wait_for(raw.writer.drain(), 60)
        await asyncio.to_thread(time.sleep, 0.01)  # hangs on purpose: a steady babble


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_neighbours_of_junk_do_not_notice(serve: Any, tmp_path: Path) -> None:
    """C7, C6, L11: silent, frozen, cut into bytes and nonsense, all at once; in one run with and without."""
    server = await (
        await serve("--port", "0", "--log-level", "error", STEWARD_STUCK_S="2", STEWARD_HELLO_S="2")
    ).ready()
    neighbour, other = await server.dial(), await server.dial()
    await neighbour.hello(new_token(), create={}, auth=server.key)
    await neighbour.state("active")
    token = new_token()
    await other.hello(token, create={}, auth=server.key)
    await other.state("active")
    await answers(neighbour, 1, 50)
    without = await answers(neighbour, 51, ASKED)
    before_kb = rss_kb(server.process.pid)
    with_them: list[float] = []
    async with dialled(server.url) as deaf, dialled(server.url) as pieces:
        for raw, role in ((deaf, "control"), (pieces, "observe")):
            raw.write(frame(hello(token, role=role)))
            await raw.until("welcome")
        babbling = asyncio.create_task(babble(deaf))
        pieces.write(fragments(b"y" * 60_000))
        coming = asyncio.create_task(junk(server.url, JUNK))
        while not coming.done() or len(with_them) < ASKED:
            with_them += await answers(neighbour, 51 + ASKED + len(with_them), 25)
        told = await coming
        grown_kb = rss_kb(server.process.pid) - before_kb
        babbling.cancel()
        await asyncio.wait({babbling})
    print(
        f"{JUNK} junk connections: p99 {ms(p99(without))} without, {ms(p99(with_them))} with them; "
        f"median {ms(sorted(without)[len(without) // 2])} and {ms(sorted(with_them)[len(with_them) // 2])}; "
        f"{grown_kb} KB more; told {told}"
    )
    assert p99(with_them) < SLOWER_MAX * p99(without) + SLACK_S
    assert grown_kb < GROWTH_KB_MAX
    again = await server.dial()
    assert (await again.hello(token, n=9))["t"] == "welcome"
    for peer in (neighbour, other, again):
        await peer.socket.close()


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def rss_kb(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])
