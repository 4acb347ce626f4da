"""What a benchmark is made of: sides that are measured in turns, measures, and the bars that ours are held to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).parents[1]
HERE: Final = Path(__file__).parent
PEERS: Final = HERE / ".peers"  # everything of other people's that is installed for comparison only
WORK: Final = HERE / ".work"  # what a benchmark makes for its sides and removes again
ROUNDS_MIN: Final = 5

Role = Literal["ours", "reference", "peer"]
Unit = Literal["events/s", "commands/s", "s", "bytes", "count"]


@dataclass(frozen=True)
class Side:
    """One contender: a process that plays a round whenever it is asked.

    needs: which peers have to be installed for it. at: its place on the growth curve's axis, if it has one.
    """

    name: str
    role: Role
    command: tuple[str, ...]
    needs: Literal["", "python", "node", "loop"] = ""
    note: str = ""
    at: float | None = None


@dataclass(frozen=True)
class Measure:
    """One number that every round of a side gives. key: its name in what the side answers."""

    key: str
    title: str
    unit: Unit


@dataclass(frozen=True)
class Bar:
    """What `side` has to reach: alone, or as a ratio to `against` in the same round. Exactly one bound is given."""

    text: str
    measure: str
    side: str
    against: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        return value >= self.at_least if self.at_least is not None else value <= (self.at_most or 0.0)


@dataclass(frozen=True)
class Scenario:
    """number: as in the list of bars (P1 …). name: for ONLY=. ready_s, round_s: what its sides may take at most.
    around: what all its sides find ready, from before the first until after the last."""

    number: str
    name: str
    title: str
    sides: tuple[Side, ...]
    measures: tuple[Measure, ...]
    bars: tuple[Bar, ...]
    about: str
    rounds: int = ROUNDS_MIN
    ready_s: float = 60.0
    round_s: float = 60.0
    around: Callable[[], AbstractContextManager[None]] = nullcontext


def python(module: str, *args: str) -> tuple[str, ...]:
    """A side in this environment: benchmarks/sides/MODULE.py."""
    return (sys.executable, "-m", f"benchmarks.sides.{module}", *args)


def python_peer(module: str, *args: str) -> tuple[str, ...]:
    """A side in the peers' environment."""
    return (str(PEERS / "python/bin/python"), "-m", f"benchmarks.peers.{module}", *args)


def node_peer(script: str, *args: str) -> tuple[str, ...]:
    """A side in Node: benchmarks/peers/SCRIPT.mjs, run where its packages are."""
    return ("node", "--expose-gc", str(PEERS / "node" / f"{script}.mjs"), *args)
