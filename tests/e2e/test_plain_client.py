"""The clients in examples/clients, run as their readers run them: against the shipped server, which dies under them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chess
import pytest

from tests.e2e.conftest import node

pytestmark = pytest.mark.e2e

CLIENTS = Path(__file__).parents[2] / "examples" / "clients"
CODE_LINES_MAX = 47
END_S = 60.0
# The same seed gives the same answers, so these stay legal.
MOVES = ("e2e4", "a2a3", "h2h3")


@dataclass
class Playing:
    """The client's process; every event it printed is in events."""

    process: asyncio.subprocess.Process
    events: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of this kind."""
        assert self.process.stdout is not None
        while True:
            async with asyncio.timeout(END_S):
                line = await self.process.stdout.readline()
            assert line, f"it ended before {kind}"
            self.events.append(json.loads(line))
            if self.events[-1]["kind"] == kind:
                return self.events[-1]

    @property
    def played(self) -> list[str]:
        return [event["data"]["uci"] for event in self.events if "uci" in event["data"]]


@pytest.fixture(params=["plain.py", "plain.mjs"])
async def playing(request: pytest.FixtureRequest, shipped: Any) -> AsyncIterator[Playing]:
    address = shipped.url.replace("http", "ws") + "/v1/ws"
    script = CLIENTS / request.param
    command = (sys.executable, str(script)) if script.suffix == ".py" else node(script)
    process = await asyncio.create_subprocess_exec(
        *command, address, shipped.key, *MOVES, stdout=asyncio.subprocess.PIPE
    )
    yield Playing(process)
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def judged(moves: list[str]) -> chess.Board:
    """The board after moves, every one of which is legal."""
    board = chess.Board()
    for uci in moves:
        board.push(board.parse_uci(uci))
    return board


@pytest.mark.parametrize("name", ["plain.py", "plain.mjs"])
def test_a_client_is_short(name: str) -> None:
    """What it takes to lose nothing has to be little enough to be written again in any language."""
    lines = (CLIENTS / name).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("class Client"))
    end = next(number for number, line in enumerate(lines[start + 1 :], start + 1) if line[:1] not in ("", " ", "}"))
    code = [line for line in lines[start:end] if line.strip() and not line.strip().startswith(("#", "//", '"""'))]
    assert len(code) <= CODE_LINES_MAX


async def test_it_plays_a_game(playing: Playing) -> None:
    """What stands in the documentation has to work when it is typed."""
    ended = await playing.until("session.ended")
    assert ended["data"]["code"] == "closed"
    assert ended["data"]["report"]["ok"]
    assert judged(playing.played).ply() == 2 * len(MOVES)
    assert playing.played[::2] == list(MOVES)
    assert [event["seq"] for event in playing.events] == list(range(1, len(playing.events) + 1))
    assert await playing.process.wait() == 0


async def test_a_server_killed_under_it_costs_nothing(playing: Playing, shipped: Any) -> None:
    """A move that was typed while the server died is played once; no event is missing or there twice."""
    for _ in MOVES:
        await playing.until("input.request")
        await shipped.kill()
        await shipped.start()
    await playing.until("session.ended")
    assert judged(playing.played).ply() == 2 * len(MOVES)
    assert playing.played[::2] == list(MOVES)
    assert [event["seq"] for event in playing.events] == list(range(1, len(playing.events) + 1))
    assert await playing.process.wait() == 0
