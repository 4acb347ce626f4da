"""Every state of a kind against every event: what the file says happens beside what the engine does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from ..records import Event, Outcome
from ..spec import CONDITIONS, ENGINE_EVENTS, Machine, Spec, Transition, is_full_cleanup
from ..steps.conditions import hold
from ..steps.mailbox import Item
from ..steps.step import step
from .rig import Rig
from .stand_ins import Answers, Stage, all_answers, holds, place, remember
from .virtual import run_virtual

UNKNOWN: Final = "no_such_event"
PAYLOAD: Final = {
    "ran": {},
    "error": {"handler": "h", "code": "c", "ref": "r"},
    "result": None,
}  # of any of the engine's


class Happening(NamedTuple):
    """What became of an event, and the state after it. code: why it was refused."""

    status: str
    code: str
    state: str


@dataclass(frozen=True)
class Cell:
    """One state, one event, and what the guards say."""

    stage: Stage
    kind: str
    state: str
    event: Event
    answers: Answers

    def __str__(self) -> str:
        said = ",".join(f"{guard}={'yes' if answer else 'no'}" for guard, answer in self.answers.items())
        return f"{self.kind}.{self.state}-{self.event.name}" + (f"[{said}]" if said else "")

    @property
    def machine(self) -> Machine:
        return self.stage.spec.machines[self.kind]

    @cached_property
    def rows(self) -> tuple[Transition, ...] | None:
        """What the file lists for it; None: nothing."""
        return listed(self.machine, self.state, self.event.name)

    @property
    def expected(self) -> Happening:
        """As language.md says it, read from the file and nothing else."""
        here, event, rows = self.machine.states[self.state], self.event, self.rows
        is_own = event.origin in ("engine", "self")
        chosen = next((row for row in rows or () if holds(row.when, self.answers)), None)
        if rows is None and event.name in here.defer:
            return Happening("deferred", "", self.state)
        if not rows:
            if here.final and any(row.to for row in self.machine.transitions.get(event.name, ())):
                return Happening("done", "", self.state)
            code = "ended" if here.final else "quarantined" if here.quarantine else "not_now"
            return Happening("ignored", "", self.state) if is_own else Happening("refused", code, self.state)
        if chosen is None:
            return Happening("ignored", "", self.state) if is_own else Happening("refused", "guard", self.state)
        return Happening("done", "", self.state if self._is_so_already(chosen) else chosen.to or self.state)

    def _is_so_already(self, chosen: Transition) -> bool:
        """A clean-up is left by its own end only; what the machine's own rows lead to from everywhere may be here."""
        here, name = self.machine.states[self.state], self.event.name
        is_cleaning = any(is_full_cleanup(one) for one in here.run)
        is_inherited = name not in here.transitions and " " not in name
        return (is_cleaning and name not in ("done", "failed")) or (
            chosen.to == self.state and is_inherited and name != "failed"
        )

    @property
    def actual(self) -> Happening:
        """The same on a real actor, put into the state, on stand-ins for its handlers."""
        self.stage.answers = self.answers
        return run_virtual(self._play())

    async def _play(self) -> Happening:
        async with Rig(self.stage.machines) as rig:
            session, actor = place(rig, self.stage.spec, self.kind)
            await actor.leave()
            actor.state = self.state
            remember(actor, self.rows or (), self.answers)
            if self.event.name in CONDITIONS:
                hold(actor, self.event.name)
            waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            await step(actor, Item(self.event, waiter))
            after = actor.state  # at once: what it enters may go on by itself while the outcome becomes durable
            outcome = await waiter
            await session.dissolve()
            return Happening(outcome.status, outcome.code, after)


def listed(machine: Machine, state: str, name: str) -> tuple[Transition, ...] | None:
    """The transitions an event, or a time limit by its event's name, has in a state."""
    for word in ("after", "idle"):
        for timer in getattr(machine.states[state], word):
            if name == f"{word} {timer.text}":
                return tuple(timer.transitions)
    return machine.rows(state, name)


def cells(spec: Spec, kind: str) -> Iterator[Cell]:
    """Every cell of a kind's table."""
    machine, stage = spec.machines[kind], Stage(spec)
    for state in machine.states:
        for event in events_of(machine):
            for answers in all_answers(listed(machine, state, event.name) or ()):
                yield Cell(stage, kind, state, event, answers)


def events_of(machine: Machine) -> Iterator[Event]:
    """Every event the machine could ever be sent, with a sender it may come from, and one it does not know."""
    for name, declared in machine.events.items():
        yield Event(name, {}, declared.senders[0])
    for name in ENGINE_EVENTS:
        yield Event(name, PAYLOAD, "engine")
    timers = [f"after {one.text}" for state in machine.states.values() for one in state.after]
    timers += [f"idle {one.text}" for state in machine.states.values() for one in state.idle]
    for name in dict.fromkeys(timers):
        yield Event(name, {}, "self")
    yield Event(UNKNOWN, {}, "client")
