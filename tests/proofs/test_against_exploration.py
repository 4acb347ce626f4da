"""The proofs say of small random files what trying everything out shows: nothing is missed, nothing is invented."""

from __future__ import annotations

import pytest
from explorer import Explorer
from random_specs import GUARDS, KIND, REGISTRY, make

from engine.language.document import Path, numbered
from engine.language.rules import broken_rules
from engine.plan import compile_plans
from engine.proofs.graph import Life
from engine.proofs.prove import PROOFS, lives
from engine.spec import Spec

SEEDS = 400
PARTS = 8
STUCK = ("unbounded-wait", "guarded-gap", "leak-trap")


def specs(part: int) -> list[tuple[int, Spec]]:
    """Those that the loader lets through, more than half of all."""
    made = ((seed, make(seed)) for seed in range(part, SEEDS, PARTS))
    return [(seed, spec) for seed, spec in made if not list(broken_rules(spec, REGISTRY))]


def told_by(life: Life) -> dict[str, set[Path]]:
    """Code to the paths of its findings."""
    codes: dict[str, set[Path]] = {}
    for proof in PROOFS:
        for finding in proof(life):
            codes.setdefault(finding.code, set()).add(finding.path)
    return codes


def row_path(life: Life, state: str, event: str, index: int) -> Path:
    return (*numbered(life.choices[state][event].path, index, len(life.planned(state).rows[event])), "to")


@pytest.mark.parametrize("part", range(PARTS))
def test_the_proofs_say_what_trying_everything_out_shows(part: int) -> None:
    """Reached states, ends refused because something is held, states that are stuck, circles: exactly those."""
    for seed, spec in specs(part):
        said = f"seed {seed}"
        life = lives(spec, REGISTRY)[KIND]
        explored = Explorer(compile_plans(spec, REGISTRY)[KIND], GUARDS, ("unhealthy",))
        codes = told_by(life)
        assert codes.get("held-at-end", set()) == {row_path(life, *row) for row in explored.unclean}, said
        # An end that is always refused, because something is always held there, is told as just that.
        assert set(life.reached) - explored.states <= ({"closed"} if explored.unclean else set()), said
        assert explored.states <= set(life.reached), said
        stuck = {path for code in STUCK for path in codes.get(code, ())}
        at_machine = any(path[1] != "states" for path in stuck)
        assert at_machine or {path[2] for path in stuck} == explored.stuck, said
        assert bool(stuck) == bool(explored.stuck), said
        assert bool(codes.get("unbudgeted-loop")) == bool(explored.turning), said


def test_the_files_have_every_sort_of_defect() -> None:
    """Of sound files alone anything would be true."""
    found = [told_by(lives(spec, REGISTRY)[KIND]) for part in range(PARTS) for _, spec in specs(part)]
    for code in (*STUCK, "held-at-end", "unbudgeted-loop", "unreachable-state"):
        assert sum(code in one for one in found) >= 10, code
    assert sum(not {*STUCK, "held-at-end", "unbudgeted-loop"} & one.keys() for one in found) >= 10
