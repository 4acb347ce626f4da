"""Every benchmark there is, in order. A new one is a module with a SCENARIO and a line here."""

from __future__ import annotations

from typing import Final

from ..scenario import Scenario
from . import actor, engine, start

SCENARIOS: Final[tuple[Scenario, ...]] = (engine.SCENARIO, actor.SCENARIO, start.SCENARIO)
