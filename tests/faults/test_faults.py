"""What networks and power cuts do, done to the real server by processes and sockets that are real as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import through_a_bad_network, under_kills
from tests.faults.proxy import KINDS
from tests.faults.server import POINTS

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def test_a_bad_network_costs_nothing(tmp_path: Path) -> None:
    """L1 to L5, L12: every event once and in order for everybody, every command once, no session too many."""
    done = await through_a_bad_network(tmp_path, 7, sessions=12, people=2, commands=60, frames_between=25)
    assert set(done) == set(KINDS), "a fault that was never done shows nothing"


@pytest.mark.timeout(300)
async def test_a_server_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """L2, L5, M5, C5: at every named point of a commit, while it comes back, and at random; creation included."""
    died = await under_kills(tmp_path, 7, kills=20)
    assert set(died) == {*POINTS, "at random"}
