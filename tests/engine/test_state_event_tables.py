"""State by event: every pair of every machine, declared or not, does what the file says (generated from it)."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_handlers
from tables import Answers, actual, compiled, events_of, expected

from engine.loader import load_spec
from engine.registry import Registry
from engine.testing.rig import Rig
from engine.testing.virtual import run_virtual
from server.config import HANDLER_MODULES

HERE = Path(__file__).parent
SMALL = HERE / "files" / "small.yaml"
SHIPPED = HERE.parent.parent / "lifecycle.yaml"
SOURCES = {"small": (SMALL, Registry.of(small_handlers)), "shipped": (SHIPPED, Registry.of(*HANDLER_MODULES))}
SPECS = {name: load_spec(path, registry) for name, (path, registry) in SOURCES.items()}
STATES = [
    pytest.param(name, kind, state, id=f"{name}-{kind}-{state}")
    for name, spec in SPECS.items()
    for kind, machine in spec.machines.items()
    for state in machine.states
]


@pytest.mark.parametrize("guards", [True, False], ids=["guards-hold", "guards-refuse"])
@pytest.mark.parametrize("name, kind, state", STATES)
def test_every_event_does_what_the_file_says(
    name: str, kind: str, state: str, guards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1: outcome, code and state after, for every event the machine could be sent."""
    monkeypatch.setattr(Answers, "guards", guards)
    spec, machine = SPECS[name], SPECS[name].machines[kind]

    async def play() -> None:
        async with Rig(compiled(spec, SOURCES[name][1])) as rig:
            for event in events_of(machine):
                found = await actual(rig, spec, kind, state, event)
                assert found == expected(machine, state, event), (state, event.name)

    run_virtual(play())
