"""What an actor holds: every resource with its owner, counted against the limits of the actor and all above it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from .codec import encode
from .errors import LimitExceeded, RegistryError
from .spec import Limits
from .steps.probes import BUILT_IN_PROBES

LIMITED: Final = ("tasks", "files", "processes", "memory")

log = logging.getLogger("steward.resources")


@dataclass(eq=False, slots=True)
class Resource:
    """One thing that must be let go. since: UTC seconds; size: accounted bytes; survives: it outlives the process,
    so its handle is JSON and is written to the log."""

    kind: str
    name: str
    handle: Any
    owner: str
    since: float
    size: int = 0
    survives: bool = False
    is_work: bool = False


class Ledger:
    """Counts of one actor and all below it, each bounded by what the file declares."""

    # A slot for each of LIMITED, and the limits where they are: two tables would be 460 bytes an actor.
    __slots__ = ("_most", "_on_over", "_parent", "files", "memory", "processes", "tasks")

    def __init__(self, limits: Limits, parent: Ledger | None, on_over: Callable[[str, bool], None]) -> None:
        self._most = limits.of_holdings
        self._parent = parent
        self._on_over = on_over if self._most else _nobody
        self.tasks = self.files = self.processes = self.memory = 0

    @property
    def counts(self) -> dict[str, int]:
        return {what: getattr(self, what) for what in LIMITED}

    def require(self, what: str, count: int = 1) -> None:
        """Raises LimitExceeded if this or any above has no room for it."""
        for ledger in self._chain():
            most = ledger._most.get(what)
            if most is not None and getattr(ledger, what) + count > most:
                raise LimitExceeded(what, most)

    def reserve(self, what: str, count: int = 1) -> None:
        """Count it here and above. Raises LimitExceeded, and counts nothing, if any of them has no room (C6)."""
        self.require(what, count)
        self.add(what, count)

    def add(self, what: str, count: int = 1) -> None:
        """Count what exists already, room or not; who is over its limit is told."""
        for ledger in self._chain():
            now: int = getattr(ledger, what) + count
            setattr(ledger, what, now)
            ledger._tell(what, now - count, now)

    def give_back(self, what: str, count: int = 1) -> None:
        self.add(what, -count)

    def retire(self) -> None:
        """Let go of the actor this ledger reports to: contexts of timers that a handler left behind may hold the
        ledger long after the actor has ended."""
        self._on_over = _nobody

    def _tell(self, what: str, before: int, now: int) -> None:
        most = self._most.get(what)
        if most is not None and (now > most) != (before > most):
            self._on_over(what, now > most)

    def _chain(self) -> Iterator[Ledger]:
        ledger: Ledger | None = self
        while ledger is not None:
            yield ledger
            ledger = ledger._parent


def _nobody(what: str, is_over: bool) -> None:
    """Who is told of an actor that has ended."""


class HasNow(Protocol):
    """What tells the time: a Clock does."""

    def now(self) -> float: ...


class Holdings:
    """Everything one actor holds. It is the owner (tasks.Owner) of the tasks its handlers start."""

    __slots__ = ("_accounted", "_clock", "_heir", "_held", "_path", "_tasks", "ledger")

    def __init__(self, path: str, ledger: Ledger, clock: HasNow) -> None:
        self.ledger = ledger
        self._path = path
        self._clock = clock
        # Nothing, until there is something: most actors hold nothing most of the time.
        self._held: tuple[Resource, ...] = ()
        self._tasks: dict[asyncio.Task[Any], Resource] | None = None
        self._accounted = 0
        self._heir: Holdings | None = self  # whose task what its code starts is; after its end another's

    def account(self, size: int) -> None:
        """How many bytes the actor's own data takes now; counted as memory, whether there is room or not."""
        self.ledger.add("memory", size - self._accounted)
        self._accounted = size

    def adopt(self, task: asyncio.Task[Any]) -> None:
        if task in (self._tasks or ()) or task.done():
            return
        if self._heir is not self:
            self._bequeath(task)
            return
        if self._tasks is None:
            self._tasks = {}
        self._tasks[task] = Resource("tasks", task.get_name(), task, self._path, self._clock.now())
        self.ledger.add("tasks")
        task.add_done_callback(self._task_done)

    def put_to_work(self, task: asyncio.Task[Any]) -> None:
        """A task that a handler asked for is work; one that a library keeps beside is none."""
        if self._tasks is not None and task in self._tasks:
            self._tasks[task].is_work = True

    @property
    def is_at_work(self) -> bool:
        return any(one.is_work for one in (self._tasks or {}).values())

    def retire(self, heir: Holdings | None) -> None:
        """The actor has ended: nothing of its own is counted any more, and what its code still starts is heir's."""
        self.account(0)
        self.ledger.retire()
        self._heir = heir

    def _bequeath(self, task: asyncio.Task[Any]) -> None:
        """Something the ended actor's code left behind starts a task: its parent's to end, or nobody's to keep."""
        if self._heir is not None:
            self._heir.adopt(task)
            return
        log.warning("%s started after %s had ended; it is cancelled", task.get_name(), self._path)
        task.cancel()

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        # Its error, if it has one, is left to whoever awaits it; asyncio logs one that nobody asked for.
        if self._tasks is not None and self._tasks.pop(task, None) is not None:
            self._tasks = self._tasks or None
            self.ledger.give_back("tasks")

    def disown(self, task: asyncio.Task[Any]) -> None:
        """Strike a task that was detached: nothing can resume it, and the last reference to it is ours."""
        task.remove_done_callback(self._task_done)
        self._task_done(task)

    def hold(self, resource: Resource, *, reserve: bool = True) -> Resource:
        """Raises LimitExceeded if there is no room for it or its bytes; then it is not held."""
        counted = [(resource.kind, 1)] if resource.kind in LIMITED else []
        counted += [("memory", resource.size)] if resource.size else []
        for done, (what, count) in enumerate(counted):
            try:
                (self.ledger.reserve if reserve else self.ledger.add)(what, count)
            except LimitExceeded:
                for undo, amount in counted[:done]:
                    self.ledger.give_back(undo, amount)
                raise
        self._held += (resource,)
        return resource

    def drop(self, resource: Resource) -> None:
        """Strike one that is gone. No error if it was struck before."""
        if resource.kind == "tasks":
            self.disown(resource.handle)
            return
        if resource not in self._held:
            return
        self._held = tuple(one for one in self._held if one is not resource)
        if resource.kind in LIMITED:
            self.ledger.give_back(resource.kind)
        if resource.size:
            self.ledger.give_back("memory", resource.size)

    def held(self, kind: str) -> tuple[Resource, ...]:
        if kind == "tasks":
            tasks = self._tasks or {}
            for task, resource in tasks.items():
                resource.name = task.get_name()  # before Python 3.13 a task is named after it was created
            return tuple(tasks.values())
        return tuple(one for one in self._held if one.kind == kind)

    def all(self) -> tuple[Resource, ...]:
        return (*self._held, *self.held("tasks"))

    def surviving(self) -> list[list[Any]]:
        """[kind, name, handle] of what a restart leaves behind, for the log."""
        return [[one.kind, one.name, one.handle] for one in self._held if one.survives]

    def sweep(self) -> None:
        """Strike files and processes that ended by themselves, so that their places are free."""
        for kind in ("files", "processes"):
            for resource in self.held(kind):
                if BUILT_IN_PROBES[kind](resource):
                    self.drop(resource)


class Resources:
    """A handler's `ctx.resources`: what it may open is what its decorator says it acquires."""

    __slots__ = (
        "_check",
        "_find",
        "_holdings",
        "_is_limited",
        "_kinds",
        "_may_release",
        "_name",
        "_once",
        "_survives",
    )

    def __init__(
        self,
        holdings: Holdings,
        find: Callable[[str], Resource | None],
        check: Callable[[], None],
        *,
        name: str,
        acquires: frozenset[str],
        releases: frozenset[str],
        survives: bool,
        once: bool = False,
        is_limited: bool = True,
    ) -> None:
        self._is_limited = is_limited
        self._holdings = holdings
        self._find = find
        self._check = check
        self._name = name
        self._kinds = acquires
        self._may_release = releases
        self._survives = survives
        self._once = once

    def hold(self, kind: str, name: str, handle: Any, *, size: int = 0) -> Resource:
        """Take a resource into the books; the clean-up entry of its kind lets it go.

        Raises RegistryError if the action is not declared to acquire kind, or once and it is held; LimitExceeded if
        there is no room; TypeError if it survives a restart and its handle is no JSON.
        """
        self._check()
        if kind not in self._kinds:
            raise RegistryError(f"{self._name} holds a {kind!r} but is not declared @action(acquires={kind!r})")
        if self._survives:
            encode(handle)
        return self._take(Resource(kind, name, handle, "", 0.0, size, self._survives))

    def _take(self, resource: Resource) -> Resource:
        holdings = self._holdings
        if self._once and holdings.held(resource.kind):
            raise RegistryError(f"{self._name} is declared once=True and takes a second {resource.kind!r}")
        resource.owner, resource.since = holdings._path, holdings._clock.now()
        return holdings.hold(resource, reserve=self._is_limited)

    def held(self, kind: str) -> tuple[Resource, ...]:
        return self._holdings.held(kind)

    def find(self, kind: str) -> Resource | None:
        """The first of kind that this actor holds, else its parent, and so on up."""
        return self._find(kind)

    def drop(self, resource: Resource) -> None:
        """Strike a resource that this handler itself has let go."""
        self._check()
        if resource.kind not in self._may_release:
            raise RegistryError(f"{self._name} lets go of a {resource.kind!r} but is not declared to release it")
        self._holdings.drop(resource)

    def open(self, path: str | Path, mode: str = "r") -> IO[Any]:
        """A file that is closed with the actor. Raises LimitExceeded above `files`.

        Reports name it by its last part alone: where on this machine it lies is no client's business.
        """
        self._check()
        self._holdings.sweep()
        resource = self._take(Resource("files", Path(path).name, None, "", 0.0))
        try:
            resource.handle = Path(path).open(mode)  # noqa: SIM115 - the actor owns it
        except BaseException:
            self._holdings.drop(resource)
            raise
        file: IO[Any] = resource.handle
        return file

    async def process(self, *argv: str, **kwargs: Any) -> asyncio.subprocess.Process:
        """A child process at the head of a process group of its own, which ends with the actor, grandchildren
        included. Raises LimitExceeded above `processes`."""
        self._check()
        self._holdings.sweep()
        resource = self._take(Resource("processes", Path(argv[0]).name, None, "", 0.0))
        try:
            resource.handle = await asyncio.create_subprocess_exec(*argv, start_new_session=True, **kwargs)
        except BaseException:
            self._holdings.drop(resource)
            raise
        process: asyncio.subprocess.Process = resource.handle
        resource.name = f"{Path(argv[0]).name} (pid {process.pid})"
        return process
