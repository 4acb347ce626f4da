"""One session: the tree of its actors over its one log, and what others may ask of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .actor import Actor
from .context import ActorView
from .journal.base import SessionRow, TokenRow
from .live.admission import store_away
from .live.attachments import Attachment, Attachments
from .live.directory import Directory
from .log.backlog import Commit
from .log.sessionlog import SessionLog
from .log.state import ActorImage, SessionImage
from .nothing import NOTHING
from .plan import CleanupPlan
from .records import ROOT, Caller, Event, Message, Outcome, Record, Update
from .resources import Resource
from .steps import family
from .steps.asked import window_of
from .steps.conditions import set_condition
from .steps.custody import dissolve
from .steps.ending import Cause, first_cause
from .steps.intake import NOT_SERVED, Intake
from .steps.mailbox import Item

Leak = tuple[Resource, CleanupPlan | None]  # and the entry that knows its probe

log = logging.getLogger("steward.session")


class Session:
    """A session that is up, or one that has ended and whose log is kept (root is None then)."""

    __slots__ = (
        *("sid", "user", "epoch", "created_at", "log", "loop", "clock", "random", "services", "plans", "_directory"),
        *("actors", "intake", "attachments", "cause", "is_failed", "is_gone", "owes_restored", "touched_at"),
        *("images", "is_ended", "_ended", "_left", "_pending"),
        "__weakref__",
    )

    def __init__(self, directory: Directory, row: SessionRow, log: SessionLog, image: SessionImage) -> None:
        self.sid = row.sid
        self.user = row.user
        self.epoch = row.epoch
        self.created_at = row.created_at
        self.log = log
        log.count_on(image.kept, self._log_grew)
        self.loop = asyncio.get_running_loop()
        self.clock = directory.clock
        self.random = directory.random
        self.services = directory.services
        self.actors: dict[str, Actor] = {}
        self.intake = Intake(self, image.outcomes)
        self.cause: dict[str, Any] | None = image.cause
        self.is_failed = False
        self.is_gone = False  # this object is no longer the session: find it again, or dial again
        self.plans = directory.plans
        self._directory = directory
        # What is in the log: actors while there are none in memory, and mail for them.
        self.images: Mapping[str, ActorImage] = image.actors
        self._pending: Mapping[str, Message] = image.pending
        self.attachments = Attachments(self._connected)
        self.owes_restored: tuple[str, ...] = ()  # paths of actors that were woken for a deadline alone
        self._left: tuple[str, ...] = ()  # states that the root leaves by commits that are not durable yet
        self.touched_at = self.clock.now()  # when somebody looked it up last
        self.is_ended = row.ended_at is not None
        self._ended: asyncio.Future[None] | None = None

    # What others see

    @property
    def root(self) -> Actor | None:
        return self.actors.get(ROOT)

    @property
    def state(self) -> str:
        return self.root.state if self.root is not None else self.images[ROOT].state

    @property
    def told_state(self) -> str:
        """The state as the log has it durably, which is what anybody outside may be told (M2)."""
        return self._left[0] if self._left else self.state

    @property
    def ended(self) -> asyncio.Future[None]:
        """Done at the end; made for the first who waits for it."""
        if self._ended is None:
            self._ended = self.loop.create_future()
            if self.is_ended:
                self._ended.set_result(None)
        return self._ended

    @property
    def kind(self) -> str:
        return self.root.kind if self.root is not None else self.images[ROOT].kind

    @property
    def report(self) -> dict[str, Any] | None:
        """The clean-up report of the root, once there is one."""
        return self.root.report if self.root is not None else self.images[ROOT].report

    @property
    def data(self) -> Mapping[str, Any]:
        return self.root.data if self.root is not None else self.images[ROOT].data

    def tree(self) -> list[ActorView]:
        """Live actors, parents first; the root alone once it has ended."""
        if self.root is None:
            image = self.images[ROOT]
            return [ActorView(ROOT, image.kind, image.state, is_ending=True)]
        return [self.root.view(), *self.root.below()]

    @property
    def window_s(self) -> float | None:
        """How long the session waits for a connection, as its creator asked for it."""
        return window_of(self.plans[self.kind], self.data)

    @property
    def connections(self) -> int:
        return len(self.attachments)

    async def snap(self, bytes_max: int, *, is_first: bool = False) -> tuple[int, dict[str, Any]]:
        """What clients see now, or saw before the first update that is kept; see Views.shown."""
        views = self._directory.trimmer.views
        return await (views.at_first if is_first else views.shown)(self.log, bytes_max)

    # Connections and rights

    def attach(self, role: str) -> Attachment:
        """Take a place. Raises LimitExceeded if the file's `connections` are all taken (C6)."""
        return self.attachments.attach(role, self.root.plan.limits.connections if self.root is not None else None)

    def _log_grew(self, now: float) -> None:
        self._directory.trimmer.look(self, now)

    def _connected(self) -> None:
        if self.root is not None and not self.is_ended:
            holds = self.attachments.is_connected
            set_condition(self.root, "connected", holds=holds)
            set_condition(self.root, "last_connection_lost", holds=not holds)

    def fire(self, actor: Actor, event: Event) -> None:
        """A time limit is over. One that a connection would have ended waits for whoever is arriving."""
        if actor.parent is None and "connected" in actor.state_plan.own:
            self._directory.arrivals.afterwards(partial(actor.post, event))
        else:
            actor.post(event)

    async def add_token(self, row: TokenRow) -> None:
        """Durable on return. Raises Refused (store_unavailable) or JournalError."""
        await self._rights("token_added", tokens=(row,))

    async def revoke_token(self, token_id: str) -> None:
        await self._rights("token_revoked", revoked=(token_id,))

    async def _rights(self, event: str, tokens: tuple[TokenRow, ...] = (), revoked: tuple[str, ...] = ()) -> None:
        if self.log.is_degraded:
            raise store_away()
        record = Record("taken", ROOT, self.kind, self.clock.now(), {"event": event})
        await asyncio.shield(self.log.append(record, tokens=tokens, revoked=revoked).durable)

    # Commits: the one way into the log

    def commit(
        self,
        actor: Actor,
        op: Any,
        body: dict[str, Any],
        item: Item | None = None,
        outcome: Outcome | None = None,
        *,
        updates: Sequence[Update] = (),
        sends: Iterable[tuple[str, Event]] = (),
        row: SessionRow | None = None,
        tokens: tuple[TokenRow, ...] = (),
    ) -> list[Message]:
        """Append one record with all that belongs to it; returns the messages to deliver once memory follows.

        item is settled with outcome when the commit is durable. Raises TypeError (nothing written) for what is no
        JSON, JournalError if the log takes nothing.
        """
        rev = self.log.rev + 1
        messages = [Message(to, replace(event, id=f"m{rev}.{n}")) for n, (to, event) in enumerate(sends)]
        all_updates = list(updates)
        ended_at = None
        cause = first_cause(actor, body) if self.cause is None else None
        if cause is not None:
            body["cause"] = cause
        if body.get("ended") and actor.parent is not None:
            messages.append(self._child_ended(actor, body, rev))
        elif body.get("ended"):
            ended_at = self.clock.now()
            data = {
                **(cause or self.cause or Cause("closed", "").to_json()),
                "report": body.get("report", actor.report),
            }
            all_updates.append(Update("session.ended", data, None))
        if messages:
            body["sends"] = [message.to_json() for message in messages]
        command = item.event.command if item is not None and not item.is_offer else None
        stored: list[Any] | None = None
        if command is not None and outcome is not None:
            if all_updates:
                outcome = outcome.at(self.log.seq + len(all_updates))
            stored = [command.cid, command.c, command.digest, outcome.to_json()]
            body["outcome"] = stored
        record = Record(op, actor.path, actor.kind, self.clock.now(), body)
        committed = self.log.append(record, all_updates, session=row, tokens=tokens, ended_at=ended_at)
        self.cause = cause or self.cause
        if actor.parent is None and "to" in body:
            self._left = (*self._left, actor.state)
            committed.when_over(self._has_left)
        if stored is not None:
            self.intake.outcomes.store(*stored)
        self._directory.observer.committed(actor, record, len(all_updates))
        if item is not None and outcome is not None:
            _settle_after(committed, item, outcome)
        return messages

    def _has_left(self, is_durable: bool) -> None:
        if is_durable:
            self._left = self._left[1:]

    def _child_ended(self, actor: Actor, body: Mapping[str, Any], rev: int) -> Message:
        assert actor.parent is not None
        payload = {"id": actor.id, "kind": actor.kind, "path": actor.path, "state": body.get("to", actor.state)}
        payload["report"] = body.get("report", actor.report)
        return Message(actor.parent.path, Event("child_ended", payload, "engine", actor.path, id=f"m{rev}.end"))

    def tell(self, actor: Actor, updates: Sequence[Update] = (), sends: Iterable[tuple[str, Event]] = ()) -> None:
        """What an activity emits or sends outside a step: appended in order, not waited for."""
        self.deliver(self.commit(actor, "sent", {}, updates=updates, sends=sends))

    def deliver(self, messages: Iterable[Message]) -> None:
        for message in messages:
            receiver = self.actors.get(message.to)
            if receiver is not None:
                receiver.post(message.event)

    # The tree

    async def ask(self, path: str, event: Event) -> Outcome:
        return await family.ask(self, path, event)

    async def start_child(self, parent: Actor, kind: str, name: str, data: dict[str, Any]) -> ActorView:
        return await family.start_child(self, parent, kind, name, data)

    def actor_ended(self, actor: Actor) -> None:
        """A final state is committed and entered."""
        self._forget(actor)
        if actor.parent is None:
            self._clear(actor)
            self.has_ended()
            self._directory.session_ended(self)

    def has_ended(self) -> None:
        """Whoever waits for that is told."""
        self.is_ended = True
        if not self.ended.done():
            self.ended.set_result(None)

    def _clear(self, root: Actor) -> None:
        """Let its actors go; what the root was last can still be asked."""
        self.images = {ROOT: ActorImage(ROOT, root.kind, root.state, None, data=root.data, report=root.report)}
        self.actors.clear()

    def remove(self, actor: Actor, updates: Sequence[Update], *, is_recorded: bool) -> None:
        """Strike an actor that was dissolved; is_recorded: by its parent's clean-up. updates: what is told of it."""
        if is_recorded and not self.is_failed:
            body = {"event": "abandoned", "from": actor.state, "ended": True, "report": actor.report}
            self.deliver(self.commit(actor, "step", body, updates=updates))
        self._forget(actor)

    def note_survivors(self, actor: Actor, noted: Sequence[Any] = ()) -> None:
        """Write down what an actor holds beyond a restart, after it changed behind its last record. noted: there."""
        surviving = actor.holdings.surviving()
        if surviving != list(noted) and not self.is_failed:
            self.commit(actor, "sent", {"holds": surviving})

    def after_the_end(self, event: Event) -> Outcome:
        """The answer to an event for an actor that has ended."""
        targets = self.plans[self.kind].targets  # what it would be taken to from everywhere is so already
        if self.is_ended and event.origin in ("client", "admin") and event.name in targets:
            return Outcome("done", value=self.report, already=True)
        return Outcome("refused", "ended", "it has ended; its log can still be read")

    def settle(self, item: Item, outcome: Outcome) -> None:
        """Tell an outcome that needs no record, once what it speaks of is durable (M2)."""
        last = self.log.last
        if last is None:
            item.settle(outcome)
        else:
            _settle_after(last, item, outcome)

    def _forget(self, actor: Actor) -> None:
        actor.strike()
        if actor.parent is not None:
            self.actors.pop(actor.path, None)

    # Failure, and the way back

    def written_off(self, resource: Resource, reason: str, caller: Caller) -> None:
        self._directory.written_off(self, resource, reason, caller)

    def fail(self, error: Exception) -> None:
        """The log takes nothing, or a step failed in the engine: stop, and be rebuilt from the log."""
        if not self.is_failed and not self.is_ended:
            self.is_failed = self.is_gone = True
            self._directory.session_failed(self, error)

    async def dissolve(self) -> list[Leak]:
        """Stop in this process without a record; the log keeps everything for the next. Gives what could not be let
        go, which is the next root's."""
        self.is_gone = True
        leaks: list[Leak] = []
        if (root := self.root) is not None:
            report = await dissolve(root)
            entries = {entry.kind: entry for entry in root.plan.cleanup}
            leaks = [(one, root.inherited.get(one) or entries.get(one.kind)) for one in root.holdings.all()]
            for resource, _ in leaks:
                log.error("%s %s of %s was not let go", resource.kind, resource.name, self.sid)
            log.info("session %s stopped here: %d let go", self.sid, len(report.items), extra={"sid": self.sid})
            self._clear(root)
        await self.log.drain()
        return leaks

    def restored(self, *, is_quiet: bool) -> None:
        """The actors are there again: they are told what holds, and what is owed to them."""
        if not is_quiet:
            self._connected()
        self.deliver(self._pending.values())
        self.images = self._pending = NOTHING

    def find_actors(self) -> Iterator[Actor]:
        return iter(list(self.actors.values()))


def _settle_after(commit: Commit, item: Item, outcome: Outcome) -> None:
    """Tell outcome once commit is durable, that it is not served if the store refuses it."""
    if item.waiter is not None:
        commit.when_over(lambda is_durable: item.settle(outcome if is_durable else NOT_SERVED))
