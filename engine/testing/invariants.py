"""What has to hold of a session at any moment: the invariants of machines, by number, read from its log and memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..activity import Activity
from ..actor import Actor
from ..records import Outcome, Record
from ..resources import LIMITED
from ..session import Session
from ..spec import Machine, Spec, Transition
from ..state import ActorImage, SessionImage, apply

LATE_S: Final = 0.001  # a deadline that far in the past has been forgotten
STATUSES: Final = ("done", "refused", "failed", "deferred")


class Watch:
    """One session, looked at again and again. look() is for moments at which nothing can go on without time passing."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._image = SessionImage()
        self._activities: list[Activity] = []

    @property
    def rev(self) -> int:
        """How many records of the log have been read."""
        return self._image.rev

    def look(self, session: Session, new: Iterable[Record]) -> list[str]:
        """What does not hold, each with its number. new: the records since the last look."""
        found = [*self._read(new)]
        if session.is_failed:
            found.append("M3: a step failed in the engine, and the session is rebuilt from its log")
        elif not session.is_ended:
            for actor in session.actors.values():
                found += [f"{text} ({actor.path} in {actor.state})" for text in self._actor(actor)]
            found += self._between(session)
        return found

    def forget_memory(self) -> None:
        """The process has died: what ran in it is not looked for any more."""
        self._activities.clear()

    # The log

    def _read(self, new: Iterable[Record]) -> Iterator[str]:
        for record in new:
            if record.op == "step" and "deadlines" in record.body:  # what a parent strikes took no transition
                yield from self._step(record)
            apply(self._image, record)
        yield from self._tree()

    def _step(self, record: Record) -> Iterator[str]:
        body, machine = record.body, self._spec.machines[record.kind]
        before = self._image.actors.get(record.actor)
        if before is None or before.state != body["from"]:
            yield f"M1: {record.actor} left {body['from']} and was in {before.state if before else 'no state'}"
        if body.get("to") not in {row.to for row in rows_of(machine, body["from"], body["event"])}:
            yield f"M1: the file has no transition {body['from']} --{body['event']}--> {body.get('to')}"

    def _tree(self) -> Iterator[str]:
        for path, actor in self._image.actors.items():
            if actor.parent is not None and actor.parent not in self._image.actors:
                yield f"C2: {path} is alive, its parent {actor.parent} is not"

    # Memory beside it

    def _actor(self, actor: Actor) -> Iterator[str]:
        image = self._image.actors.get(actor.path)
        if image is None:
            yield "M2: it lives, and is not in the log"
            return
        if actor._pump is not None:
            return  # a step is under way: the log may be ahead
        if actor.activity is not None and actor.activity not in self._activities:
            self._activities.append(actor.activity)
        yield from _same(actor, image)
        yield from _timers(actor, image)
        yield from _activity(actor)
        yield from _owed(actor, image)
        yield from _counts(actor)

    def _between(self, session: Session) -> Iterator[str]:
        present = {actor.activity for actor in session.actors.values()}
        listed = {one.handle for actor in session.actors.values() for one in actor.holdings.held("tasks")}
        is_leaving = any(actor._pump is not None for actor in session.actors.values())
        for old in [] if is_leaving else [one for one in self._activities if one not in present]:
            if not old.task.done() and old.task not in listed:
                yield f"M4: the work {old.task.get_name()} goes on, and its state was left"
            self._activities.remove(old)
        for message in self._image.pending.values():
            receiver = session.actors.get(message.to)
            if receiver is not None and receiver._pump is None and len(receiver.mailbox) == 0:
                yield f"M5: the message {message.event.name} never reached {message.to}"


def _same(actor: Actor, image: ActorImage) -> Iterator[str]:
    for name in ("state", "activation", "data", "entered_at", "is_run_over"):
        live, logged = getattr(actor, name), getattr(image, name)
        if live != logged:
            yield f"M2: its {name} is {live!r} in memory and {logged!r} in the log"


def _timers(actor: Actor, image: ActorImage) -> Iterator[str]:
    armed = {name: timer.deadline for name, timer in actor.timers.items() if timer.is_armed}
    declared = {timer.event for timer in actor.state_plan.timers}
    for name in armed.keys() - declared:
        yield f"M4: the time limit {name!r} is armed, and is none of this state"
    if armed != image.deadlines:
        yield f"M7: time limits {armed} are armed, the log has {image.deadlines}"
    for name, deadline in armed.items():
        if deadline < actor.now() - LATE_S:
            yield f"M7: the time limit {name!r} is over and did nothing"


def _activity(actor: Actor) -> Iterator[str]:
    if actor.state_plan.run:
        is_running = actor.activity is not None and not actor.activity.task.done()
        if not is_running and not actor.is_run_over:
            yield "M7: its work neither goes on nor has ended"
    elif actor.activity is not None:
        yield "M4: something runs, and the state has no work"


def _owed(actor: Actor, image: ActorImage) -> Iterator[str]:
    if len(actor.mailbox) == 0:
        yield from (f"M7: {event.name!r} is owed to it and was never taken" for event in image.owed)
    live, logged = ([event.id for event in one.deferred] for one in (actor.mailbox, image))
    if live != logged:
        yield f"M5: {live} are deferred in memory, {logged} in the log"


def _counts(actor: Actor) -> Iterator[str]:
    counts = actor.holdings.ledger.counts
    for what in LIMITED[:-1]:
        held = sum(len(one.holdings.held(what)) for one in actor.subtree())
        if counts[what] != held:
            yield f"C3: {counts[what]} {what} are counted, {held} are held"


def rows_of(machine: Machine, state: str, event: str) -> tuple[Transition, ...]:
    """What the file declares for an event or a time limit in a state; nothing for one that it does not name there."""
    here = machine.states[state]
    for word, timers in (("after", here.after), ("idle", here.idle)):
        for timer in timers:
            if event == f"{word} {timer.text}":
                return timer.transitions
    return machine.rows(state, event) or ()


def outcome_breaks(outcome: Outcome) -> list[str]:
    """M5 of one outcome: what was asked has an answer, and a no says why."""
    if outcome.status not in STATUSES:
        return [f"M5: the outcome is {outcome.status!r}"]
    if outcome.status in ("refused", "failed") and not (outcome.code and outcome.message):
        return [f"M5: a bare no: {outcome}"]
    return []
