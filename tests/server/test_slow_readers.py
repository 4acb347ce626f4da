"""A peer that asks and does not take the answers: it costs a bounded amount, and only itself."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from server.outbox import RESULTS_WAITING_MAX
from server.welcome import COMMANDS_IN_FLIGHT_MAX
from tests.server.conftest import ANSWER_S, Wire, new_token

BIGS = 200  # of 50,000 bytes: more than the buffers of both ends hold
ASKED = 1000
LOOKS = 30  # answers another peer gets meanwhile; each gives the server time to read on, if it did


async def test_results_that_are_not_taken_stop_the_reading(serving: Any) -> None:
    """Above RESULTS_WAITING_MAX nothing more is read; when the peer reads again it gets every answer."""
    wire: Wire = await serving(commands_per_s=10_000, commands_burst=10_000)
    token = new_token()
    other, _ = await wire.create(token)
    slow = await wire.dial()
    await slow.hello(token, cid="slow")
    slow.socket.transport.pause_reading()
    kernel = slow.socket.transport.get_extra_info("socket")
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
    outbox = next(one._outbox for one in wire.parts.pool.connections if one.key is not None and one.key[1] == "slow")
    for c in range(1, BIGS + 1):
        await other.cmd(c, "big", args={"size": 50_000})
        await other.res(c)
    for c in range(1, ASKED + 1):
        await slow.cmd(c, "dance")
    async with asyncio.timeout(ANSWER_S):
        c = BIGS
        while not outbox.is_full:
            c += 1
            await other.cmd(c, "say", args={"text": "still here"})
            assert (await other.res(c))["ok"]
    for n in range(c + 1, c + LOOKS):
        await other.cmd(n, "say", args={"text": "still here"})
        assert (await other.res(n))["ok"]
    assert RESULTS_WAITING_MAX <= len(outbox._results) <= RESULTS_WAITING_MAX + COMMANDS_IN_FLIGHT_MAX
    slow.socket.transport.resume_reading()
    assert (await slow.res(ASKED))["err"]["code"] == "unknown_event"
    assert [frame["c"] for frame in slow.frames if frame["t"] == "res"] == list(range(1, ASKED + 1))


async def test_a_reader_that_waits_for_room_ends_with_its_connection(serving: Any) -> None:
    """Otherwise the place of a peer that left with its answers untaken would never be free."""
    wire: Wire = await serving(commands_per_s=10_000, commands_burst=10_000)
    token = new_token()
    other, welcome = await wire.create(token)
    slow = await wire.dial()
    await slow.hello(token, cid="slow")
    slow.socket.transport.pause_reading()
    outbox = next(one._outbox for one in wire.parts.pool.connections if one.key is not None and one.key[1] == "slow")
    for c in range(1, BIGS + 1):
        await other.cmd(c, "big", args={"size": 50_000})
    for c in range(1, ASKED + 1):
        await slow.cmd(c, "dance")
    assert (await other.res(BIGS))["ok"]
    async with asyncio.timeout(ANSWER_S):
        while not outbox.is_full:
            await (await other.socket.ping())
        slow.socket.transport.abort()
        await wire.parts.pool.wait_fewer(2)
    session = await wire.parts.manager.find(welcome["sid"])
    assert session is not None
    assert session.connections == 1
