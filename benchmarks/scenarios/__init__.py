"""Every benchmark there is, in order. A new one is a module with a Scenario and a line here."""

from __future__ import annotations

from typing import Final

from ..scenario import Scenario
from . import actor, check, engine, growth, histories, lives, restart, start, storm, wire

SCENARIOS: Final[tuple[Scenario, ...]] = (
    engine.SCENARIO,
    actor.SCENARIO,
    wire.COMMANDS,
    wire.IDLE,
    storm.SCENARIO,
    lives.LIFE,
    lives.TEARDOWN,
    growth.SCENARIO,
    check.SCENARIO,
    histories.SCENARIO,
    restart.SCENARIO,
    start.SCENARIO,
)
