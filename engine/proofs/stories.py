"""A path through one kind's graph, told as a story: what was done in each state, what happened, where it led."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
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
    story = back_to_start(state, life.reached)
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
    """The ways that lie on circles, those of one strongly connected part together."""
    kept = [way for way in ways if way.target is not None]
    states = dict.fromkeys(state for way in kept for state in (way.source, way.target or ""))
    part_of = {state: index for index, part in enumerate(parts(states, kept)) for state in part}
    found: dict[int, list[Way]] = {}
    for way in kept:
        if part_of[way.source] == part_of[way.target or ""]:
            found.setdefault(part_of[way.source], []).append(way)
    return list(found.values())


def parts(states: Iterable[str], ways: Iterable[Way]) -> list[set[str]]:
    """The strongly connected parts, what a part leads to before it (Tarjan, without recursion)."""
    out: dict[str, list[str]] = {}
    for way in ways:
        if way.target is not None:
            out.setdefault(way.source, []).append(way.target)
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    found: list[set[str]] = []
    done: set[str] = set()
    stack: list[str] = []
    for root in states:
        work: list[tuple[str, Iterator[str]]] = []
        _open(root, number, low, stack, work, out)
        while work:
            here, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[here])
                if low[here] == number[here]:
                    at = stack.index(here)
                    found.append(set(stack[at:]))
                    done.update(stack[at:])
                    del stack[at:]
            elif target not in number:
                _open(target, number, low, stack, work, out)
            elif target not in done:
                low[here] = min(low[here], number[target])
    return found


def _open(
    state: str,
    number: dict[str, int],
    low: dict[str, int],
    stack: list[str],
    work: list[tuple[str, Iterator[str]]],
    out: Mapping[str, list[str]],
) -> None:
    if state not in number:
        number[state] = low[state] = len(number)
        stack.append(state)
        work.append((state, iter(out.get(state, ()))))
