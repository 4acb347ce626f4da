"""A session's tree of actors: making them, one parent asking a child, and striking those that are gone."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from ..actor import Actor
from ..codec import encode
from ..context import ActorView
from ..errors import ChildFailed, LimitExceeded, Refused, RegistryError
from ..journal.base import SessionRow, TokenRow
from ..log.state import ActorImage
from ..records import Event, Outcome
from .asked import seconds_of

if TYPE_CHECKING:
    from ..session import Session

CHILD_ID: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


async def ask(session: Session, path: str, event: Event) -> Outcome:
    """Send an event from one actor to another and wait for what becomes of it. Raises Refused if one is gone."""
    receiver = session.actors.get(path)
    sender = session.actors.get(event.sender)
    if receiver is None or sender is None:
        raise Refused("unknown_actor", f"there is no actor {path!r} any more")
    message = session.commit(sender, "sent", {}, sends=[(path, event)])[0]
    waiter: asyncio.Future[Outcome] = session.loop.create_future()
    receiver.post(message.event, waiter)
    return await waiter


async def start_child(session: Session, parent: Actor, kind: str, name: str, data: dict[str, Any]) -> ActorView:
    """Raises LimitExceeded above `owns`, ChildFailed if the child went to its end."""
    child = parent.children.get(name)
    if child is None:
        child = _make_child(session, parent, kind, name, data)
    await child.begun()
    if child.is_ending or child.is_halted:
        raise ChildFailed(f"{child.path} went to {child.state} instead of to work")
    return child.view()


def _make_child(session: Session, parent: Actor, kind: str, name: str, data: dict[str, Any]) -> Actor:
    if not CHILD_ID.fullmatch(name):
        raise RegistryError(f"{name!r} is no id of a child; it must match {CHILD_ID.pattern}")
    most = parent.plan.owns.get(kind)
    if most is None:
        raise RegistryError(f"a {parent.kind} owns no {kind}; the file says what it owns")
    if sum(1 for one in parent.children.values() if one.kind == kind) >= most:
        raise LimitExceeded(f"owns {kind}", most)
    return add_actor(session, kind, parent, f"{parent.path.rstrip('/')}/{name}", data)


def add_actor(
    session: Session,
    kind: str,
    parent: Actor | None,
    path: str,
    data: dict[str, Any],
    *,
    row: SessionRow | None = None,
    tokens: tuple[TokenRow, ...] = (),
) -> Actor:
    """Record a new actor and put it in its place; a child begins its life at once, a root when it is told."""
    plan, now = session.plans[kind], session.clock.now()
    deadlines = {timer.event: now + seconds_of(timer, data) for timer in plan.states[plan.initial].timers}
    image = ActorImage(path, kind, plan.initial, parent.path if parent else None, entered_at=now, data=data)
    actor = Actor(session, plan, parent, image)
    actor.holdings.account(len(encode(data)))
    body = {"state": plan.initial, "parent": image.parent, "data": data, "deadlines": deadlines}
    session.commit(actor, "created", body, row=row, tokens=tokens)
    session.actors[path] = actor
    if parent is not None:
        parent.children = {**parent.children, actor.id: actor}
        actor.start(Event("created"))
    return actor
