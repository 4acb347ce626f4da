"""How a session comes back into memory from its image, and when it may leave."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from ..actor import Actor
from ..codec import encode
from ..records import ROOT, Event
from ..resources import Resource
from ..steps.conditions import hold

if TYPE_CHECKING:
    from ..log.state import ActorImage
    from ..plan import CleanupPlan
    from ..session import Leak, Session

log = logging.getLogger("steward.revival")


async def bring_up(session: Session, leaks: Iterable[Leak] = (), *, is_quiet: bool = False) -> str:
    """restore() it; why that is not possible, or "". Nothing waits but if it fails: then whatever of it was begun is
    stopped, without a record. One log that says what cannot be costs neither the others nor the start (C7, R4)."""
    try:
        restore(session, leaks, is_quiet=is_quiet)
    except Exception as error:
        log.exception("session %s cannot be restored", session.sid, extra={"sid": session.sid})
        await _stop(session)
        return f"what its log says cannot be restored: {type(error).__name__}: {error}"
    return ""


async def _stop(session: Session) -> None:
    session.is_failed = True  # what it meets on the way out is no reason to rebuild it
    for actor in session.find_actors():
        actor.is_halted = True  # before its mailbox has had a turn
    try:
        await session.dissolve()
    except Exception:
        log.exception("what was begun of session %s is not let go of", session.sid, extra={"sid": session.sid})


def restore(session: Session, leaks: Iterable[Leak] = (), *, is_quiet: bool = False) -> None:
    """Build the actors from the image, parents first, then let them go on. leaks: what the session could not let
    go of when it stopped in this process before.

    is_quiet: it was woken for a deadline. That alone happens, in the states that are stored; `restored`, which may
    begin waits anew, is owed until anything else is to be done (rouse).
    """
    images = list(session.images.values())
    for image in images:
        parent = session.actors[image.parent] if image.parent is not None else None
        actor = Actor(session, session.plans[image.kind], parent, image)
        session.actors[image.path] = actor
        if parent is not None:
            parent.children = {**parent.children, actor.id: actor}
    if is_quiet:
        session.owes_restored = tuple(session.actors)
        hold(session.actors[ROOT], "last_connection_lost")
    for image in images:
        _restore(session.actors[image.path], image, is_quiet=is_quiet)
    for resource, entry in leaks:
        _inherit(session.actors[ROOT], resource, entry)
    session.restored(is_quiet=is_quiet)
    if is_quiet and _begins_work(session):
        session.clock.call_at(session.clock.now(), partial(rouse, session))  # behind the deadlines that are due


def _restore(actor: Actor, image: ActorImage, *, is_quiet: bool) -> None:
    """Bring timers, surviving resources and the mailbox back; `restored` goes first, then what is owed, unless
    is_quiet."""
    for kind, name, handle in image.holds:
        resource = Resource(kind, name, handle, actor.path, actor.now(), survives=True)
        actor.holdings.hold(resource, reserve=False)
    if not actor.state_plan.is_final and not is_quiet:
        actor.post(Event("restored", {"ran": {str(index): value for index, value in image.ran.items()}}))
        for owed in image.owed:
            actor.post(owed)
        actor.mailbox.offer_deferred()
    for name, deadline in image.deadlines.items():
        actor.arm({name: deadline})  # each is the actor's, to be stopped with it, should the next be no time
    actor.holdings.account(len(encode(actor.data)))


def _inherit(root: Actor, resource: Resource, entry: CleanupPlan | None) -> None:
    if resource.kind == "tasks":
        root.holdings.adopt(resource.handle)
    else:
        root.holdings.hold(resource, reserve=False)
        root.inherited = {**root.inherited, resource: entry}


def _begins_work(session: Session) -> bool:
    """Whether a deadline that is due leads to an activity, which may need what the other actors hold."""
    now = session.clock.now()
    return any(
        (plan := actor.plan.states[row.to]).run and not plan.is_ending
        for actor in session.find_actors()
        for name, timer in actor.timers.items()
        if timer.deadline <= now
        for row in actor.state_plan.rows.get(name, ())
        if row.to is not None
    )


def rouse(session: Session) -> None:
    """Something is to be done after all: whoever was restored quietly gets its `restored`, parents first."""
    owed, session.owes_restored = session.owes_restored, ()
    if session.root is None or session.root.is_ending:
        return  # it only ends, and needs nothing for that
    for path in owed:
        actor = session.actors.get(path)
        if actor is not None and not actor.state_plan.is_final:
            actor.post(Event("restored", {"ran": {}}))
            actor.mailbox.offer_deferred()


def is_idle(session: Session) -> bool:
    """Whether nothing of it goes on: no connection, no activity, no mail, nothing on its way to the store."""
    root = session.root
    if root is None or session.is_failed or session.connections or root.state_plan.is_quarantine:
        return False
    return session.log.is_settled and all(_is_at_rest(actor) for actor in session.find_actors())


def _is_at_rest(actor: Actor) -> bool:
    holdings = actor.holdings
    is_held = holdings.ledger.counts["processes"] > 0 or holdings.is_at_work or bool(actor.inherited)
    return actor.is_at_rest and not is_held


def wake_at(session: Session) -> float | None:
    """The earliest deadline of all its actors."""
    return min((timer.deadline for actor in session.find_actors() for timer in actor.timers.values()), default=None)
