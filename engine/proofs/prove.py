"""Proofs about a lifecycle file before anything runs: what its paths hold, where they wait, and whether they end.

The engine's own rules decide (step.py, decide.py, cleanup.py): a finding is a path the engine can take, told as a
story, and a file without findings has none. What handlers acquire and release is what their decorators say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ..language.diagnostics import Places
from ..plan import compile_plans
from ..registry import Registry
from ..spec import Spec
from .composition import composition_findings
from .findings import Finding, Placed, placed
from .graph import Life
from .growth import growth_findings
from .holds import hold_findings, refused
from .lengths import Lengths, lengths
from .loops import loop_findings
from .rounds import round_findings
from .structure import structure_findings
from .waits import wait_findings

PROOFS: Final[tuple[Callable[[Life], Iterator[Finding]], ...]] = (
    structure_findings,
    wait_findings,
    round_findings,
    hold_findings,
    growth_findings,
    loop_findings,
    composition_findings,
)


@dataclass(frozen=True, slots=True)
class Proved:
    """Everything that was proved of one file."""

    findings: tuple[Placed, ...]
    lengths: tuple[Lengths, ...]

    @property
    def open(self) -> tuple[Placed, ...]:
        """Findings that the file does not accept."""
        return tuple(one for one in self.findings if not one.reason)


def prove(spec: Spec, registry: Registry, places: Places, file: str = "lifecycle.yaml") -> Proved:
    """spec has passed the loader with registry; places are those of its reading."""
    all_lives = lives(spec, registry)
    findings = [finding for life in all_lives.values() for proof in PROOFS for finding in proof(life)]
    in_order = tuple(lengths(all_lives[kind]) for kind in spec.machines)
    return Proved(placed(findings, spec, places, file), in_order)


def lives(spec: Spec, registry: Registry) -> dict[str, Life]:
    """The graph of each kind, children before their owners."""
    plans = compile_plans(spec, registry)
    found: dict[str, Life] = {}
    for kind, plan in plans.items():
        machine = spec.machines[kind]
        renamed = tuple(dict.fromkeys(spec.renamed.get(kind, {}).values()))
        below = tuple(found[child] for child in machine.owns)
        entries = tuple(dict.fromkeys((machine.initial, *renamed)))
        life = Life(machine, plan, registry, kind in spec.roots, below, entries)
        # What is refused at an end may lead to other ends, so look again until there is nothing new.
        while not (known := refused(life)) <= life.refused:
            life = replace(life, refused=known | life.refused, choices={}, overtaken={})
        found[kind] = life
    return found
