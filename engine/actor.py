"""One live machine: its mailbox, its step, its scope. State changes here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .clock import Timer
from .context import ActorView
from .errors import Busy, JournalError, Refused
from .language.reception import accept
from .log.state import ActorImage
from .nothing import NOTHING, without
from .plan import CleanupPlan, KindPlan, StatePlan
from .records import Event, Origin, Outcome
from .resources import Holdings, Ledger, Resource
from .steps.activity import Activity
from .steps.asked import seconds_of
from .steps.conditions import raise_listed, set_condition
from .steps.intake import STORE_AWAY
from .steps.mailbox import Item, Late, Mailbox, Waiter
from .steps.scope import GRACE_S, end_task
from .steps.step import step
from .tasks import engine_task, owned_context

if TYPE_CHECKING:
    from .session import Session

LEAVING: Final = Outcome("refused", "leaving", "the session is not served here any more; dial again")
HALT_GRACE_S: Final = 4 * GRACE_S  # a cancelled step still ends its handler: grace, force, and room to run

T = TypeVar("T")
log = logging.getLogger("steward.actor")


class Actor:
    """All its fields but the mailbox change only within a step, or before the first.

    There may be 100,000 in a process, and most hold nothing most of the time, so that what is empty is shared: tables
    are replaced when they change, never changed in place, and what is waited for is made for the first who waits.
    """

    __slots__ = (
        *("session", "plan", "parent", "path", "children", "born_at"),
        *("state", "activation", "entered_at", "entered_by", "entries", "data", "report", "conditions"),
        *("activity", "is_run_over", "timers", "mailbox", "holdings", "inherited", "shutdown_handlers", "ill_checks"),
        *("has_begun", "is_halted", "is_gone", "_begun", "_ended", "_pump"),
    )

    def __init__(self, session: Session, plan: KindPlan, parent: Actor | None, image: ActorImage) -> None:
        self.session = session
        self.plan = plan
        self.parent = parent
        self.path = image.path
        self.state = image.state
        self.activation = image.activation
        self.entered_at = image.entered_at
        self.entered_by = image.entered_by
        self.entries: Mapping[str, list[float]] = image.entries or NOTHING
        self.data = image.data
        self.report = image.report
        self.children: Mapping[str, Actor] = NOTHING
        self.conditions: tuple[str, ...] = ()
        self.is_run_over = image.is_run_over
        self.mailbox = Mailbox()
        self.mailbox.deferred = tuple(image.deferred)
        self.timers: Mapping[str, Timer] = NOTHING
        self.activity: Activity | None = None
        self.shutdown_handlers: tuple[Callable[[], Awaitable[None]], ...] = ()
        self.inherited: Mapping[Resource, CleanupPlan | None] = NOTHING
        self.ill_checks = 0
        self.born_at = session.clock.now()
        self.is_halted = False
        self.has_begun = False
        self.is_gone = False  # it has ended, and the session has struck it
        self._ended: asyncio.Future[None] | None = None
        self._begun: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        above: Ledger | None = parent.holdings.ledger if parent is not None else None
        self.holdings: Holdings = Holdings(self.path, Ledger(plan.limits, above, self._over), session.clock)

    # What others see

    def now(self) -> float:
        return self.session.clock.now()

    @property
    def kind(self) -> str:
        return self.plan.kind

    @property
    def id(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def state_plan(self) -> StatePlan:
        return self.plan.states[self.state]

    @property
    def is_ending(self) -> bool:
        return self.state_plan.is_ending

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing of it goes on and nothing waits for it, but time."""
        has_mail = self._pump is not None or len(self.mailbox) > 0
        return not has_mail and (self.activity is None or self.activity.task.done())

    def view(self) -> ActorView:
        return ActorView(self.path, self.kind, self.state, self.is_ending)

    def below(self) -> Iterator[ActorView]:
        for child in self.children.values():
            yield child.view()
            yield from child.below()

    def subtree(self) -> Iterator[Actor]:
        """This actor and all below it, parents first."""
        yield self
        for child in self.children.values():
            yield from child.subtree()

    def find_resource(self, kind: str) -> Resource | None:
        actor: Actor | None = self
        while actor is not None:
            if held := actor.holdings.held(kind):
                return held[0]
            actor = actor.parent
        return None

    def spawn(self, coro: Coroutine[Any, Any, T], name: str, *, is_limited: bool) -> asyncio.Task[T]:
        if is_limited:
            self.holdings.ledger.require("tasks")
        task = owned_context(self.holdings).run(self.session.loop.create_task, coro, name=name)
        self.holdings.put_to_work(task)
        return task

    def address(self, to: str, event: str, payload: Mapping[str, Any]) -> tuple[str, Event]:
        """The receiver's path and the event as it takes it. Raises Refused if it may not be sent."""
        target = self.parent if to == "parent" else self.session.actors.get(to) or self.children.get(to)
        if target is None or (target is not self.parent and target.parent is not self):
            raise Refused("unknown_actor", f"{self.path} has no parent or child {to!r}")
        if target.mailbox.is_full:
            raise Busy(f"too many events wait for {target.path} already")
        origin: Origin = "child" if target is self.parent else "parent"
        return target.path, Event(event, target.accept(event, payload, origin), origin, self.path)

    def accept(self, event: str, payload: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
        """The payload as declared. Raises Refused: unknown_event, forbidden or bad_payload."""
        return accept(self.plan, event, payload, origin)

    # The mailbox and its pump

    def post(self, event: Event, waiter: Waiter = None, is_late: Late = None) -> None:
        """Put an event into the mailbox; no task exists while it is empty. Raises Busy if it is full."""
        item = Item(event, waiter, is_late=is_late)
        if self.is_halted:
            self._turn_away(item)
            return
        self.mailbox.put(item, urgent=event.name in self.plan.urgent or event.origin == "self")
        self._wake()

    def _turn_away(self, item: Item) -> None:
        """Nothing is taken here any more: the actor has ended, or the session is not served here."""
        outcome = self.session.after_the_end(item.event) if self.state_plan.is_final else LEAVING
        self.session.settle(item, outcome)

    def _wake(self) -> None:
        if self._pump is None and not self.is_halted:
            self._pump = engine_task(self._work(), f"{self.session.sid}{self.path} mailbox")

    async def _work(self) -> None:
        try:
            while not self.is_halted and (item := self.mailbox.take()) is not None:
                await self._guarded_step(item)
        finally:
            self._pump = None

    async def _guarded_step(self, item: Item) -> None:
        try:
            await step(self, item)
        except JournalError as error:
            # What is not in the log has not happened; the session is rebuilt from the log.
            item.settle(STORE_AWAY)
            self.session.fail(error)
        except Exception as error:
            log.exception("a step of %s%s failed in the engine", self.session.sid, self.path)
            item.settle(Outcome("failed", "internal", "an error of the server; it is in its log"))
            self.session.fail(error)

    async def halt(self, timeout_s: float) -> None:
        """No step begins from now on; return when the one under way is over, cancelled after timeout_s."""
        self.is_halted = True
        self._disarm()
        if self._pump is not None:
            pump = self._pump
            await asyncio.wait({pump}, timeout=timeout_s)
            if not pump.done():
                await end_task(pump, grace_s=HALT_GRACE_S)
        for item in self.mailbox.close():
            item.settle(LEAVING)

    # Scope: what a state owns

    def deadlines(self, target: str | None, now: float) -> dict[str, float]:
        """Deadlines of the state entered, or of the idle timers that an accepted event moves."""
        plan = self.plan.states[target if target is not None else self.state]
        return {t.event: now + seconds_of(t, self.data) for t in plan.timers if target is not None or t.is_idle}

    def arm(self, deadlines: Mapping[str, float]) -> None:
        if not deadlines:
            return
        for name in deadlines.keys() & self.timers.keys():
            self.timers[name].cancel()
        call_at, activation = self.session.clock.call_at, self.activation
        armed = {name: call_at(at, Actor._fire, self, name, activation) for name, at in deadlines.items()}
        self.timers = {**self.timers, **armed}

    def _fire(self, name: str, activation: int) -> None:
        self.timers = without(self.timers, name)
        self.session.fire(self, Event(name, origin="self", activation=activation))

    def _disarm(self) -> None:
        for timer in self.timers.values():
            timer.cancel()
        self.timers = NOTHING

    async def leave(self, *, waits_for_cleanup: bool = True) -> None:
        """Close the scope of the old state before anything of the new one begins (M4)."""
        self._disarm()
        if self.activity is not None:
            await self.activity.close(waits_for_cleanup=waits_for_cleanup)
            self.activity = None

    def enter(self, target: str, event: Event, now: float, deadlines: Mapping[str, float]) -> None:
        if target in self.plan.entries_kept and event.name != "restored":
            kept = [*self.entries.get(target, ()), now][-self.plan.entries_kept[target] :]
            self.entries = {**self.entries, target: kept}
        self.state = target
        self.activation += 1
        self.entered_at = now
        self.entered_by = event
        self.is_run_over = False
        self._note_beginning()
        if event.name == "unhealthy":
            # What was done about it is not judged by what was found before.
            self.ill_checks = 0
            set_condition(self, event.name, holds=False)
        if self.state_plan.is_final:
            self._end()
            return
        self.arm(deadlines)
        self._begin(event, {})
        self.mailbox.offer_deferred()
        raise_listed(self)

    def _note_beginning(self) -> None:
        """Whoever started this child waits until it has left its initial state, which it may enter again."""
        self.has_begun = self.state != self.plan.initial
        if self.has_begun and self._begun is not None:
            self._begun.set_result(None)
            self._begun = None

    async def begun(self) -> None:
        """Return once it has left its initial state, or is gone."""
        if self.has_begun or self.is_gone:
            return
        if self._begun is None:
            self._begun = self.session.loop.create_future()
        await asyncio.shield(self._begun)

    def ended(self) -> asyncio.Future[None]:
        """Done when it is gone."""
        if self._ended is None:
            self._ended = self.session.loop.create_future()
            if self.is_gone:
                self._ended.set_result(None)
        return self._ended

    def strike(self) -> None:
        """The session keeps it no more; whoever waits here is told."""
        self.is_gone = True
        for waited in (self._begun, self._ended):
            if waited is not None and not waited.done():
                waited.set_result(None)
        self.holdings.retire(self.parent.holdings if self.parent is not None else None)
        if self.parent is not None:
            self.parent.children = without(self.parent.children, self.id)

    def _end(self) -> None:
        """A final state is entered: nothing more is taken, and whoever waits here is told."""
        self.is_halted = True
        left = self.mailbox.close()
        self.session.actor_ended(self)
        for item in left:
            self._turn_away(item)

    def _begin(self, event: Event, ran: Mapping[int, Any]) -> None:
        if self.state_plan.run:
            self.activity = Activity(self, event, ran)

    def start(self, event: Event) -> None:
        """Begin the life: the record of its creation is in the log's order."""
        self.arm(self.deadlines(self.state, self.entered_at))
        self._begin(event, {})
        raise_listed(self)

    # Events of the actor itself

    def activity_ended(self, event: Event) -> None:
        """The activity is over; its `done` or `failed` is owed until a step handles it."""
        body = {"event": event.to_json(), "ends": True, "holds": self.holdings.surviving()}
        self.is_run_over = True
        try:
            self.session.commit(self, "owed", body)
        except JournalError as error:
            self.session.fail(error)
            return
        self.post(event)

    def step_ran(self, index: int, result: Any) -> None:
        """Record that a step of the activity is over, so that a restart goes on behind it."""
        holds = self.holdings.surviving()
        body = {"index": index, "activation": self.activation, "result": result, "holds": holds}
        try:
            self.session.commit(self, "ran", body)
        except JournalError as error:
            self.session.fail(error)

    def _over(self, what: str, is_over: bool) -> None:
        counts, limits = self.holdings.ledger.counts, self.plan.limits
        over = any(counts[name] > most for name in counts if (most := getattr(limits, name)) is not None)
        set_condition(self, "limit_exceeded", holds=over)

    # Back from the log

    def resume(self, event: Event) -> None:
        """After `restored`: the activity goes on if the state was not left and it was not over already."""
        self._note_beginning()
        if self.activity is None and self.state_plan.run and not self.is_run_over:
            ran = {int(index): value for index, value in event.payload["ran"].items()}
            self._begin(self.entered_by or event, ran)
        raise_listed(self)

    async def close(self) -> None:
        """End what the present state owns, without a record."""
        await self.leave(waits_for_cleanup=False)
