"""Whatever a lifecycle file says, the engine does it: files are drawn, and with each its whole table and its paths."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.testing.generated import lifecycles
from engine.testing.lifecycle import Lifecycle
from engine.testing.paths import paths_to
from engine.testing.table import cells
from engine.testing.virtual import run_virtual

CELLS = 12


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), lifecycles())
def test_what_a_drawn_file_says_happens(data: st.DataObject, drawn: Lifecycle) -> None:
    """M1: some cells of its table, and a way to each of its states."""
    for kind in drawn.spec.machines:
        table = list(cells(drawn.spec, kind))
        for cell in data.draw(st.lists(st.sampled_from(table), min_size=1, max_size=CELLS)):
            assert cell.actual == cell.expected
        for path in paths_to(drawn.spec, kind):
            assert path.walk() == path.states


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(lifecycles())
def test_time_alone_ends_a_drawn_life(drawn: Lifecycle) -> None:
    """M7: every wait of it is bounded; C1: and the end is clean."""

    async def live() -> str:
        async with drawn.rig() as rig:
            session = await rig.create()
            await rig.advance(3600)
            return session.state

    assert run_virtual(live()) == "over"
