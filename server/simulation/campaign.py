"""Many histories, in one process or several: what was broken first, and how often each fault was really reached."""

from __future__ import annotations

import gc
import logging
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from engine.simulation.faults import KINDS
from engine.simulation.script import Script, draw
from engine.simulation.shrink import shrink
from engine.simulation.story import Story

from . import history
from .house import House
from .result import Result

SLICE: Final = 250  # histories that a process plays before it reports
OURS: Final = ("steward.actor", "steward.activity", "steward.log")
COLLECT_EVERY: Final = 20  # histories
ENOUGH: Final = 1000  # of so many histories one at least has to reach each kind of fault

Build = Callable[[], House]


@dataclass
class Report:
    """What a campaign, or a part of it, has found. digest: of all histories, in the order of their seeds."""

    histories: int = 0
    turns: int = 0
    reached: Counter[str] = field(default_factory=Counter)
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    broken: list[Result] = field(default_factory=list)
    digest: str = ""

    def add(self, other: Report) -> None:
        self.histories += other.histories
        self.turns += other.turns
        self.reached.update(other.reached)
        self.failed.update(other.failed)
        self.broken += other.broken
        self.digest = blake2b((self.digest + other.digest).encode(), digest_size=12).hexdigest()

    def never_reached(self, house: House) -> list[str]:
        """Kinds of fault that could have been reached in this lifecycle, and were not by so many histories."""
        if self.histories < ENOUGH:
            return []
        return [kind for kind, one in KINDS.items() if one.place in house.places and not self.reached[kind]]


@contextmanager
def quietly() -> Iterator[list[str]]:
    """What the engine calls its own failure, as text; everything else it logs is not even made into text: most
    histories are full of handlers that fail."""
    log, failures = logging.getLogger("steward"), _Failures()
    level, propagates = log.level, log.propagate
    log.addHandler(failures)
    log.setLevel(logging.ERROR)
    log.propagate = False
    # What libraries of handlers say while a process dies under them would go to stderr, if nobody took it.
    root, silence = logging.getLogger(), logging.NullHandler()
    root.addHandler(silence)
    try:
        yield failures.told
    finally:
        root.removeHandler(silence)
        log.removeHandler(failures)
        log.setLevel(level)
        log.propagate = propagates


class _Failures(logging.Handler):
    """A step, an activity or a reader that failed in the engine, and what a peer is told to be internal."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if isinstance(record.exc_info, tuple) and (record.name in OURS or text.startswith("internal:")):
            self.told.append(f"{text}: {record.exc_info[1]!r}")


def play(house: House, script: Script, story: Story | None = None) -> Result:
    """One history."""
    with quietly() as failures:
        return history.play(house, script, failures, story)


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """A history leaves little, all of it at once: look for it now and then, and not among what was there before."""
    was_on = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


def play_all(house: House, seeds: range) -> Report:
    """Histories one after another, up to the first that breaks something."""
    report, found = Report(), blake2b(digest_size=12)
    with quietly() as failures, _collecting_rarely():
        for seed in seeds:
            if seed % COLLECT_EVERY == 0:
                gc.collect()
            result = history.play(house, draw(seed, house.places), failures)
            report.histories += 1
            report.turns += result.turns
            report.reached.update(result.reached)
            report.failed.update(result.failed)
            found.update(result.digest.encode())
            if result.broken:
                report.broken.append(result)
                break
    report.digest = found.hexdigest()
    return report


def campaign(build: Build, seeds: range, jobs: int, tell: Callable[[Report], None]) -> Report:
    """All of them, in jobs processes; ends with the first slice in which something broke. tell: after each slice."""
    slices = [seeds[at : at + SLICE] for at in range(0, len(seeds), SLICE)]
    whole = Report()
    with _workers(build, jobs) as run:
        for report in run(slices):
            whole.add(report)
            tell(whole)
            if whole.broken:
                break
    return whole


@contextmanager
def _workers(build: Build, jobs: int) -> Iterator[Callable[[list[range]], Iterator[Report]]]:
    if jobs == 1:
        house = build()
        yield lambda slices: (play_all(house, one) for one in slices)
        return
    # Fresh interpreters: a fork would inherit whatever the caller's threads hold.
    with multiprocessing.get_context("spawn").Pool(jobs, _begin, (build,)) as pool:
        yield lambda slices: pool.imap(_work, slices)


_house: House


def _begin(build: Build) -> None:
    global _house
    _house = build()


def _work(seeds: range) -> Report:
    return play_all(_house, seeds)


def smallest(house: House, result: Result) -> Script:
    """The history of a result with everything left out that the first thing it broke does not need."""
    number = result.broken[0].number

    def still_breaks(script: Script) -> bool:
        return any(one.number == number for one in play(house, script).broken)

    return shrink(result.script, still_breaks)
