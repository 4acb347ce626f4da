"""diagrams/ holds what lifecycle.yaml says now, and the generator leaves alone what is not its own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from engine import diagram
from engine.loader import load_spec
from engine.registry import Registry
from engine.spec import Machine, Spec, State
from server.config import HANDLER_MODULES

ROOT: Final = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def spec() -> Spec:
    return load_spec(ROOT / "lifecycle.yaml", Registry.of(*HANDLER_MODULES))


def test_the_drawings_are_those_of_the_lifecycle_file(spec: Spec) -> None:
    """A drawing that lags behind the file misleads more than none; `make diagrams` draws it again."""
    assert diagram.outdated(spec, ROOT / "diagrams") == []


def test_every_state_is_drawn_in_both_notations(spec: Spec) -> None:
    for machine in spec.machines.values():
        for name in machine.states:
            assert f'  "{name}" [' in diagram.dot(machine)
            assert f"  s_{name}" in diagram.mermaid(machine)


def one(kind: str, *states: str) -> Spec:
    machine = Machine(kind=kind, initial=states[0], states={name: State(final=True) for name in states})
    return Spec(lifecycle=1, name="one", machines={kind: machine})


def test_a_changed_spec_is_noticed_until_it_is_drawn_again(tmp_path: Path) -> None:
    diagram.write(one("door", "shut"), tmp_path)
    changed = one("door", "shut", "locked")
    assert diagram.outdated(changed, tmp_path) == ["door.dot", "door.mmd"]
    diagram.write(changed, tmp_path)
    assert diagram.outdated(changed, tmp_path) == []


def test_the_drawing_of_a_machine_that_is_gone_goes_too(tmp_path: Path) -> None:
    """Else it would stay for ever as the picture of something that no longer exists."""
    diagram.write(one("door", "shut"), tmp_path)
    assert diagram.outdated(one("gate", "shut"), tmp_path)[:2] == ["door.dot", "door.mmd"]
    diagram.write(one("gate", "shut"), tmp_path)
    assert not (tmp_path / "door.dot").exists()


def test_drawings_by_hand_are_left_alone(tmp_path: Path) -> None:
    """Someone may keep a sketch of their own in the same folder."""
    (tmp_path / "mine.dot").write_text("digraph { a -> b }")
    diagram.write(one("door", "shut"), tmp_path)
    assert (tmp_path / "mine.dot").read_text() == "digraph { a -> b }"
