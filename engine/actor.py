"""One live machine: its mailbox, its step, its scope. State changes here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .activity import Activity
from .asked import seconds_of
from .clock import Timer
from .codec import encode
from .conditions import Conditions
from .context import ActorView
from .errors import Busy, JournalError, Refused
from .mailbox import Item, Late, Mailbox, Waiter
from .plan import KindPlan, StatePlan
from .reception import accept
from .records import Event, Origin, Outcome
from .resources import Holdings, Ledger, Resource
from .scope import GRACE_S, end_task
from .state import ActorImage
from .step import step
from .tasks import engine_task, owned_context

if TYPE_CHECKING:
    from .session import Session

LEAVING: Final = Outcome("refused", "leaving", "the session is not served here any more; dial again")
HALT_GRACE_S: Final = 4 * GRACE_S  # a cancelled step still ends its handler: grace, force, and room to run

T = TypeVar("T")
log = logging.getLogger("steward.actor")


class Actor:
    """All its fields but the mailbox change only within a step, or before the first."""

    __slots__ = (
        "_idle_armed",
        "_pump",
        "activation",
        "activity",
        "born_at",
        "children",
        "conditions",
        "data",
        "ended",
        "entered_at",
        "entered_by",
        "entries",
        "first_state_left",
        "holdings",
        "id",
        "ill_checks",
        "inherited",
        "is_halted",
        "is_run_over",
        "kind",
        "mailbox",
        "parent",
        "path",
        "plan",
        "report",
        "session",
        "shutdown_handlers",
        "state",
        "timers",
    )

    def __init__(self, session: Session, plan: KindPlan, parent: Actor | None, image: ActorImage) -> None:
        self.session = session
        self.plan = plan
        self.kind = plan.kind
        self.parent = parent
        self.path = image.path
        self.id = image.path.rsplit("/", 1)[-1]
        self.state = image.state
        self.activation = image.activation
        self.entered_at = image.entered_at
        self.entered_by = image.entered_by
        self.entries = image.entries
        self.data = image.data
        self.report = image.report
        self.children: dict[str, Actor] = {}
        self.conditions = Conditions(self)
        self.is_run_over = image.is_run_over
        self.mailbox = Mailbox()
        self.mailbox.deferred = image.deferred
        self.timers: dict[str, Timer] = {}
        self.activity: Activity | None = None
        self.shutdown_handlers: list[Callable[[], Awaitable[None]]] = []
        self.inherited: dict[Resource, Any] = {}
        self.ill_checks = 0
        self.born_at = session.clock.now()
        self.is_halted = False
        self.ended: asyncio.Future[None] = session.loop.create_future()
        self.first_state_left: asyncio.Future[None] = session.loop.create_future()
        self._pump: asyncio.Task[None] | None = None
        above: Ledger | None = parent.holdings.ledger if parent is not None else None
        self.holdings: Holdings = Holdings(self.path, Ledger(plan.limits, above, self._over), session.clock.now)

    # What others see

    def now(self) -> float:
        return self.session.clock.now()

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
        return owned_context(self.holdings).run(self.session.loop.create_task, coro, name=name)

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
            item.settle(Outcome("refused", "store_unavailable", "the store takes nothing now; try again"))
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
        for name, deadline in deadlines.items():
            if (old := self.timers.pop(name, None)) is not None:
                old.cancel()
            event = Event(name, origin="self", activation=self.activation)
            self.timers[name] = self.session.clock.call_at(deadline, lambda event=event: self._fire(event))  # type: ignore[misc]

    def _fire(self, event: Event) -> None:
        self.timers.pop(event.name, None)
        self.session.fire(self, event)

    def _disarm(self) -> None:
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()

    async def leave(self, *, waits_for_cleanup: bool = True) -> None:
        """Close the scope of the old state before anything of the new one begins (M4)."""
        self._disarm()
        if self.activity is not None:
            await self.activity.close(waits_for_cleanup=waits_for_cleanup)
            self.activity = None

    def enter(self, target: str, event: Event, now: float, deadlines: Mapping[str, float]) -> None:
        if target in self.plan.entries_kept and event.name != "restored":
            kept = self.entries.setdefault(target, [])
            kept.append(now)
            del kept[: -self.plan.entries_kept[target]]
        self.state = target
        self.activation += 1
        self.entered_at = now
        self.entered_by = event
        self.is_run_over = False
        self._note_beginning()
        if event.name == "unhealthy":
            # What was done about it is not judged by what was found before.
            self.ill_checks = 0
            self.conditions.set(event.name, holds=False)
        if self.state_plan.is_final:
            self._end()
            return
        self.arm(deadlines)
        self._begin(event, {})
        self.mailbox.offer_deferred()
        self.conditions.raise_listed()

    def _note_beginning(self) -> None:
        """Whoever started this child waits until it has left its initial state, which it may enter again."""
        if self.state != self.plan.initial and not self.first_state_left.done():
            self.first_state_left.set_result(None)
        elif self.state == self.plan.initial and self.first_state_left.done():
            self.first_state_left = self.session.loop.create_future()

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
        self.conditions.raise_listed()

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
        body = {"index": index, "result": result, "holds": self.holdings.surviving()}
        try:
            self.session.commit(self, "ran", body)
        except JournalError as error:
            self.session.fail(error)

    def _over(self, what: str, is_over: bool) -> None:
        counts, limits = self.holdings.ledger.counts, self.plan.limits
        over = any(counts[name] > most for name in counts if (most := getattr(limits, name)) is not None)
        self.conditions.set("limit_exceeded", over)

    # Back from the log

    def restore(self, image: ActorImage, *, is_quiet: bool) -> None:
        """Bring timers, surviving resources and the mailbox back; `restored` goes first, then what is owed, unless
        it is_quiet: then nothing happens but what time brings."""
        for kind, name, handle in image.holds:
            self.holdings.hold(Resource(kind, name, handle, self.path, self.now(), survives=True), reserve=False)
        if not self.state_plan.is_final and not is_quiet:
            self.post(Event("restored", {"ran": {str(index): value for index, value in image.ran.items()}}))
            for owed in image.owed:
                self.post(owed)
            self.mailbox.offer_deferred()
        self.arm(image.deadlines)
        self.holdings.account(len(encode(self.data)))

    def resume(self, event: Event) -> None:
        """After `restored`: the activity goes on if the state was not left and it was not over already."""
        self._note_beginning()
        if self.activity is None and self.state_plan.run and not self.is_run_over:
            ran = {int(index): value for index, value in event.payload["ran"].items()}
            self._begin(self.entered_by or event, ran)
        self.conditions.raise_listed()

    async def close(self) -> None:
        """End what the present state owns, without a record."""
        await self.leave(waits_for_cleanup=False)
