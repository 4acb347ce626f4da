"""Everything that can happen to one actor, tried out: which states it reaches, what it holds at its end, where it is
stuck, whether it turns in circles.

The engine decides which row an event takes (decide.py); a step of a run may end well, fail, hang or be cancelled,
having acquired or not; a guard may answer anything, or raise; what is let go may leak. No proof is used here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, product
from typing import Any

from engine.plan import Call, KindPlan, Row
from engine.records import Event
from engine.steps.decide import decide

Kinds = frozenset[str]
NOTHING: Kinds = frozenset()


@dataclass(frozen=True)
class Moment:
    """step: of the run, len(run) once it is over. owed: `done` and `failed` on their way. armed: time limits left."""

    state: str
    step: int
    held: Kinds
    owed: Kinds
    armed: Kinds


@dataclass(frozen=True)
class Next:
    """by: the event, or "" for the run itself. enters: whether a state was entered."""

    moment: Moment
    by: str = ""
    enters: bool = False


@dataclass
class Answers:
    """What decide() asks: guards answer as told; "raise" raises."""

    given: dict[str, Any]
    asked: set[str] = field(default_factory=set)

    def ask(self, name: str) -> bool:
        self.asked.add(name)
        if self.given[name] == "raise":
            raise RuntimeError(name)
        return bool(self.given[name])


class Explorer:
    """Of a root without children; its guards are asked through Answers (see random_specs.py)."""

    def __init__(self, plan: KindPlan, guards: tuple[str, ...], conditions: tuple[str, ...]) -> None:
        self.plan = plan
        self.guards = guards
        self.conditions = conditions
        self.unclean: set[tuple[str, str, int]] = set()  # state, event, row: an end refused, for something is held
        self.graph: dict[Moment, list[Next]] = {}
        waiting = [self._entered(plan.initial, NOTHING)]
        while waiting:
            moment = waiting.pop()
            if moment not in self.graph:
                self.graph[moment] = list(self._all(moment))
                waiting.extend(one.moment for one in self.graph[moment])

    # What was found

    @property
    def states(self) -> set[str]:
        return {moment.state for moment in self.graph}

    @property
    def stuck(self) -> set[str]:
        """States in which nothing more happens by itself: no run that ends, no time limit, nothing owed."""
        return {moment.state for moment in self.graph if self._is_stuck(moment)}

    def _is_stuck(self, moment: Moment) -> bool:
        plan = self.plan.states[moment.state]
        if plan.is_final or plan.is_quarantine or moment.owed or moment.armed:
            return False
        if moment.step == len(plan.run):
            return True
        call = plan.run[moment.step]
        return call.bound is not None and call.timeout_s is None

    @property
    def turning(self) -> set[str]:
        """States on a circle of runs, `done`, `failed` and conditions."""
        own = {
            here: [one for one in following if one.by in ("", "done", "failed", *self.conditions)]
            for here, following in self.graph.items()
        }
        found: set[str] = set()
        for here, following in own.items():
            for one in following:
                if one.enters and here in _reachable(own, one.moment):
                    found |= {here.state, one.moment.state}
        return found

    # What may happen next

    def _all(self, moment: Moment) -> Iterator[Next]:
        plan = self.plan.states[moment.state]
        if plan.is_final:
            return
        if moment.step < len(plan.run):
            yield from map(Next, self._run(moment, plan.run[moment.step]))
        outside = [event for event in plan.rows if event in self.plan.events]
        first = min(
            (timer for timer in plan.timers if timer.event in moment.armed), key=lambda t: t.seconds, default=None
        )
        own = [*moment.owed, *self.conditions, *([first.event] if first is not None else [])]
        for event in chain(own, outside):
            yield from self._event(moment, event)

    def _run(self, moment: Moment, call: Call) -> Iterator[Moment]:
        """The step under way: it has acquired, it ends well, it fails."""
        over = replace(moment, step=len(self.plan.states[moment.state].run), owed=moment.owed | {"failed"})
        if call.bound is None:
            only = frozenset(call.args.get("only", ())) or moment.held
            for left in _subsets(moment.held & only):
                held = moment.held - only | left
                yield replace(over, held=held) if left else self._ran(replace(moment, held=held))
            yield over  # a task that was left behind
            return
        mark = call.bound.handler.mark
        if not moment.held >= mark.acquires:
            yield replace(moment, held=moment.held | mark.acquires)
        yield self._ran(replace(moment, held=moment.held - mark.releases | mark.acquires))
        yield over

    def _ran(self, moment: Moment) -> Moment:
        step = moment.step + 1
        is_over = step == len(self.plan.states[moment.state].run)
        return replace(moment, step=step, owed=moment.owed | {"done"} if is_over else moment.owed)

    def _event(self, moment: Moment, name: str) -> Iterator[Next]:
        is_own = name not in self.plan.events
        taken = replace(moment, owed=moment.owed - {name}, armed=moment.armed - {name})
        for given in product((True, False, "raise"), repeat=len(self.guards)):
            answers = Answers(dict(zip(self.guards, given, strict=True)))
            event = Event(name, origin="self" if is_own else "client")
            try:
                found = self._decide(moment, event, answers)
            except RuntimeError:
                yield Next(self._failed(taken, name, is_own), name)
                continue
            if found is None:
                yield Next(taken, name)
            else:
                yield from self._row(taken, name, found, is_own)
            if not answers.asked:
                return

    def _decide(self, moment: Moment, event: Event, answers: Answers) -> Row | None:
        plan = self.plan.states[moment.state]
        is_lenient = event.name == "failed"
        return decide(plan, self.plan.targets, event, answers, is_lenient=is_lenient).row

    def _failed(self, taken: Moment, name: str, is_own: bool) -> Moment:
        """As step.py does it: nothing has changed, and `failed` follows what is the actor's own."""
        is_cleaning = self.plan.states[taken.state].is_cleaning
        follows = is_own and name != "failed" and not (is_cleaning and name != "done")
        return replace(taken, owed=taken.owed | {"failed"}) if follows else taken

    def _row(self, taken: Moment, name: str, row: Row, is_own: bool) -> Iterator[Next]:
        held = taken.held
        for call in row.do:
            if call.bound is None:  # write_off
                held = NOTHING
                continue
            mark = call.bound.handler.mark
            for failing in {held, held | mark.acquires}:
                if name == "failed":
                    yield from self._enter(replace(taken, held=failing), name, row, is_own)
                else:
                    yield Next(self._failed(replace(taken, held=failing), name, is_own), name)
            held = held - mark.releases | mark.acquires
        yield from self._enter(replace(taken, held=held), name, row, is_own)

    def _enter(self, taken: Moment, name: str, row: Row, is_own: bool) -> Iterator[Next]:
        if row.to is None:
            yield Next(taken, name)
            return
        if not self.plan.states[row.to].is_final or not taken.held:
            yield Next(self._entered(row.to, taken.held), name, enters=True)
        elif name == "failed":
            yield Next(self._entered(row.to, NOTHING), name, enters=True)
            yield from (Next(replace(taken, held=left), name) for left in _subsets(taken.held) if left)
        else:
            rows = self.plan.states[taken.state].rows[name]
            self.unclean.add((taken.state, name, next(index for index, one in enumerate(rows) if one is row)))
            yield Next(self._failed(taken, name, is_own), name)

    def _entered(self, state: str, held: Kinds) -> Moment:
        return Moment(state, 0, held, NOTHING, frozenset(timer.event for timer in self.plan.states[state].timers))


def _subsets(kinds: Kinds) -> Iterator[Kinds]:
    members = sorted(kinds)
    for count in range(len(members) + 1):
        yield from map(frozenset, combinations(members, count))


def _reachable(graph: dict[Moment, list[Next]], start: Moment) -> set[Moment]:
    found, waiting = {start}, [start]
    while waiting:
        for one in graph[waiting.pop()]:
            if one.moment not in found:
                found.add(one.moment)
                waiting.append(one.moment)
    return found
