"""The finite graph of one kind: every way an event may take an actor from a state, as the engine takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from ..language.builtins import is_built_in
from ..language.document import Path, numbered
from ..language.walk import state_path
from ..plan import KindPlan, StatePlan
from ..registry import Mark, Registry
from ..resources import LIMITED
from ..spec import ENGINE_EVENTS, Machine, State, Step, Transition, is_full_cleanup
from ..steps.decide import LEAVE_A_CLEANUP
from .guards import Guards

CHILDREN: Final = "children"
PLAIN: Final = Mark("action", "")


@dataclass(frozen=True, slots=True)
class Way:
    """One row of one event in one state. target None: internal. path: where the row is written."""

    source: str
    event: str
    target: str | None
    row: Transition
    path: Path

    @property
    def is_timer(self) -> bool:
        return " " in self.event

    @property
    def is_own(self) -> bool:
        """Whether it comes by itself: nobody outside the session has to do anything."""
        return self.is_timer or self.event in ENGINE_EVENTS


@dataclass(frozen=True, slots=True)
class Choice:
    """What one event may do in one state. ways: those of its rows that are ever taken. is_sure: whether one of them
    is, whatever the guards say. can_fail: whether a guard or a `do` may fail, so that an own event becomes `failed`."""

    event: str
    path: Path
    ways: tuple[Way, ...]
    is_sure: bool
    can_fail: bool


@dataclass(eq=False)
class Life:
    """One kind: its machine, what was compiled of it, and its graph. below: the kinds it owns.

    refused: states and events of which it is proved that something may be held when they lead to an end. The engine
    refuses that; what comes then is `failed`, and the next time limit.
    """

    machine: Machine
    plan: KindPlan
    registry: Registry
    is_root: bool
    below: tuple[Life, ...] = ()
    entries: tuple[str, ...] = ()  # states in which an actor may begin, or come back from an older file
    refused: frozenset[tuple[str, str]] = frozenset()
    choices: dict[str, dict[str, Choice]] = field(default_factory=dict)
    overtaken: dict[Path, tuple[str, str]] = field(default_factory=dict)  # time limits that never come: state, event
    on_failing: dict[str, Choice] = field(init=False)  # also where only a final state that is not clean could fail
    guards: Guards = field(init=False)

    def __post_init__(self) -> None:
        self.guards = Guards(self.registry)
        for name, state in self.machine.states.items():
            found = {event: self._choice(name, event, rows, path) for event, rows, path in self._rows(name, state)}
            self.choices[name] = {event: choice for event, choice in found.items() if choice.ways}
        self.on_failing = {name: choices["failed"] for name, choices in self.choices.items() if "failed" in choices}
        for name in self.machine.states:
            for event in self._overtaken(name):
                self.overtaken[self.choices[name].pop(event).path] = name, event
            if not self.may_fail(name):
                self.choices[name].pop("failed", None)

    # What is written down

    @property
    def kind(self) -> str:
        return self.machine.kind

    def state(self, name: str) -> State:
        return self.machine.states[name]

    def at(self, name: str) -> Path:
        return state_path(self.machine, name)

    def planned(self, name: str) -> StatePlan:
        return self.plan.states[name]

    def mark(self, step: Step) -> Mark:
        """What the decorator of a step's action says; built-in steps say nothing."""
        handler = None if is_built_in("action", step.ref.name) else self.registry.get("action", step.ref.name)
        return handler.mark if handler is not None else PLAIN

    def ways(self, name: str) -> Iterator[Way]:
        for choice in self.choices[name].values():
            yield from choice.ways

    def all_ways(self) -> Iterator[Way]:
        for name in self.machine.states:
            yield from self.ways(name)

    def leaving(self, name: str) -> Iterator[tuple[Way, str]]:
        """The ways that enter a state, with the state they enter."""
        for way in self.ways(name):
            if way.target is not None:
                yield way, way.target

    # What may happen

    def _rows(self, name: str, state: State) -> Iterator[tuple[str, tuple[Transition, ...], Path]]:
        """Every event that can come in the state and has rows there."""
        at = self.at(name)
        for event in dict.fromkeys((*state.transitions, *self.machine.transitions)):
            rows = self.machine.rows(name, event)
            if rows and self.occurs(name, event):
                own = event in state.transitions
                yield event, rows, (*at, "transitions", event) if own else (self.kind, "transitions", event)
        for word, timers in (("after", state.after), ("idle", state.idle)):
            for timer in timers:
                yield f"{word} {timer.text}", timer.transitions, (*at, word, timer.text)

    def occurs(self, name: str, event: str) -> bool:
        """Whether an event can come in a state at all."""
        limits = self.machine.limits
        match event:
            case "done":
                return bool(self.state(name).run)
            case "child_ended":
                return bool(self.machine.owns)
            case "stop":
                return not self.is_root
            case "connected" | "last_connection_lost":
                return self.is_root
            case "unhealthy":
                return self.machine.health is not None
            case "limit_exceeded":
                return any(getattr(limits, what) is not None for what in LIMITED)
        return True

    def _choice(self, name: str, event: str, rows: tuple[Transition, ...], path: Path) -> Choice:
        taken = self.guards.taken(rows, event)
        ways = tuple(
            Way(name, event, row.to, row, numbered(path, index, len(rows)))
            for index, row in enumerate(rows)
            if taken[index] and not self._is_already(name, event, row)
        )
        can_fail = any(self.guards.can_raise(row.when) for row in rows) or any(
            not is_built_in("action", step.ref.name) for way in ways for step in way.row.do
        )
        return Choice(event, path, ways, self.guards.covers(rows, event) and len(ways) == sum(taken), can_fail)

    def _overtaken(self, name: str) -> list[str]:
        """Time limits of a state that another one, which surely leaves it, always comes before."""
        timers = self.planned(name).timers
        sure = [timer.most_s for timer in timers if not timer.is_idle and self._always_leaves(name, timer.event)]
        return [
            timer.event for timer in timers if sure and timer.seconds > min(sure) and timer.event in self.choices[name]
        ]

    def _always_leaves(self, name: str, event: str) -> bool:
        choice = self.choices[name].get(event)
        if choice is None or not choice.is_sure or choice.can_fail:
            return False
        return (name, event) not in self.refused and all(way.target is not None for way in choice.ways)

    def _is_already(self, name: str, event: str, row: Transition) -> bool:
        """What the engine answers with `already`: a clean-up is left by its own end; where it is, it is."""
        if row.to is not None and self.planned(name).is_cleaning and event not in LEAVE_A_CLEANUP:
            return True
        return row.to == name and event not in self.planned(name).own and event != "failed"

    def may_fail(self, name: str) -> bool:
        """Whether `failed` can come: of the activity, or of what an event of the actor's own does."""
        is_cleaning = self.planned(name).is_cleaning  # then what other events do wrong is told, and no more
        own = {event for event in self.choices[name] if event in ENGINE_EVENTS or " " in event}
        return self.fails_by(name, {"done"} if is_cleaning else own)

    def fails_by(self, name: str, events: Container[str]) -> bool:
        """Whether `failed` can come of the activity, or of one of these events."""
        return any(map(self.step_may_fail, self.state(name).run)) or self.fails_beside_run(name, events)

    def fails_beside_run(self, name: str, events: Container[str]) -> bool:
        """Whether `failed` can come of one of these events, which are the actor's own."""
        choices = [choice for event, choice in self.choices[name].items() if event in events and event != "failed"]
        return any(self._fails(choice) for choice in choices if choice.ways[0].is_own)

    def _fails(self, choice: Choice) -> bool:
        return choice.can_fail or (choice.ways[0].source, choice.event) in self.refused

    def step_may_fail(self, step: Step) -> bool:
        """A clean-up fails if something leaks, and be it a task that a handler left behind; of an owned kind the full
        one does not: what leaks passes up."""
        if not is_built_in("action", step.ref.name):
            return True
        if is_full_cleanup(step):
            return self.is_root and self._has_handlers
        return any(kind != CHILDREN for kind in step.ref.args.get("only", ()))

    @cached_property
    def _has_handlers(self) -> bool:
        """Whether there is any code of the author's that could leave something behind."""
        has_action = any(not is_built_in("action", step.ref.name) for step in self.steps())
        return has_action or bool(self.machine.owns) or self.machine.health is not None

    # What may be held

    @cached_property
    def acquired(self) -> frozenset[str]:
        """Kinds of resource that its own actions acquire, children left out."""
        found = {kind for step in self.steps() for kind in self.mark(step).acquires}
        return frozenset(found - {CHILDREN})

    @cached_property
    def inherited(self) -> frozenset[str]:
        """Kinds that may pass to it from an actor below it."""
        return frozenset(kind for life in self.below for kind in life.leakable)

    @property
    def leakable(self) -> frozenset[str]:
        """Kinds whose release may fail, here or below."""
        return self.acquired | self.inherited

    @cached_property
    def surviving(self) -> frozenset[str]:
        """Kinds of which something may be left in the next process."""
        own = {kind for step in self.steps() if self.mark(step).survives for kind in self.mark(step).acquires}
        return frozenset(own).union(*(life.surviving for life in self.below))

    def steps(self) -> Iterator[Step]:
        for way in self.all_ways():
            yield from way.row.do
        for state in self.machine.states.values():
            yield from state.run

    # Where it may get

    @cached_property
    def reached(self) -> Mapping[str, Way | None]:
        """Every state an actor can be in, the nearest first, with the last way of a shortest path into it."""
        return self.reached_from(self.entries)

    def reached_from(self, starts: Iterable[str], without: str = "") -> Mapping[str, Way | None]:
        """without: an event that does not come meanwhile."""
        found: dict[str, Way | None] = dict.fromkeys(starts)
        waiting = deque(found)
        while waiting:
            for way, target in self.leaving(waiting.popleft()):
                if target not in found and way.event != without:
                    found[target] = way
                    waiting.append(target)
        return found

    @cached_property
    def _says_who_starts(self) -> bool:
        return any(CHILDREN in self.mark(step).acquires for state in self.machine.states.values() for step in state.run)

    def starts_children(self, step: Step) -> bool:
        """Whether a step of a `run` may start a child: the actions that say so; if none does, any."""
        if not self.machine.owns or is_built_in("action", step.ref.name):
            return False
        return CHILDREN in self.mark(step).acquires if self._says_who_starts else True
