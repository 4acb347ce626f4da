"""A path through one kind's graph, told as a story: what was done in each state, what happened, where it led."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from .graph import Life, Way


@dataclass(frozen=True, slots=True)
class Move:
    """One way that is taken. note: what was done in its source before, if that matters."""

    way: Way
    note: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """start: the state it begins in. note: what is done in its last state. end: what is wrong there. again: of a
    loop, where the moves come round to: the number of moves before it."""

    start: str
    moves: tuple[Move, ...] = ()
    note: str = ""
    end: str = ""
    again: int | None = None

    def __str__(self) -> str:
        parts = ["created", self.start]
        for move in self.moves:
            if move.note:
                parts.append(move.note)
            parts += [move.way.event, move.way.target or move.way.source]
        if self.note:
            parts.append(self.note)
        if self.again is not None:
            parts.append("again and again")
        return " → ".join(parts) + (f", {self.end}" if self.end else "")

    @property
    def state(self) -> str:
        return (self.moves[-1].way.target or self.moves[-1].way.source) if self.moves else self.start

    def then(self, ways: Iterable[Way]) -> Story:
        return replace(self, moves=(*self.moves, *map(Move, ways)))

    def round(self, ways: Iterable[Way]) -> Story:
        """The same, and then ways for ever."""
        return replace(self.then(ways), again=len(self.moves))


def to_state(life: Life, state: str) -> Story:
    """The shortest way in which an actor gets into state."""
    story = back_to_start(state, life.reached())
    assert story is not None, "only reachable states have stories"
    return story


def back_to_start(state: str, found: Mapping[str, Way | None]) -> Story | None:
    if state not in found:
        return None
    ways: list[Way] = []
    here = state
    while (way := found[here]) is not None:
        ways.append(way)
        here = way.source
    return Story(here, tuple(map(Move, reversed(ways))))


def between(ways: Iterable[Way], start: str, end: str) -> list[Way]:
    """The shortest way from start to end among ways, one at least; [] if there is none. With start as end: a ring."""
    out: dict[str, list[Way]] = {}
    for way in ways:
        out.setdefault(way.source, []).append(way)
    waiting: deque[tuple[str, list[Way]]] = deque([(start, [])])
    seen: set[str] = set()
    while waiting:
        here, taken = waiting.popleft()
        for way in out.get(here, ()):
            if way.target == end:
                return [*taken, way]
            if way.target is not None and way.target not in seen:
                seen.add(way.target)
                waiting.append((way.target, [*taken, way]))
    return []


def components(ways: Iterable[Way]) -> list[list[Way]]:
    """The ways that lie on cycles, those of one strongly connected part together (Tarjan, without recursion)."""
    kept = [way for way in ways if way.target is not None]
    out: dict[str, list[str]] = {}
    for way in kept:
        out.setdefault(way.source, []).append(way.target or "")
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    part: dict[str, str] = {}
    stack: list[str] = []
    for root in out:
        work = [(root, iter(out.get(root, ())))] if root not in number else []
        if work:
            number[root] = low[root] = len(number)
            stack.append(root)
        while work:
            here, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[here])
                if low[here] == number[here]:
                    while (member := stack.pop()) != here:
                        part[member] = here
                    part[here] = here
            elif target not in number:
                number[target] = low[target] = len(number)
                stack.append(target)
                work.append((target, iter(out.get(target, ()))))
            elif target not in part:
                low[here] = min(low[here], number[target])
    found: dict[str, list[Way]] = {}
    for way in kept:
        if way.target is not None and part[way.source] == part[way.target]:
            found.setdefault(part[way.source], []).append(way)
    return list(found.values())
