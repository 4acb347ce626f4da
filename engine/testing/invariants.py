"""What has to hold of a session at any moment: the invariants of machines, by number, read from its log and memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..actor import Actor
from ..log.state import ActorImage, SessionImage, apply
from ..records import Outcome, Record
from ..resources import LIMITED
from ..session import Session
from ..spec import Spec
from ..steps.activity import Activity
from .declared import broken_by

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
                before = self._image.actors[record.actor]
                yield from broken_by(self._spec.machines[record.kind], before, record)
            apply(self._image, record)
        yield from self._tree()

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
        yield from _mail(actor, image)
        yield from _conditions(actor)
        yield from _counts(actor)

    def _between(self, session: Session) -> Iterator[str]:
        is_connected = "connected" in session.root.conditions if session.root is not None else False
        if is_connected != (session.connections > 0):
            yield f"M4: {session.connections} are connected, and it is told otherwise"
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


def _mail(actor: Actor, image: ActorImage) -> Iterator[str]:
    live, logged = ([event.id for event in one.deferred] for one in (actor.mailbox, image))
    if live != logged:
        yield f"M5: {live} are deferred in memory, {logged} in the log"
    if len(actor.mailbox) > 0:
        yield "M5: something waits for it, and nothing takes it"
        return
    yield from (f"M7: {event.name!r} is owed to it and was never taken" for event in image.owed)
    for event in image.deferred:
        if event.name not in actor.state_plan.defers:
            yield f"M5: {event.name!r} was deferred, and this state would take it"


def _conditions(actor: Actor) -> Iterator[str]:
    """One that holds was raised when the state was entered; only a guard or an action may have kept it there."""
    for name in actor.conditions:
        row = next(iter(actor.state_plan.rows.get(name, ())), None)
        if row is None or row.asks is not None or row.do or actor.state_plan.is_ending:
            continue
        if row.to not in (None, actor.state):
            yield f"M4: {name!r} holds, and the state that lists it was not told"


def _counts(actor: Actor) -> Iterator[str]:
    counts = actor.holdings.ledger.counts
    for kind, most in actor.plan.owns.items():
        if (count := sum(child.kind == kind for child in actor.children.values())) > most:
            yield f"C6: it has {count} children of the kind {kind}, and may have {most}"
    for what in LIMITED[:-1]:
        held = sum(len(one.holdings.held(what)) for one in actor.subtree())
        if counts[what] != held:
            yield f"C3: {counts[what]} {what} are counted, {held} are held"


def outcome_breaks(outcome: Outcome) -> list[str]:
    """M5 of one outcome: what was asked has an answer, and a no says why."""
    if outcome.status not in STATUSES:
        return [f"M5: the outcome is {outcome.status!r}"]
    if outcome.status in ("refused", "failed") and not (outcome.code and outcome.message):
        return [f"M5: a bare no: {outcome}"]
    return []
