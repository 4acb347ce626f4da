"""What may still be held where it must not be: at an end, and in a root that cannot let it go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ..language.document import Path, show
from .findings import Finding
from .graph import CHILDREN, Life, Way
from .stories import Move, Story
from .tracking import Node, Tracked
from .waits import is_surely_left

TRACKED_MAX: Final = 64  # kinds of one file that are not followed a second time


def hold_findings(life: Life) -> Iterator[Finding]:
    tracked = _tracked(life)
    yield from _at_ends(life, tracked)
    yield from _traps(life, tracked)


def refused(life: Life) -> frozenset[tuple[str, str]]:
    """States and events that lead to an end while something may be held."""
    return frozenset((one.way.source, one.way.event) for one in _unclean(life, _tracked(life)))


@lru_cache(maxsize=TRACKED_MAX)
def _tracked(life: Life) -> list[Tracked]:
    return [Tracked(life, kind) for kind in _kinds(life)]


def _kinds(life: Life) -> list[str]:
    """What is followed, in a fixed order: its own first, then children, then what they may leave."""
    children = [CHILDREN] if life.machine.owns else []
    return [*sorted(life.acquired), *children, *sorted(life.inherited - life.acquired)]


def _at_ends(life: Life, tracked: list[Tracked]) -> Iterator[Finding]:
    found: dict[Path, list[Unclean]] = {}
    for one in _unclean(life, tracked):
        found.setdefault(one.way.path, []).append(one)
    for path, several in found.items():
        way, kinds = several[0].way, list(dict.fromkeys(one.kind for one in several))
        message = f"{show(way.target or '')} is entered by {way.event} while {_listed(kinds)} may still be held"
        hint = "go through a state with `run: [cleanup]` first"
        yield Finding((*path, "to"), "held-at-end", message, several[0].story, hint)


@dataclass(frozen=True, slots=True)
class Unclean:
    """A way into a final state that may be taken while something of a kind is held."""

    way: Way
    kind: str
    story: Story


def _unclean(life: Life, tracked: list[Tracked]) -> Iterator[Unclean]:
    """After `failed` the engine itself cleans up before it looks."""
    ends = [way for way in life.all_ways() if way.target and life.state(way.target).final and way.event != "failed"]
    for one in tracked:
        for way in ends:
            for node in (node for node in ((way.source, False), (way.source, True)) if node in one.came):
                held = one.after(node, way)
                if held.is_held:
                    story = one.story(node)
                    moves = (*story.moves, Move(way, held.note))
                    yield Unclean(way, one.kind, Story(story.start, moves, end=f"{one.kind} still held"))
                    break


def _traps(life: Life, tracked: list[Tracked]) -> Iterator[Finding]:
    """States of a root from which nothing leads on by itself if something can never be let go."""
    if not life.is_root:
        return
    told: set[Path] = set()
    for name, state in life.machine.states.items():
        if state.final or state.quarantine or not is_surely_left(life, name) or is_surely_left(life, name, leaks=True):
            continue
        node = (name, True)
        one = next((one for one in tracked if one.kind != CHILDREN and node in one.came), None)
        if one is None:
            one = next((one for one in tracked if one.kind != CHILDREN and _gets(one, name)), None)
            node = (name, False)
        if one is None:
            continue
        finding = _trap(life, one, node)
        if finding.path not in told:
            told.add(finding.path)
            yield finding


def _trap(life: Life, one: Tracked, node: Node) -> Finding:
    """Told of the `failed` that leads to an end, if there is one."""
    state, story, path = node[0], one.story(node), life.at(node[0])
    failing = life.on_failing[state].ways if state in life.on_failing else ()
    way = next((way for way in failing if way.target and life.state(way.target).final), None)
    end = f"{one.kind} cannot be let go: no final state is entered, and nothing else surely leads on by itself"
    if way is not None:
        story, path = Story(story.start, (*story.moves, Move(way, one.after(node, way).note))), (*way.path, "to")
        end = f"but it is not entered: {one.kind} cannot be let go, and nothing else surely leads on by itself"
    message = f"if {one.kind} cannot be let go, {show(state)} is never left by itself"
    hint = "lead its `failed` to a state with `quarantine: true`"
    if not life.planned(state).is_cleaning:
        hint = "lead `failed` to a state with `run: [cleanup]`, and the `failed` of that one to `quarantine: true`"
    return Finding(path, "leak-trap", message, Story(story.start, story.moves, end=end), hint)


def _gets(one: Tracked, state: str) -> bool:
    """Whether the state itself may come to hold it."""
    if (state, False) not in one.came:
        return False
    in_run = any(one.acquires(step, in_run=True) for step in one.life.state(state).run)
    beside = (way for way in one.life.ways(state) if one._may_stay(way))
    return in_run or any(one.acquires(step) for way in beside for step in way.row.do)


def _listed(kinds: list[str]) -> str:
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"
