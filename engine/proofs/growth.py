"""Circles on which an actor takes one more of a kind each time round, and never lets go of any."""

from __future__ import annotations

from collections.abc import Iterator

from ..spec import Step
from .findings import Finding
from .graph import Life, Way
from .rounds import turns_few
from .stories import between, components, to_state
from .tracking import releases


def growth_findings(life: Life) -> Iterator[Finding]:
    for kind in sorted(life.acquired):
        yield from _growing(life, kind)


def _growing(life: Life, kind: str) -> Iterator[Finding]:
    ways = [way for way in life.all_ways() if way.source in life.reached]
    passing = [way for way in ways if way.target is not None and _passes(life, kind, way)]
    adding = {id(way) for way in ways if _passes(life, kind, way) and _adds(life, kind, way)}
    inner = {way.path: way for way in ways if way.target is None and id(way) in adding}
    yield from (_grows(life, kind, way, [way]) for way in inner.values())
    for part in components(passing):
        if turns_few(life, part):
            continue  # it ends with a few, and the clean-up has them
        for way in [way for way in part if id(way) in adding][:1]:
            there = [] if way.target == way.source else between(part, way.target or "", way.source)
            yield _grows(life, kind, way, [way, *there])


def _passes(life: Life, kind: str, way: Way) -> bool:
    """Whether the way may be taken without letting go of any: a release ends well only before `done`."""
    if way.event == "restored" and kind not in life.surviving:
        return False
    run = life.state(way.source).run if way.event == "done" else ()
    do = way.row.do if way.event != "failed" else ()
    return not any(releases(life, kind, step) for step in (*run, *do))


def _adds(life: Life, kind: str, way: Way) -> bool:
    """Whether one may be added on the way without any let go: of a run, by a step before the first release."""
    if any(_takes(life, kind, step) for step in way.row.do):
        return True
    if way.target is None or way.event == "restored":
        return False
    for step in life.state(way.source).run:
        if releases(life, kind, step):
            return False
        if _takes(life, kind, step):
            return True
    return False


def _takes(life: Life, kind: str, step: Step) -> bool:
    return kind in life.mark(step).acquires and not life.mark(step).once


def _grows(life: Life, kind: str, way: Way, turn: list[Way]) -> Finding:
    run = life.state(way.source).run
    step = next(step for step in (*run, *way.row.do) if _takes(life, kind, step))
    names = " → ".join([way.source, *(one.target or one.source for one in turn)])
    message = f"{step.ref.name} acquires {kind} on each round of a circle that never lets go of it ({names})"
    story = to_state(life, way.source).round(turn)
    hint = "let go on the way, or say once=True of an action that keeps what is held"
    return Finding(life.at(way.source) if step in run else way.path, "growing-hold", message, story, hint)
