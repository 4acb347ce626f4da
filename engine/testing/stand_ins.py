"""Stand-ins for all handlers of a file, so that nothing but the file decides: guards say what they are told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel

from ..actor import Actor
from ..context import RunContext
from ..journal.base import SessionRow
from ..language.builtins import EnteredBelowArguments
from ..log.sessionlog import SessionLog
from ..log.state import SessionImage
from ..machine import LifecycleMachine, compile_machines
from ..plan import show_reference
from ..records import ROOT
from ..registry import Bound, Handler, Mark, Registry, Role, bind_arguments
from ..session import Session
from ..spec import Guard, Reference, Spec, Transition, guard_references
from ..steps.family import add_actor
from .rig import Rig

Answers = Mapping[str, bool]  # what guards say, by how the file writes them
GUARDS_MAX: Final = 4  # of one event in one state; with more, not every combination of their answers is tried


@dataclass
class Stage:
    """A file on stand-ins. answers: of guards; one that is not named says True. over: the state whose work ends, well
    or not; all other work goes on for ever."""

    spec: Spec
    answers: Answers = field(default_factory=dict)
    over: str = ""
    is_well: bool = True
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self) -> None:
        """Once a loop, before anything: no work is over."""
        self.over, self._moved = "", asyncio.Event()

    def finish(self, state: str, *, is_well: bool) -> None:
        self.over, self.is_well = state, is_well
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def work(self, state: str) -> None:
        while self.over != state:
            await self._moved.wait()
        if not self.is_well:
            raise RuntimeError("it was told to fail")

    @cached_property
    def machines(self) -> Mapping[str, LifecycleMachine]:
        return compile_machines(self.spec, StandIns(self))


class StandIns(Registry):
    """A handler for every name and any arguments."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def get(self, role: Role, name: str) -> Handler | None:
        return Handler(Mark(role, name), self._function(role, name), BaseModel, is_async=False)

    def bind(self, role: Role, ref: Reference) -> Bound:
        return Bound(Handler(Mark(role, ref.name), self._function(role, show_reference(ref)), BaseModel, False))

    def _function(self, role: Role, text: str) -> Any:
        def handler(ctx: Any) -> Any:
            if role == "guard":
                return self._stage.answers.get(text, True)
            if role == "probe":
                return True
            return self._stage.work(ctx.state) if isinstance(ctx, RunContext) else None

        return handler


def place(rig: Rig, spec: Spec, kind: str) -> tuple[Session, Actor]:
    """A real actor of a kind at the beginning of its life, below real parents that do nothing."""
    row = SessionRow(f"s.{rig.manager.random.random()}", "u", "e", rig.manager.clock.now())
    session = Session(rig.manager, row, SessionLog(rig.journal, row, lambda log, error: None), SessionImage())
    chain = [kind]
    while owner := next((k for k, m in spec.machines.items() if chain[0] in m.owns), None):
        chain.insert(0, owner)
    actor = add_actor(session, chain[0], None, ROOT, {}, row=row)
    for depth, one in enumerate(chain[1:]):
        actor = add_actor(session, one, actor, f"{actor.path.rstrip('/')}/c{depth}", {})
    return session, actor


def remember(actor: Actor, rows: Iterable[Transition], answers: Answers) -> None:
    """Give an actor the past that makes `entered_below` answer so: it is the engine's own, and asks nobody."""
    for ref in _asked(rows):
        if ref.name == "entered_below":
            given = bind_arguments(EnteredBelowArguments, ref)
            is_below = answers.get(show_reference(ref), True)
            entered = [] if is_below else [actor.now()] * given["count"]
            actor.entries = {**actor.entries, given["state"]: entered}


def holds(guard: Guard | None, answers: Answers) -> bool:
    """The value of a guard expression, by language.md and nothing else."""
    if guard is None:
        return True
    if guard.ref is not None:
        return answers.get(show_reference(guard.ref), True)
    said = [holds(item, answers) for item in guard.items]
    return {"all": all(said), "any": any(said), "not": not said[0]}[guard.op]


def all_answers(rows: Iterable[Transition]) -> Iterator[Answers]:
    """Every combination of what the guards of these rows may say; of many guards each way alone, and all alike."""
    asked = list(dict.fromkeys(show_reference(ref) for ref in _asked(rows)))
    if len(asked) <= GUARDS_MAX:
        yield from (dict(zip(asked, said, strict=True)) for said in itertools.product((True, False), repeat=len(asked)))
        return
    for said in (True, False):
        yield dict.fromkeys(asked, said)
        yield from ({**dict.fromkeys(asked, said), one: not said} for one in asked)


def _asked(rows: Iterable[Transition]) -> Iterator[Reference]:
    for row in rows:
        yield from guard_references(row.when)
