"""What the simulator has found, each with the history that showed it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.simulation.faults import Fault
from engine.simulation.script import Script, Step, Terms
from server.simulation.campaign import play
from server.simulation.house import House, small

HOUSE = small()


def broken_by(house: House, *steps: Step, faults: tuple[Fault, ...] = (), **terms: Any) -> list[str]:
    return [str(one) for one in play(house, Script(835, Terms(**terms), steps, faults)).broken]


@pytest.mark.parametrize("turn", range(5, 9))
def test_a_session_that_a_predecessor_began_late_is_brought_over(turn: int) -> None:
    """L8: a process that stood still creates a session after its successor has read the store, and ends. Its client
    was told 4300, which says to stop asking, until the successor compared memory and store five minutes later."""
    steps = (Step("say", 0, 0.1, None), Step("dial", 0, 0.9, None), Step("wait", 0, 0.99, None))
    asleep = Fault("process sleeps through its successor", turn, 0.9)
    assert broken_by(HOUSE, *steps, faults=(asleep,)) == []
