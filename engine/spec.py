"""What a lifecycle file says, after its short forms are written out: frozen models, no behaviour.

loader.py makes them from text; machine.py compiles them. Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

LANGUAGE_VERSION: Final = 1
SENDERS: Final = ("client", "admin", "parent", "child")
OWN_EVENTS: Final = ("done", "failed", "child_ended", "restored", "reloaded")
CONDITIONS: Final = ("connected", "last_connection_lost", "unhealthy", "limit_exceeded")
ENGINE_EVENTS: Final = (*OWN_EVENTS, *CONDITIONS, "stop")
BUILT_IN_RESOURCES: Final = ("children", "processes", "tasks", "files")
STEP_TIMEOUT_S: Final = 10.0  # of every handler that does not say otherwise, outside `run`

Sender = Literal["client", "admin", "parent", "child"]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(Model):
    """A handler's name and its arguments. argument: the one plain value, when the short form `{name: value}` was
    used with something that is no mapping; the registry gives it its name."""

    name: str
    args: Mapping[str, Any] = Field(default_factory=dict)
    argument: Any = None
    has_argument: bool = False


class Guard(Model):
    """op "ref" has ref; "all", "any" and "not" have items ("not" exactly one)."""

    op: Literal["ref", "all", "any", "not"]
    ref: Reference | None = None
    items: tuple[Guard, ...] = ()


class Retry(Model):
    attempts: int = Field(ge=1, le=20)
    backoff_s: float = 0.2
    most_s: float = 5.0


class Step(Model):
    """One call of a handler. timeout_s None: STEP_TIMEOUT_S in a `do`, no bound of its own in a `run`."""

    ref: Reference
    timeout_s: float | None = None
    retry: Retry | None = None


class Transition(Model):
    """to None: internal, the state, its activity and its timers go on."""

    to: str | None = None
    when: Guard | None = None
    do: tuple[Step, ...] = ()


class Timed(Transition):
    """What a time limit does. option: the one that asks for another length, and the longest it gets."""

    option: Mapping[str, float] = Field(default_factory=dict)


class Timer(Model):
    """text is how the file wrote the duration, and with `after ` or `idle ` before it names the timer's event.
    option: what whoever creates a session calls another length, at most most_s; "" if nobody may ask for one."""

    seconds: float
    text: str
    transitions: tuple[Transition, ...]
    option: str = ""
    most_s: float = 0.0


class State(Model):
    description: str = ""
    run: tuple[Step, ...] = ()
    transitions: Mapping[str, tuple[Transition, ...]] = Field(default_factory=dict)
    after: tuple[Timer, ...] = ()
    idle: tuple[Timer, ...] = ()
    defer: tuple[str, ...] = ()
    final: bool = False
    quarantine: bool = False
    accept: Mapping[str, str] = Field(default_factory=dict)  # code of a warning -> why it is right here


class EventDecl(Model):
    """payload: field name -> type text (`str`, `int`, `float`, `bool`, `json`, `[T]`, `T | None`)."""

    senders: tuple[Sender, ...]
    payload: Mapping[str, str] = Field(default_factory=dict)


class Limits(Model):
    """live and live_per_user count roots of the kind; the others count what an actor and all below it hold."""

    live: int | None = None
    live_per_user: int | None = None
    connections: int | None = None
    tasks: int | None = None
    files: int | None = None
    processes: int | None = None
    memory: int | None = None

    @cached_property
    def of_holdings(self) -> Mapping[str, int]:
        """What of this bounds an actor's holdings; made once for all actors of a kind."""
        declared = {"tasks": self.tasks, "files": self.files, "processes": self.processes, "memory": self.memory}
        return {what: most for what, most in declared.items() if most is not None}


class Health(Model):
    every_s: float
    checks: tuple[Reference, ...]
    unhealthy_after: int = Field(default=1, ge=1)


class CleanupEntry(Model):
    """How one kind of resource is let go: do, then force, then its probe. Built-in kinds need no do."""

    release: str
    do: Step | None = None
    force: Step | None = None
    timeout_s: float = STEP_TIMEOUT_S


class Machine(Model):
    kind: str
    description: str = ""
    owns: Mapping[str, int] = Field(default_factory=dict)
    initial: str
    states: Mapping[str, State]
    events: Mapping[str, EventDecl] = Field(default_factory=dict)
    transitions: Mapping[str, tuple[Transition, ...]] = Field(default_factory=dict)
    limits: Limits = Limits()
    health: Health | None = None
    cleanup: tuple[CleanupEntry, ...] = ()
    accept: Mapping[str, str] = Field(default_factory=dict)

    def rows(self, state: str, event: str) -> tuple[Transition, ...] | None:
        """The transitions event has in state: the state's own list, else the machine's unless the state is final
        or quarantine, else None. A state that defers the event has none either."""
        here = self.states[state]
        if event in here.transitions:
            return here.transitions[event]
        if here.final or here.quarantine or event in here.defer:
            return None
        return self.transitions.get(event)


class Spec(Model):
    lifecycle: int
    name: str
    machines: Mapping[str, Machine]
    renamed: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)

    @property
    def roots(self) -> tuple[str, ...]:
        """Kinds that no other kind owns."""
        owned = {kind for machine in self.machines.values() for kind in machine.owns}
        return tuple(kind for kind in self.machines if kind not in owned)


def is_full_cleanup(step: Step) -> bool:
    """Whether step lets go of everything: the built-in `cleanup` without `only`."""
    return step.ref.name == "cleanup" and not step.ref.args


def is_ending(state: State) -> bool:
    """Whether an actor in state is on its way out: final, quarantined or in its full cleanup."""
    return state.final or state.quarantine or any(is_full_cleanup(step) for step in state.run)


def guard_references(guard: Guard | None) -> Iterator[Reference]:
    """Every handler a guard expression names, in the order it may be called."""
    if guard is None:
        return
    if guard.ref is not None:
        yield guard.ref
    for item in guard.items:
        yield from guard_references(item)
