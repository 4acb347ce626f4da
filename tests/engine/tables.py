"""Every state of a lifecycle file against every event, on real actors whose handlers do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from engine import family
from engine.actor import Actor
from engine.conditions import hold
from engine.context import RunContext
from engine.journal.base import SessionRow
from engine.machine import compile_machines
from engine.mailbox import Item
from engine.records import ROOT, Event, Outcome
from engine.registry import Handler, Registry
from engine.session import Session
from engine.sessionlog import SessionLog
from engine.spec import CONDITIONS, ENGINE_EVENTS, Guard, Machine, Spec, Transition, is_full_cleanup
from engine.state import SessionImage
from engine.step import step
from engine.testing.rig import Rig

UNKNOWN = "no_such_event"


class Answers:
    """What every registered guard says, and what `entered_below` therefore says of an empty history: True."""

    guards = True


def quiet(registry: Registry) -> Registry:
    """The same handlers by name and arguments, doing nothing; a step of a `run` never ends."""
    return Registry([Handler(one.mark, _nothing(one.mark.role), one.arguments, False) for one in registry.handlers()])


def _nothing(role: str) -> Any:
    def handler(ctx: Any, **arguments: Any) -> Any:
        if role == "guard":
            return Answers.guards
        if role == "probe":
            return True
        return asyncio.Event().wait() if isinstance(ctx, RunContext) else None

    return handler


def holds(guard: Guard | None) -> bool:
    """The oracle's own reading of a guard expression, with every registered guard saying Answers.guards."""
    if guard is None:
        return True
    if guard.ref is not None:
        return True if guard.ref.name == "entered_below" else Answers.guards
    said = [holds(item) for item in guard.items]
    return {"all": all(said), "any": any(said), "not": not said[0]}[guard.op]


def events_of(machine: Machine) -> Iterator[Event]:
    """Every event the machine could ever be sent, with the sender it comes from."""
    for name, declared in machine.events.items():
        yield Event(name, {}, declared.senders[0])
    for name in ENGINE_EVENTS:
        yield Event(name, {"ran": {}, "error": {"handler": "h", "code": "c", "ref": "r"}, "result": None}, "engine")
    for state in machine.states.values():
        for word in ("after", "idle"):
            for timer in getattr(state, word):
                yield Event(f"{word} {timer.text}", {}, "self")
    yield Event(UNKNOWN, {}, "client")


def expected(machine: Machine, state: str, event: Event) -> tuple[str, str, str]:
    """(status, code, state after) as language.md says it, read from the file and nothing else."""
    here = machine.states[state]
    is_own = event.origin in ("engine", "self")
    rows = _rows(machine, state, event.name)
    chosen = next((row for row in rows or () if holds(row.when)), None)
    if rows is None and event.name in here.defer:
        return "deferred", "", state
    if not rows:
        if here.final and any(row.to for row in machine.transitions.get(event.name, ())):
            return "done", "", state
        if is_own:
            return "ignored", "", state
        return "refused", "ended" if here.final else "quarantined" if here.quarantine else "not_now", state
    if chosen is None:
        return ("ignored", "", state) if is_own else ("refused", "guard", state)
    is_inherited = event.name not in here.transitions and " " not in event.name
    is_cleaning = any(is_full_cleanup(one) for one in here.run)
    if chosen.to and is_cleaning and event.name not in ("done", "failed"):
        return "done", "", state
    if chosen.to == state and is_inherited and event.name != "failed":
        return "done", "", state
    return "done", "", chosen.to or state


def _rows(machine: Machine, state: str, name: str) -> tuple[Transition, ...] | None:
    for word in ("after", "idle"):
        for timer in getattr(machine.states[state], word):
            if name == f"{word} {timer.text}":
                return timer.transitions
    return machine.rows(state, name)


async def actual(rig: Rig, spec: Spec, kind: str, state: str, event: Event) -> tuple[str, str, str]:
    """The same on a real actor of the kind, put into the state, with real parents above it."""
    session, actor = await _place(rig, spec, kind)
    await actor.leave()
    actor.state = state
    if event.name in CONDITIONS:
        hold(actor, event.name)
    waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    await step(actor, Item(event, waiter))
    after = actor.state  # at once: what it enters may go on by itself while the outcome becomes durable
    outcome = await waiter
    result = (outcome.status, outcome.code, after)
    await session.dissolve()
    return result


async def _place(rig: Rig, spec: Spec, kind: str) -> tuple[Session, Actor]:
    row = SessionRow(f"s.{id(object())}{rig.manager.random.random()}", "u", "e", rig.manager.clock.now())
    session = Session(rig.manager, row, SessionLog(rig.journal, row, lambda log, error: None), SessionImage())
    chain = [kind]
    while owner := next((k for k, m in spec.machines.items() if chain[0] in m.owns), None):
        chain.insert(0, owner)
    actor = family.add_actor(session, chain[0], None, ROOT, {}, row=row)
    for depth, one in enumerate(chain[1:]):
        actor = family.add_actor(session, one, actor, f"{actor.path.rstrip('/')}/c{depth}", {})
    return session, actor


def compiled(spec: Spec, registry: Registry) -> Any:
    return compile_machines(spec, quiet(registry))
