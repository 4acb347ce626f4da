"""The shortest ways through a file lead where they say, on the real engine."""

from __future__ import annotations

from pathlib import Path as File

import pytest

from engine.testing.paths import Path, paths_to
from engine.testing.rig import read_spec

ROOT = File(__file__).parents[2]
SHIPPED = read_spec(ROOT / "lifecycle.yaml", None)
PATHS = [path for kind in SHIPPED.machines for path in paths_to(SHIPPED, kind)]

FORK = """
lifecycle: 1
name: fork
machines:
  session:
    initial: near
    events: {go: {from: [client]}, hop: {from: [client]}}
    transitions: {failed: over}
    states:
      near: {after: {1h: over}, transitions: {go: [{when: is_odd, to: middle}, {when: is_even, to: far}], hop: middle}}
      middle: {after: {1h: over}, transitions: {go: far, hop: lost}}
      far: {after: {1h: over}}
      lost: {after: {1s: island, 1h: over}}
      island: {after: {1h: over}}
      nowhere: {after: {1h: over}}
      over: {final: true}
"""


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_every_state_of_the_shipped_file_is_reached(path: Path) -> None:
    """M1: by declared events, time limits and the ends of work, from the beginning of a life."""
    assert path.walk() == path.states


def test_no_state_is_left_out() -> None:
    """A state without a path could never be entered."""
    reached = {(path.kind, path.states[-1]) for path in PATHS}
    assert reached == {(kind, state) for kind, machine in SHIPPED.machines.items() for state in machine.states}


def test_a_path_is_the_shortest_and_says_what_the_guards_say() -> None:
    paths = {path.states[-1]: path for path in paths_to(read_spec(FORK, None), "session")}
    assert str(paths["far"]) == "session near, go to far"
    assert paths["far"].moves[0].answers == {"is_odd": False, "is_even": True}
    assert str(paths["island"]) == "session near, go to middle, hop to lost, after 1s to island"
    assert "nowhere" not in paths
    assert all(path.walk() == path.states for path in paths.values())
