"""What may still be held where: each kind of resource followed along every path, failing and cancelled steps included.

An action that fails, hangs or is cancelled may have acquired before, and has not surely released. The full clean-up
lets go of everything; where it fails, anything may be left. What children could not let go is their parent's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from ..document import Path, show
from ..spec import Step, is_full_cleanup
from .findings import Finding
from .graph import CHILDREN, Life, Way
from .stories import Move, Story, between, components, to_state
from .waits import is_surely_left

Node = tuple[str, bool]  # a state, and whether the resource may be held on entering it


@dataclass(frozen=True, slots=True)
class Held:
    """Whether a resource may be held at some moment, and what was done that matters."""

    is_held: bool
    note: str = ""


class Tracked:
    """One kind of resource in one kind of actor. `children` brings what they may leave behind."""

    def __init__(self, life: Life, kind: str) -> None:
        self.life = life
        self.kind = kind
        self.came: dict[Node, tuple[Node, Move] | None] = {}
        self._walk()

    def _walk(self) -> None:
        self.came = {(state, False): None for state in self.life.entries}
        waiting = deque(self.came)
        while waiting:
            node = waiting.popleft()
            for way, target in self.life.leaving(node[0]):
                held = self.after(node, way)
                for reached in {(target, False), (target, held.is_held)}:
                    if reached not in self.came:
                        self.came[reached] = node, Move(way, held.note if reached[1] else "")
                        waiting.append(reached)

    def story(self, node: Node) -> Story:
        moves: list[Move] = []
        while (came := self.came[node]) is not None:
            node = came[0]
            moves.append(came[1])
        return Story(node[0], tuple(reversed(moves)))

    # One state, one way

    def after(self, node: Node, way: Way) -> Held:
        """Whether it may be held once way is taken out of a state entered with it held or not."""
        moment = {"done": self._at_the_end, "failed": self._on_failing}.get(way.event, self._at_some_time)
        held = moment(node)
        if way.event == "restored" and not self._survives():
            held = Held(False)
        for step in way.row.do:
            if self.acquires(step):
                held = Held(True, _joined(held.note, f"{step.ref.name} acquired {self.kind}"))
            elif step.ref.name == "write_off" or (self._releases(step) and way.event != "failed"):
                held = Held(False)
        return held

    def _at_the_end(self, node: Node) -> Held:
        """After every step of the run has succeeded."""
        state, held = node[0], Held(node[1])
        for step in self.life.state(state).run:
            held = self._after_step(held, step)
        return held if held.is_held else self._beside(state, but=("done", "failed"))

    def _at_some_time(self, node: Node) -> Held:
        """At any moment in the state: before, within or after any step, or after a `do` that failed."""
        state, held = node[0], Held(node[1])
        for step in self.life.state(state).run:
            if held.is_held:
                return held
            if self.acquires(step, in_run=True):
                return Held(True, self._acquired_by(step))
        return held if held.is_held else self._beside(state)

    def _on_failing(self, node: Node) -> Held:
        """When a step fails, or, after all of them, the `do` of `done`; or at any time, if another event's may."""
        state, held = node[0], Held(node[1])
        choices = self.life.choices[state].values()
        others = [one for one in choices if one.event not in ("done", "failed") and one.ways and one.ways[0].is_own]
        if any(one.can_fail for one in others) and not self.life.planned(state).is_cleaning:
            return self._at_some_time(node)
        for step in self.life.state(state).run:
            # Children are gone even where the rest of a clean-up fails: the last of them are ended by force.
            is_left = held.is_held and not (self.kind == CHILDREN and is_full_cleanup(step))
            if self.life.step_may_fail(step) and (is_left or self.acquires(step, in_run=True)):
                return held if is_left else Held(True, self._acquired_by(step))
            held = self._after_step(held, step)
        is_last = held.is_held and "done" in self.life.choices[state] and self.life.choices[state]["done"].can_fail
        return held if is_last else self._beside(state)

    def _after_step(self, held: Held, step: Step) -> Held:
        if self.acquires(step, in_run=True):
            return Held(True, self._acquired_by(step))
        return Held(False) if self._releases(step) else held

    def _beside(self, state: str, but: tuple[str, ...] = ()) -> Held:
        """What the `do` of an event may acquire while the state goes on: an internal one, or one that fails then."""
        for event, choice in self.life.choices[state].items():
            for way in choice.ways if event not in but else ():
                for step in way.row.do:
                    if self.acquires(step):
                        return Held(True, f"{event}: {step.ref.name} acquired {self.kind}")
        return Held(False)

    def acquires(self, step: Step, *, in_run: bool = False) -> bool:
        if self.kind in self.life.mark(step).acquires:
            return self.kind != CHILDREN or bool(self.life.machine.owns)
        is_theirs = self.kind == CHILDREN or self.kind in self.life.inherited
        return in_run and is_theirs and self.life.starts_children(step)

    def _releases(self, step: Step) -> bool:
        """Whether it is gone once the step has succeeded. Letting children go may leave what they held."""
        only = step.ref.args.get("only", ()) if step.ref.name == "cleanup" else ()
        return is_full_cleanup(step) or self.kind in only or self.kind in self.life.mark(step).releases

    def _acquired_by(self, step: Step) -> str:
        if self.kind in self.life.mark(step).acquires or self.kind == CHILDREN:
            return f"{step.ref.name} acquired {self.kind}"
        return f"{step.ref.name} started a child, which left {self.kind} behind"

    def _survives(self) -> bool:
        """Whether it may still be there in the next process. A root also gets what the store's failure left behind."""
        return self.life.is_root or self.kind == CHILDREN or self.kind in self.life.surviving

    # Growing

    def may_grow(self, way: Way) -> tuple[bool, bool]:
        """Whether the way may be taken without letting go of any; and whether it may add one then."""
        grows = passes = True
        if way.event == "restored":
            return self.kind in self.life.surviving, False
        if way.target is not None:
            passes, grows = self._run_grows(way)
        else:
            grows = False
        for step in way.row.do:
            if self._adds(step):
                grows = True
            elif self._releases(step) and way.event != "failed":
                passes = False
        return passes, passes and grows

    def _run_grows(self, way: Way) -> tuple[bool, bool]:
        grows = False
        for step in self.life.state(way.source).run:
            if self._adds(step):
                grows = True
            elif self._releases(step):
                return way.event != "done", grows and way.event != "done"
        return True, grows

    def _adds(self, step: Step) -> bool:
        mark = self.life.mark(step)
        return self.kind in mark.acquires and not mark.once


def hold_findings(life: Life) -> Iterator[Finding]:
    tracked = [Tracked(life, kind) for kind in _kinds(life)]
    yield from _at_ends(life, tracked)
    yield from _traps(life, tracked)
    for one in tracked:
        if one.kind in life.acquired:
            yield from _growing(one)


def _kinds(life: Life) -> list[str]:
    """What is followed, in a fixed order: its own first, then children, then what they may leave."""
    children = [CHILDREN] if life.machine.owns else []
    return [*sorted(life.acquired), *children, *sorted(life.inherited - life.acquired)]


def _at_ends(life: Life, tracked: list[Tracked]) -> Iterator[Finding]:
    """Ways into a final state. After `failed` the engine itself cleans up before it looks."""
    found: dict[Path, tuple[Way, list[str], Story]] = {}
    for one in tracked:
        for way in life.all_ways():
            if way.target is None or not life.state(way.target).final or way.event == "failed":
                continue
            for node in ((way.source, False), (way.source, True)):
                held = one.after(node, way) if node in one.came else Held(False)
                if held.is_held:
                    story = one.story(node)
                    moves = (*story.moves, Move(way, held.note))
                    story = Story(story.start, moves, end=f"{one.kind} still held")
                    kinds = found.setdefault(way.path, (way, [], story))[1]
                    kinds.extend([one.kind] if one.kind not in kinds else [])
                    break
    for path, (way, kinds, story) in found.items():
        message = f"{show(way.target or '')} is entered by {way.event} while {_listed(kinds)} may still be held"
        hint = "go through a state with `run: [cleanup]` first"
        yield Finding((*path, "to"), "held-at-end", message, story, hint)


def _traps(life: Life, tracked: list[Tracked]) -> Iterator[Finding]:
    """States of a root from which nothing leads on if something can never be let go."""
    if not life.is_root:
        return
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
        story = one.story(node)
        end = f"{one.kind} cannot be let go: no final state is entered, and nothing else leads on"
        message = f"if {one.kind} cannot be let go, {show(name)} is never left"
        hint = "lead its `failed` to a state with `quarantine: true`"
        yield Finding(life.at(name), "leak-trap", message, Story(story.start, story.moves, end=end), hint)


def _gets(one: Tracked, state: str) -> bool:
    """Whether the state itself may come to hold it."""
    return (state, False) in one.came and one._at_some_time((state, False)).is_held


def _growing(one: Tracked) -> Iterator[Finding]:
    life = one.life
    reached = life.reached
    passing: list[Way] = []
    adding: dict[int, Way] = {}
    for way in life.all_ways():
        passes, grows = one.may_grow(way) if way.source in reached else (False, False)
        if passes:
            passing.append(way)
        if grows:
            adding[id(way)] = way
    inner = {way.path: way for way in adding.values() if way.target is None}
    yield from (_grows(one, way, [way]) for way in inner.values())
    for part in components(passing):
        for way in [way for way in part if id(way) in adding][:1]:
            there = [] if way.target == way.source else between(part, way.target or "", way.source)
            yield _grows(one, way, [way, *there])


def _grows(one: Tracked, way: Way, turn: list[Way]) -> Finding:
    step = next(step for step in (*one.life.state(way.source).run, *way.row.do) if one._adds(step))
    message = f"{step.ref.name} acquires {one.kind} on each round of a circle that never lets go of it"
    names = " → ".join([way.source, *(w.target or w.source for w in turn)])
    story = to_state(one.life, way.source).round(turn)
    hint = "let go on the way, or say once=True of an action that keeps what is held"
    if step in one.life.state(way.source).run:
        path = one.life.at(way.source)
    else:
        path = way.path
    return Finding(path, "growing-hold", f"{message} ({names})", story, hint)


def _listed(kinds: list[str]) -> str:
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"


def _joined(*notes: str) -> str:
    return ", ".join(note for note in notes if note)
