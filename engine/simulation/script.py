"""One history before it happens: what people do, what goes wrong, and the terms of the house, all drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from .faults import KINDS, Fault, Place

# What people do, and how likely each is beside the others.
STEPS: Final = {
    "say": 8,
    "say again": 1,
    "dial": 4,
    "hang up": 1,
    "observe": 1,
    "ask as admin": 1,
    "try a foreign token": 1,
    "wait": 4,
}
STEPS_MAX: Final = 10
FAULTS_MAX: Final = 5
WAITS_S: Final = (0.05, 0.3, 1.0, 4.0, 12.0, 31.0)
_KINDS: Final = [kind for kind, weight in STEPS.items() for _ in range(weight)]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """who: a number, taken modulo those there are. amount: uniform in [0, 1), for what and how much. turns: how many
    callbacks run before the next step; None: until nothing is left to do."""

    kind: str
    who: int
    amount: float
    turns: int | None


@dataclass(frozen=True, slots=True)
class Terms:
    """is_shuffled: tasks take turns in any order. people: how many clients. sessions: how many they share."""

    is_shuffled: bool = True
    latency_s: float = 0.0
    idle_memory_s: float | None = None
    log_events: int | None = None
    people: int = 1
    sessions: int = 1


@dataclass(frozen=True, slots=True)
class Script:
    """seed: also of the schedule and of what handlers draw, which are streams of their own: a script of which
    something was left out is played with the same dice."""

    seed: int
    terms: Terms
    steps: tuple[Step, ...]
    faults: tuple[Fault, ...]


def stream(seed: int, number: int) -> random.Random:
    """One of the independent sources of randomness of a seed."""
    return random.Random(seed * 8 + number)


def draw(seed: int, places: Collection[Place]) -> Script:
    """The script of a seed. places: where faults can strike in this lifecycle at all."""
    world, faults = stream(seed, 0), stream(seed, 1)
    terms = Terms(
        is_shuffled=world.random() < 0.85,
        latency_s=_one(world, (0.0, 0.0, 0.001, 0.03)),
        idle_memory_s=_one(world, (None, None, None, 3.0)),
        log_events=_one(world, (None, None, None, 10)),
        people=1 + int(world.random() * 2.2),
        sessions=1 + (world.random() < 0.15),
    )
    steps = tuple(_step(world) for _ in range(3 + int(world.random() * (STEPS_MAX - 2))))
    return Script(seed, terms, steps, _faults(faults, places))


def _one(source: random.Random, among: Sequence[T]) -> T:
    return among[int(source.random() * len(among))]


def _step(source: random.Random) -> Step:
    kind, who, amount = _one(source, _KINDS), int(source.random() * 6), source.random()
    return Step(kind, who, amount, None if source.random() < 0.4 else int(source.random() ** 2 * 80))


def _faults(source: random.Random, places: Collection[Place]) -> tuple[Fault, ...]:
    """Few kinds at a time, so that each is seen alone as well as beside others."""
    possible = [kind for kind, one in KINDS.items() if one.place in places]
    drawn = []
    for _ in range(int(source.random() * (FAULTS_MAX + 1))):
        kind = _one(source, possible)
        drawn.append(Fault(kind, int(source.random() * KINDS[kind].within), source.random()))
    return tuple(drawn)
