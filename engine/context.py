"""What handlers get: never the machine, so nothing can re-enter it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from .codec import decode, encode
from .errors import ScopeClosed
from .records import Event, Outcome, Update
from .resources import Resource, Resources

if TYPE_CHECKING:
    from .actor import Actor
    from .plan import Call

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ActorView:
    """One actor as others see it."""

    path: str
    kind: str
    state: str
    is_ending: bool


class Life:
    """Whether the step or activity that a ctx belongs to still goes on (M4)."""

    __slots__ = ("_is_over", "_parent", "_what")

    def __init__(self, what: str, parent: Life | None = None) -> None:
        self._what = what
        self._parent = parent
        self._is_over = False

    @property
    def is_over(self) -> bool:
        return self._is_over or (self._parent is not None and self._parent.is_over)

    def end(self) -> None:
        self._is_over = True

    def check(self) -> None:
        if self.is_over:
            raise ScopeClosed(f"{self._what} is over; its ctx does nothing any more")


@dataclass(slots=True)
class Effects:
    """What a step wants to happen, all of it or nothing, with its commit."""

    updates: list[Update] = field(default_factory=list)
    sends: list[tuple[str, Event]] = field(default_factory=list)
    written_off: dict[Resource, Callable[[], None]] = field(default_factory=dict)

    def apply(self) -> None:
        """After the commit: strike what it wrote off."""
        for strike in self.written_off.values():
            strike()


class GuardContext:
    """Read-only: what guards and health checks see. now: UTC seconds."""

    def __init__(self, actor: Actor, event: Event) -> None:
        self._actor = actor
        self.event = event
        self.now: float = actor.now()

    @property
    def sid(self) -> str:
        return self._actor.session.sid

    @property
    def path(self) -> str:
        return self._actor.path

    @property
    def kind(self) -> str:
        return self._actor.kind

    @property
    def user(self) -> str:
        return self._actor.session.user

    @property
    def parent(self) -> str | None:
        return self._actor.parent.path if self._actor.parent else None

    @property
    def state(self) -> str:
        return self._actor.state

    @property
    def data(self) -> Mapping[str, Any]:
        return MappingProxyType(self._actor.data)

    @property
    def children(self) -> Mapping[str, ActorView]:
        """Live children by id."""
        return {name: child.view() for name, child in self._actor.children.items()}

    def tree(self) -> Iterator[ActorView]:
        """All live actors below this one, parents first."""
        return self._actor.below()

    @property
    def conditions(self) -> frozenset[str]:
        return frozenset(self._actor.conditions)

    @property
    def services(self) -> Mapping[str, Any]:
        """What the program gave to all handlers: see SessionManager."""
        return self._actor.session.services

    def entries(self, state: str) -> list[float]:
        """When state was entered lately (UTC seconds), oldest first; only of states that an `entered_below` names."""
        return self._actor.entries.get(state, [])

    def find(self, kind: str) -> Resource | None:
        """The first resource of kind that this actor holds, else its parent, and so on up."""
        return self._actor.find_resource(kind)

    def held(self, kind: str) -> tuple[Resource, ...]:
        return self._actor.holdings.held(kind)

    def counts(self) -> Mapping[str, int]:
        """Tasks, files, processes and memory (bytes) that this actor and all below it hold."""
        return self._actor.holdings.ledger.counts


class Context(GuardContext):
    """What actions see. In a `do`, effects and changes of data happen with the step's commit or not at all."""

    def __init__(
        self, actor: Actor, event: Event, life: Life, effects: Effects | None, *, is_limited: bool = True
    ) -> None:
        super().__init__(actor, event)
        self._life = life
        self._effects = effects
        self._is_limited = is_limited
        self._draft: dict[str, Any] | None = None
        self._copy: Mapping[str, Any] | None = None
        self._call: Call | None = None
        self._resources: Resources | None = None

    @property
    def data(self) -> Any:
        """The actor's JSON. In a `do` a draft that the commit writes; elsewhere a read-only copy."""
        if self._effects is None:
            if self._copy is None:
                self._copy = MappingProxyType(decode(encode(self._actor.data)))
            return self._copy
        if self._draft is None:
            self._draft = decode(encode(self._actor.data))
        return self._draft

    @property
    def effects(self) -> Effects | None:
        return self._effects

    def attempt(self, *, is_only: bool) -> Context:
        """A ctx for one attempt of a handler: what it asks for counts only if keep() takes it over. is_only: there
        is no other, so it shares what the step has: if it fails, all of it is given up."""
        life = Life("this attempt", self._life)
        effects = self._effects if is_only or self._effects is None else Effects()
        one = Context(self._actor, self.event, life, effects, is_limited=self._is_limited)
        one._draft = self._draft if is_only or self._draft is None else decode(encode(self._draft))
        return one

    def keep(self, attempt: Context) -> None:
        """Take over what an attempt that ended well asked for. In a `run` its ctx lives on until the state is left."""
        if self._effects is not None and attempt._effects is not None:
            attempt.end()
            if attempt._effects is not self._effects:
                self._effects.updates += attempt._effects.updates
                self._effects.sends += attempt._effects.sends
            self._draft = attempt._draft

    def end(self) -> None:
        self._life.end()

    @property
    def draft(self) -> dict[str, Any] | None:
        """The draft of data if a handler asked for it, else None."""
        return self._draft

    @property
    def resources(self) -> Resources:
        if self._resources is None:
            assert self._call is not None, "resources are there while a handler runs"
            self._resources = self._lend(self._call)
        return self._resources

    def lend(self, call: Call) -> None:
        """Ready ctx.resources for one handler, with what its decorator allows."""
        self._call, self._resources = call, None

    def _lend(self, call: Call) -> Resources:
        mark = call.bound.handler.mark if call.bound is not None else None
        return Resources(
            self._actor.holdings,
            self._actor.find_resource,
            self._life.check,
            name=call.name,
            acquires=call.acquires,
            releases=mark.releases if mark else frozenset(),
            survives=call.survives,
            once=mark.once if mark else False,
            is_limited=self._is_limited,
        )

    def topic(self, name: str) -> str:
        """A topic that no other session has."""
        return f"{self.sid}:{name}"

    def emit(self, kind: str, data: Mapping[str, Any]) -> None:
        """A durable, numbered update for every client of the session; data must be JSON."""
        self._life.check()
        update = Update(kind, dict(data), self.event.command)
        if self._effects is not None:
            self._effects.updates.append(update)
        else:
            self._actor.session.tell(self._actor, updates=[update])

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """A volatile hint to whoever is connected now; never stored, never replayed."""
        self._life.check()
        self._actor.session.log.note(kind, data)

    def send(self, to: str, event: str, payload: Mapping[str, Any] | None = None) -> None:
        """An event for the parent ("parent"), a child (its id) or either by path; it counts once, across crashes.

        Raises Refused if there is no such actor or it does not declare the event for this sender.
        """
        self._life.check()
        addressed = self._actor.address(to, event, payload or {})
        if self._effects is not None:
            self._effects.sends.append(addressed)
        else:
            self._actor.session.tell(self._actor, sends=[addressed])

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """A task that the actor owns and ends. Raises LimitExceeded above `tasks`; coro is closed then."""
        try:
            self._life.check()
            return self._actor.spawn(coro, name, is_limited=self._is_limited)
        except BaseException:
            coro.close()
            raise

    def on_shutdown(self, handler: Callable[[], Awaitable[None]]) -> None:
        """Call handler first in the actor's clean-up; the last one given is called first."""
        self._life.check()
        self._actor.shutdown_handlers += (handler,)


class RunContext(Context):
    """What the steps of a `run` see. data is read-only: an activity changes it only through the result of `done`."""

    def __init__(self, actor: Actor, event: Event, life: Life) -> None:
        super().__init__(actor, event, life, effects=None)

    def attempt(self, *, is_only: bool) -> RunContext:
        return RunContext(self._actor, self.event, Life("this attempt", self._life))

    async def ask(self, to: str, event: str, payload: Mapping[str, Any] | None = None) -> Outcome:
        """Send an event to the parent or a child and wait for what becomes of it."""
        self._life.check()
        path, addressed = self._actor.address(to, event, payload or {})
        return await self._actor.session.ask(path, addressed)

    async def start_child(self, kind: str, name: str, data: Mapping[str, Any] | None = None) -> ActorView:
        """Start a child, or find the live one of this id, and wait until it has left its initial state.

        Raises LimitExceeded above `owns`, ChildFailed if it went to its end instead of to work.
        """
        self._life.check()
        return await self._actor.session.start_child(self._actor, kind, name, dict(data or {}))
