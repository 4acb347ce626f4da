"""diagrams/ holds what lifecycle.yaml says now, and the generator leaves alone what is not its own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from engine.drawing import diagram
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
    assert {"door.dot", "door.mmd"} < set(diagram.outdated(one("gate", "shut"), tmp_path))
    diagram.write(one("gate", "shut"), tmp_path)
    assert not (tmp_path / "door.dot").exists()


def test_an_svg_is_drawn_again_only_for_another_text(tmp_path: Path) -> None:
    """Each release of Graphviz writes other bytes; whoever draws next would change a file in which nothing is new."""
    drawn: list[str] = []

    def render(source: str) -> bytes:
        drawn.append(source)
        return f'<svg data-source="{diagram.digest(source)}"/>'.encode()

    diagram.write(one("door", "shut"), tmp_path, render)
    diagram.write(one("door", "shut"), tmp_path, render)
    assert len(drawn) == 2  # the machine, and who owns whom
    changed = one("door", "shut", "locked")
    assert "door.svg" in diagram.outdated(changed, tmp_path)
    diagram.write(changed, tmp_path, render)
    assert len(drawn) == 3
    assert diagram.outdated(changed, tmp_path) == []


def test_every_picture_is_there_as_svg(spec: Spec) -> None:
    """The README shows one; a reader of the others has no Graphviz."""
    assert [name for name in diagram.names(spec) if not (ROOT / "diagrams" / f"{name}.svg").is_file()] == []


def test_drawings_by_hand_are_left_alone(tmp_path: Path) -> None:
    """Someone may keep a sketch of their own in the same folder."""
    (tmp_path / "mine.dot").write_text("digraph { a -> b }")
    diagram.write(one("door", "shut"), tmp_path)
    assert (tmp_path / "mine.dot").read_text() == "digraph { a -> b }"
