"""One kind of resource followed along every path of one kind of actor, failing and cancelled steps included.

An action that fails, hangs or is cancelled may have acquired before, and has not surely released. The full clean-up
lets go of everything; where it fails, anything may be left. What children could not let go is their parent's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..spec import Step, is_full_cleanup
from .graph import CHILDREN, Life, Way
from .stories import Move, Story

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
        held = moment(node, way)
        if way.event == "restored" and not self._survives():
            held = Held(False)
        for step in way.row.do:
            if self.acquires(step):
                held = Held(True, _joined(held.note, f"{step.ref.name} acquired {self.kind}"))
            elif step.ref.name == "write_off" or (releases(self.life, self.kind, step) and way.event != "failed"):
                held = Held(False)
        return held

    def _at_the_end(self, node: Node, way: Way) -> Held:
        """After every step of the run has succeeded."""
        state, held = node[0], Held(node[1])
        for step in self.life.state(state).run:
            held = self._after_step(held, step)
        return held if held.is_held else self._beside(state, way)

    def _at_some_time(self, node: Node, way: Way) -> Held:
        """At any moment in the state: before, within or after any step, or after a `do` that failed."""
        state, held = node[0], Held(node[1])
        for step in self.life.state(state).run:
            if held.is_held:
                return held
            if self.acquires(step, in_run=True):
                return Held(True, self._acquired_by(step))
        return held if held.is_held else self._beside(state, way)

    def _on_failing(self, node: Node, way: Way) -> Held:
        """When a step fails, or, after all of them, the `do` of `done`; or at any time, if another event's may."""
        state, held = node[0], Held(node[1])
        if self._fails_beside(state):
            return self._at_some_time(node, way)
        for step in self.life.state(state).run:
            # Children are gone even where the rest of a clean-up fails: the last of them are ended by force.
            is_left = held.is_held and not (self.kind == CHILDREN and is_full_cleanup(step))
            if self.life.step_may_fail(step) and (is_left or self.acquires(step, in_run=True)):
                return held if is_left else Held(True, self._acquired_by(step))
            held = self._after_step(held, step)
        is_last = held.is_held and "done" in self.life.choices[state] and self.life.choices[state]["done"].can_fail
        return held if is_last else self._beside(state, way)

    def _after_step(self, held: Held, step: Step) -> Held:
        if self.acquires(step, in_run=True):
            return Held(True, self._acquired_by(step))
        return Held(False) if releases(self.life, self.kind, step) else held

    def _beside(self, state: str, way: Way) -> Held:
        """What the `do` of an event may have acquired before way, while the state went on: an internal one, or one
        that failed."""
        for choice in self.life.choices[state].values():
            for other in choice.ways if self._may_precede(choice.event, way) else ():
                for step in other.row.do if self._may_stay(other) else ():
                    if self.acquires(step):
                        return Held(True, f"{other.event}: {step.ref.name} acquired {self.kind}")
        return Held(False)

    def _may_stay(self, way: Way) -> bool:
        """Whether a `do` may have been tried, and the state go on. A `failed` leads on even if its `do` fails; only the
        end of a root is refused, if what is held then cannot be let go."""
        is_end = way.target is not None and self.life.state(way.target).final
        return way.event != "failed" or way.target is None or (is_end and self.life.is_root)

    def _may_precede(self, event: str, way: Way) -> bool:
        """Whether an event may have come in the same stay before the one of way: `done` and a time limit come once,
        and the shorter limit first."""
        if event == way.event:
            return self._fails_twice(way.source) if event == "failed" else not way.is_timer and event != "done"
        if event == "failed":
            return self._failed_before(way)
        lengths = {timer.event: timer.seconds for timer in self.life.planned(way.source).timers if not timer.is_idle}
        return event not in lengths or way.event not in lengths or lengths[event] < lengths[way.event]

    def _failed_before(self, way: Way) -> bool:
        """Whether something else than what way takes, which came before it, may have failed."""
        if way.event != "done" and any(map(self.life.step_may_fail, self.life.state(way.source).run)):
            return True
        choices = self.life.choices[way.source]
        events = [event for event in choices if event != "failed" and self._may_precede(event, way)]
        is_cleaning = self.life.planned(way.source).is_cleaning
        return self.life.fails_beside_run(way.source, [one for one in events if one == "done" or not is_cleaning])

    def _fails_twice(self, state: str) -> bool:
        """Whether `failed` may come again in the same stay: the activity fails once, and so does each time limit."""
        run = map(self.life.step_may_fail, self.life.state(state).run)
        once = [any(run) or self.life.fails_beside_run(state, ["done"])]
        if not self.life.planned(state).is_cleaning:
            timers = [timer.event for timer in self.life.planned(state).timers]
            once += [self.life.fails_beside_run(state, [event]) for event in timers]
            again = [event for event in self.life.choices[state] if event not in (*timers, "done")]
            once += [self.life.fails_beside_run(state, again)] * 2
        return sum(once) > 1

    def _fails_beside(self, state: str) -> bool:
        """Whether `failed` may come of anything but the activity and its `done`."""
        events = [event for event in self.life.choices[state] if event != "done"]
        return self.life.fails_beside_run(state, events) and not self.life.planned(state).is_cleaning

    def acquires(self, step: Step, *, in_run: bool = False) -> bool:
        if self.kind in self.life.mark(step).acquires:
            return self.kind != CHILDREN or bool(self.life.machine.owns)
        is_theirs = self.kind == CHILDREN or self.kind in self.life.inherited
        return in_run and is_theirs and self.life.starts_children(step)

    def _acquired_by(self, step: Step) -> str:
        if self.kind in self.life.mark(step).acquires or self.kind == CHILDREN:
            return f"{step.ref.name} acquired {self.kind}"
        return f"{step.ref.name} started a child, which left {self.kind} behind"

    def _survives(self) -> bool:
        """Whether it may still be there in the next process. A root also gets what the store's failure left behind."""
        return self.life.is_root or self.kind == CHILDREN or self.kind in self.life.surviving


def _joined(*notes: str) -> str:
    return ", ".join(note for note in notes if note)


def releases(life: Life, kind: str, step: Step) -> bool:
    """Whether none is left once the step has succeeded. Letting children go may leave what they held."""
    only = step.ref.args.get("only", ()) if step.ref.name == "cleanup" else ()
    return is_full_cleanup(step) or kind in only or kind in life.mark(step).releases
