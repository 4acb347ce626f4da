"""The shortest way to every state of a kind, each as a test case that the real engine walks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..actor import Actor
from ..records import Event, Record
from ..resources import Resource
from ..spec import CONDITIONS, Machine, Spec, is_full_cleanup
from ..steps.conditions import set_condition
from .rig import Rig
from .stand_ins import Answers, Stage, all_answers, holds, place, remember
from .table import events_of, listed
from .virtual import run_virtual

# Of two ways of the same length the one whose events come first here is taken; others come last.
PREFERRED: Final = ("client", "admin", "parent", "child", "done", "self", "failed")


@dataclass(frozen=True)
class Move:
    """One transition: in a state, on an event, with what the guards have to say for it."""

    state: str
    event: Event
    answers: Answers
    to: str

    def __str__(self) -> str:
        return f"{self.event.name} to {self.to}"


@dataclass(frozen=True)
class Path:
    """From the beginning of a kind's life to one of its states."""

    stage: Stage
    kind: str
    moves: tuple[Move, ...]

    @property
    def machine(self) -> Machine:
        return self.stage.spec.machines[self.kind]

    @property
    def states(self) -> list[str]:
        return [self.machine.initial, *(move.to for move in self.moves)]

    def __str__(self) -> str:
        return ", ".join([f"{self.kind} {self.states[0]}", *map(str, self.moves)])

    def walk(self) -> list[str]:
        """The states that a real actor goes through on it, on stand-ins for its handlers."""
        return run_virtual(self._walk())

    async def _walk(self) -> list[str]:
        async with Rig(self.stage.machines) as rig:
            self.stage.begin()
            session, actor = place(rig, self.stage.spec, self.kind)
            stuck = Stuck()
            if any(move.event.name == "failed" and is_cleaning(self.machine, move.state) for move in self.moves):
                actor.holdings.hold(Resource("files", "stuck", stuck, actor.path, actor.now()))
            if actor.parent is None:
                actor.start(Event("created"))  # as a child has begun already
            for move in self.moves:
                await self._make(rig, actor, move)
            stuck.closed = True
            records = [Record.decode(text) for text in await rig.journal.records(session.sid)]
            await session.dissolve()
        entered = [one.body["to"] for one in records if one.actor == actor.path and "to" in one.body]
        return [self.machine.initial, *entered][: len(self.states)]  # a clean-up goes on by itself

    async def _make(self, rig: Rig, actor: Actor, move: Move) -> None:
        name, stage = move.event.name, self.stage
        stage.answers = move.answers
        remember(actor, listed(self.machine, move.state, name) or (), move.answers)
        timer = actor.timers.get(name)
        if name in ("done", "failed") and self.machine.states[move.state].run:
            stage.finish(move.state, is_well=name == "done")
        elif name in CONDITIONS:
            set_condition(actor, name, holds=True)
        elif timer is not None and all(timer.deadline <= other.deadline for other in actor.timers.values()):
            await rig.advance(timer.deadline - actor.now())
        else:
            actor.post(move.event)
        await rig.settle()
        for condition in CONDITIONS:
            set_condition(actor, condition, holds=False)


class Stuck:
    """A file that does not close, so that a clean-up fails."""

    closed = False

    def close(self) -> None:
        if not self.closed:
            raise OSError("it is stuck")


def paths_to(spec: Spec, kind: str) -> list[Path]:
    """A shortest path to each state of a kind that any leads to, for `@pytest.mark.parametrize("path", …, ids=str)`."""
    stage, machine = Stage(spec), spec.machines[kind]
    found: dict[str, tuple[Move, ...]] = {machine.initial: ()}
    waiting = deque([machine.initial])
    while waiting:
        state = waiting.popleft()
        for move in _moves(machine, state, is_root=kind in spec.roots):
            if move.to not in found:
                found[move.to] = (*found[state], move)
                waiting.append(move.to)
    return [Path(stage, kind, moves) for moves in found.values()]


def _moves(machine: Machine, state: str, *, is_root: bool) -> Iterator[Move]:
    for event in sorted(events_of(machine), key=_preference):
        if not _can_happen(machine, state, event.name, is_root=is_root):
            continue
        rows = listed(machine, state, event.name) or ()
        for answers in all_answers(rows):
            chosen = next((row for row in rows if holds(row.when, answers)), None)
            if chosen is not None and chosen.to is not None:
                yield Move(state, event, answers, chosen.to)


def _can_happen(machine: Machine, state: str, name: str, *, is_root: bool) -> bool:
    """A clean-up is left by its own end, and only a root's can fail; work has to be there to be done."""
    if is_cleaning(machine, state):
        return name == "done" or (name == "failed" and is_root)
    return name != "done" or bool(machine.states[state].run)


def _preference(event: Event) -> int:
    return next((at for at, word in enumerate(PREFERRED) if word in (event.origin, event.name)), len(PREFERRED))


def is_cleaning(machine: Machine, state: str) -> bool:
    return any(is_full_cleanup(step) for step in machine.states[state].run)
