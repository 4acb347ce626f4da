"""A machine's spec with every name resolved: the tables that a step reads, made once for all actors of a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .bounds import CHILDREN_MARGIN_S, stop_bound
from .errors import HandlerFailed
from .language.builtins import check_arguments, is_built_in
from .language.payload import PayloadType, compile_payload
from .registry import Bound, Registry
from .spec import (
    BUILT_IN_RESOURCES,
    ENGINE_EVENTS,
    STEP_TIMEOUT_S,
    CleanupEntry,
    EventDecl,
    Guard,
    Limits,
    Machine,
    Reference,
    Retry,
    Spec,
    State,
    Step,
    Timer,
    Transition,
    is_ending,
    is_full_cleanup,
)


class GuardView(Protocol):
    """What a guard reads; context.GuardContext is the whole of it."""

    @property
    def now(self) -> float: ...
    def entries(self, state: str) -> list[float]: ...


Ask = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Call:
    """One step of a `do`, `run` or `cleanup`. bound None: built in, by name with args."""

    name: str
    bound: Bound | None
    args: Mapping[str, Any]
    timeout_s: float | None
    retry: Retry | None
    acquires: frozenset[str]
    survives: bool

    @property
    def must_run_again(self) -> bool:
        """Whether a restored `run` has to repeat it, because what it acquires does not survive a restart, as children
        do."""
        return bool(self.acquires - {"children"}) and not self.survives


@dataclass(frozen=True, slots=True)
class Row:
    """One transition an event may take. label is its guard as the file says it."""

    to: str | None
    asks: Ask | None
    label: str
    do: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class TimerPlan:
    """option: what a session's creator calls another length, at most most_s; see asked.py."""

    event: str
    seconds: float
    is_idle: bool
    option: str = ""
    most_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StatePlan:
    """own: events the state itself lists. rows: those and, where they reach, the machine's."""

    name: str
    run: tuple[Call, ...]
    rows: Mapping[str, tuple[Row, ...]]
    own: frozenset[str]
    defers: frozenset[str]
    timers: tuple[TimerPlan, ...]
    is_final: bool
    is_quarantine: bool
    is_cleaning: bool
    is_ending: bool


@dataclass(frozen=True, slots=True)
class CleanupPlan:
    """How one kind of resource is let go. do and force None: a built-in kind, which the engine ends itself."""

    kind: str
    do: Call | None
    force: Call | None
    timeout_s: float
    probe: Bound | None


@dataclass(frozen=True, slots=True)
class EventPlan:
    senders: frozenset[str]
    payload: PayloadType


@dataclass(frozen=True, slots=True)
class KindPlan:
    """Everything about one kind.

    targets: events that the machine's own rows take somewhere. urgent: those, and the engine's. stop_bound_s: the
    longest its way from any state to its final one may take. entries_kept: how many entries of a state are remembered.
    """

    kind: str
    initial: str
    states: Mapping[str, StatePlan]
    machine_rows: Mapping[str, tuple[Row, ...]]
    events: Mapping[str, EventPlan]
    targets: frozenset[str]
    urgent: frozenset[str]
    owns: Mapping[str, int]
    limits: Limits
    cleanup: tuple[CleanupPlan, ...]
    checks: tuple[Bound, ...]
    check_every_s: float
    unhealthy_after: int
    stop_bound_s: float
    is_root: bool
    entries_kept: Mapping[str, int]


def compile_plans(spec: Spec, registry: Registry) -> dict[str, KindPlan]:
    """One plan a kind, children before their owners. The spec has passed the loader, so every name resolves."""
    plans: dict[str, KindPlan] = {}

    def visit(kind: str) -> KindPlan:
        if kind not in plans:
            machine = spec.machines[kind]
            children_s = max((visit(child).stop_bound_s for child in machine.owns), default=0.0)
            plans[kind] = _Compiler(machine, registry, is_root=kind in spec.roots).plan(children_s)
        return plans[kind]

    for kind in spec.machines:
        visit(kind)
    return plans


class _Compiler:
    def __init__(self, machine: Machine, registry: Registry, *, is_root: bool) -> None:
        self.machine = machine
        self.registry = registry
        self.is_root = is_root
        self.entries_kept: dict[str, int] = {}

    def plan(self, children_s: float) -> KindPlan:
        machine = self.machine
        machine_rows = {name: self.rows(given) for name, given in machine.transitions.items()}
        cleanup = self.cleanup(children_s)
        states = {name: self.state(name, state, machine_rows) for name, state in machine.states.items()}
        health = machine.health
        targets = frozenset(name for name, rows in machine_rows.items() if any(row.to for row in rows))
        return KindPlan(
            kind=machine.kind,
            initial=machine.initial,
            states=states,
            machine_rows=machine_rows,
            events={name: _event(declared) for name, declared in machine.events.items()},
            targets=targets,
            urgent=frozenset(ENGINE_EVENTS) | targets,
            owns=dict(machine.owns),
            limits=machine.limits,
            cleanup=cleanup,
            checks=tuple(self.registry.bind("check", ref) for ref in health.checks) if health else (),
            check_every_s=health.every_s if health else 0.0,
            unhealthy_after=health.unhealthy_after if health else 1,
            stop_bound_s=stop_bound(cleanup, states, machine_rows),
            is_root=self.is_root,
            entries_kept=self.entries_kept,
        )

    def state(self, name: str, state: State, machine_rows: Mapping[str, tuple[Row, ...]]) -> StatePlan:
        own = {event: self.rows(given) for event, given in state.transitions.items()}
        timers = [*_timers("after", state.after), *_timers("idle", state.idle)]
        for timer, given in zip(timers, [*state.after, *state.idle], strict=True):
            own[timer.event] = self.rows(given.transitions)
        reaches = not (state.final or state.quarantine)
        inherited = {e: rows for e, rows in machine_rows.items() if reaches and e not in own and e not in state.defer}
        return StatePlan(
            name=name,
            run=tuple(self.call(step, default_s=None) for step in state.run),
            rows={**inherited, **own},
            own=frozenset(own),
            defers=frozenset(state.defer),
            timers=tuple(timers),
            is_final=state.final,
            is_quarantine=state.quarantine,
            is_cleaning=any(is_full_cleanup(step) for step in state.run),
            is_ending=is_ending(state),
        )

    def rows(self, given: tuple[Transition, ...]) -> tuple[Row, ...]:
        return tuple(
            Row(
                to=one.to,
                asks=self.guard(one.when) if one.when is not None else None,
                label=show_guard(one.when),
                do=tuple(self.call(step, default_s=STEP_TIMEOUT_S) for step in one.do),
            )
            for one in given
        )

    def call(self, step: Step, *, default_s: float | None) -> Call:
        timeout_s = step.timeout_s if step.timeout_s is not None else default_s
        if is_built_in("action", step.ref.name):
            args = check_arguments(self.registry, "action", step.ref)
            return Call(step.ref.name, None, args, timeout_s, step.retry, frozenset(), survives=False)
        bound = self.registry.bind("action", step.ref)
        mark = bound.handler.mark
        return Call(bound.name, bound, {}, timeout_s, step.retry, mark.acquires, mark.survives)

    def guard(self, guard: Guard) -> Ask:
        if guard.ref is not None:
            return self.ask(guard.ref)
        asks = tuple(self.guard(item) for item in guard.items)
        if guard.op == "not":
            return lambda ctx: not asks[0](ctx)
        if guard.op == "all":
            return lambda ctx: all(ask(ctx) for ask in asks)
        return lambda ctx: any(ask(ctx) for ask in asks)

    def ask(self, ref: Reference) -> Ask:
        if is_built_in("guard", ref.name):
            return self.built_in_guard(ref)
        bound = self.registry.bind("guard", ref)

        def ask(ctx: Any) -> bool:
            answer = bound(ctx)
            if not isinstance(answer, bool):
                raise HandlerFailed(bound.name, "nonsense", f"a guard answered {type(answer).__name__}, not bool")
            return answer

        return ask

    def built_in_guard(self, ref: Reference) -> Ask:
        """`entered_below`: fewer than count entries of a state within the last seconds."""
        args = check_arguments(self.registry, "guard", ref)
        state: str = args["state"]
        count: int = args["count"]
        within: float = args["within"]
        self.entries_kept[state] = max(count, self.entries_kept.get(state, 0))

        def entered_below(ctx: GuardView) -> bool:
            since = ctx.now - within
            return sum(1 for at in ctx.entries(state) if at > since) < count

        return entered_below

    def cleanup(self, children_s: float) -> tuple[CleanupPlan, ...]:
        """The file's entries in order, and the built-in kinds it does not name: children first, the rest last."""
        listed = {entry.release for entry in self.machine.cleanup}
        missing = [CleanupEntry(release=kind) for kind in BUILT_IN_RESOURCES if kind not in listed]
        first = [entry for entry in missing if entry.release == "children"]
        last = [entry for entry in missing if entry.release != "children"]
        return tuple(self.entry(one, children_s) for one in (*first, *self.machine.cleanup, *last))

    def entry(self, entry: CleanupEntry, children_s: float) -> CleanupPlan:
        probe = self.registry.get("probe", entry.release)
        timeout_s = children_s + CHILDREN_MARGIN_S if entry.release == "children" else entry.timeout_s
        return CleanupPlan(
            kind=entry.release,
            do=self.call(entry.do, default_s=timeout_s) if entry.do else None,
            force=self.call(entry.force, default_s=STEP_TIMEOUT_S) if entry.force else None,
            timeout_s=timeout_s,
            probe=Bound(probe) if probe else None,
        )


def _event(declared: EventDecl) -> EventPlan:
    return EventPlan(frozenset(declared.senders), compile_payload(declared.payload))


def _timers(word: str, timers: tuple[Timer, ...]) -> list[TimerPlan]:
    return [
        TimerPlan(f"{word} {one.text}", one.seconds, word == "idle", one.option, max(one.most_s, one.seconds))
        for one in timers
    ]


def show_reference(ref: Reference) -> str:
    if ref.has_argument:
        return f"{ref.name}: {ref.argument}"
    if not ref.args:
        return ref.name
    return f"{ref.name}({', '.join(f'{name}: {value}' for name, value in ref.args.items())})"


def show_guard(guard: Guard | None) -> str:
    """A guard expression in one line, as diagrams and refusals say it; "" for none."""
    if guard is None:
        return ""
    if guard.ref is not None:
        return show_reference(guard.ref)
    inner = ", ".join(show_guard(item) for item in guard.items)
    return f"not {inner}" if guard.op == "not" else f"{guard.op}({inner})"
