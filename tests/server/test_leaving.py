"""A server that leaves: everybody is told when to dial again, nothing is lost, and it is gone in time (L13)."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from server.app import stop
from server.leaving import HELLOS_PER_S, SPREAD_S_MAX, SUCCESSOR_START_S, Slots
from tests.server.conftest import ANSWER_S, KEY, LIFECYCLE, ROOT, Wire, new_token
from tests.server.long import size
from tests.server.wire_handlers import GATES

CLIENTS = size(80, 2000)
CROWD_S = 60.0 + CLIENTS / 10  # until they are all up; this machine may have other work
GRACE_S = 10


def test_slots_are_what_a_successor_can_take_and_end_within_a_window() -> None:
    """Rule 13: so that it is not stormed, and yet nobody's session ends while waiting for its slot."""
    slots = Slots()
    given = [slots.next_ms() / 1000 for _ in range(7_000)]
    assert given == sorted(given)
    assert given[0] == SUCCESSOR_START_S
    in_a_second = sum(given[0] <= slot < given[0] + 1 for slot in given)
    assert in_a_second == pytest.approx(HELLOS_PER_S, rel=0.01)
    given += [slots.next_ms() / 1000 for _ in range(12 * 7_600 - 7_000)]
    assert max(given) < SPREAD_S_MAX
    a_second = Counter(int(slot) for slot in given)
    assert max(a_second.values()) == pytest.approx(12 * HELLOS_PER_S, rel=0.01), "no moment has more than its share"


async def test_everybody_is_told_when_to_dial_again_before_sockets_close(wire: Wire) -> None:
    """Rule 13: goaway with a slot of one's own to all, also to who dials a server that is leaving; then 4000."""
    peer, welcome = await wire.create()
    silent = await wire.dial()
    late = await wire.dial()
    await peer.cmd(1, "wait")
    leaving = asyncio.create_task(stop(wire.runner))
    told = [await one.until(lambda frame: frame["t"] == "goaway") for one in (peer, silent, late)]
    assert all(set(one) == {"t", "why", "slot_ms"} for one in told)
    assert len({one["slot_ms"] for one in told}) == 3
    assert (await wire.call("GET", "/readyz"))[0] == 503
    assert (await late.hello(new_token(), create={}, auth=KEY))["code"] == 4000
    assert await late.closed() == 4000

    newcomer = await wire.dial()
    goaway = await newcomer.hello(new_token(), create={}, auth=KEY)
    assert goaway["t"] == "goaway"
    assert goaway["slot_ms"] > max(one["slot_ms"] for one in told)
    assert await newcomer.closed() == 4000
    # Who knows `retry_ms` only is spread as well.
    assert goaway["slot_ms"] - 1000 < newcomer.errors[0]["retry_ms"] <= goaway["slot_ms"]

    GATES[welcome["sid"]].set()
    assert await peer.closed() == 4000
    assert await silent.closed() == 4000
    await leaving


async def test_a_command_for_a_session_that_is_let_go_is_for_the_successor(wire: Wire) -> None:
    """Rule 4: it has no outcome here, so it is sent again, to whoever serves the session then."""
    peer, mine = await wire.create()
    blocker, welcome = await wire.create()
    await blocker.cmd(1, "wait")
    leaving = asyncio.create_task(stop(wire.runner))
    await peer.until(lambda frame: frame["t"] == "goaway")
    session = await wire.parts.manager.find(mine["sid"])
    assert session is not None
    async with asyncio.timeout(ANSWER_S):
        while session.root is not None:
            await (await peer.socket.ping())
    await peer.cmd(1, "say", args={"text": "too late"})
    assert await peer.closed() == 4000
    assert not any(frame["t"] == "res" for frame in peer.frames)
    GATES[welcome["sid"]].set()
    await leaving


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_crowd_is_told_and_loses_nothing(serve: Any, tmp_path: Path) -> None:
    """L13, L1, L2, L5: clients in the middle of their work, a SIGTERM, and the logs compared at the successor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, CLIENTS + 500)), hard))
    life = tmp_path / "crowd.yaml"
    life.write_text(LIFECYCLE.read_text().replace("live: 8, live_per_user: 6", "live: 5000, live_per_user: 5000"))
    # Nobody reads its log meanwhile, so it must not fill the pipe.
    flags = ("--port", "0", "--lifecycle", str(life), "--log-level", "warning")
    server = await (await serve(*flags, STEWARD_GRACE_S=str(GRACE_S))).ready()
    crowd = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.server.crowd", ws(server.url), server.key, str(CLIENTS)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert crowd.stdin is not None
    try:
        await told(crowd)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert await server.code() == 0
        exit_s = time.monotonic() - began
        closed = await told(crowd)
        told_s = closed["last_told_at"] - began
        assert closed["closes"] == {"4000": CLIENTS}
        assert closed["told"] == closed["distinct_slots"] == CLIENTS
        assert exit_s < GRACE_S
        successor = await (await serve(*flags)).ready()
        crowd.stdin.write(f"{ws(successor.url)}\n".encode())
        compared = await told(crowd)
        assert compared == {"phase": "compared", "changed": 0, "missing": 0}
        print(f"{CLIENTS} clients: the last told after {told_s:.2f} s, the process gone after {exit_s:.2f} s; {closed}")
    finally:
        crowd.kill()
        await crowd.wait()


def ws(url: str) -> str:
    return url.replace("http", "ws") + "/v1/ws"


async def told(crowd: asyncio.subprocess.Process) -> dict[str, Any]:
    assert crowd.stdout is not None
    async with asyncio.timeout(CROWD_S):
        facts: dict[str, Any] = json.loads(await crowd.stdout.readline())
    return facts
