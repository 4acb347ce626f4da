"""Which parts of a lifecycle file a test run has reached: states, transitions, guards both ways, clean-up steps.

Machines of a watched file are compiled with a note in each place; stand-ins for handlers count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from ..language.walk import listed
from ..machine import LifecycleMachine
from ..plan import Ask, Call, CleanupPlan, KindPlan, Row, StatePlan, compile_plans, show_guard
from ..registry import Bound, Handler, Mark, Registry
from ..spec import STEP_TIMEOUT_S, CleanupEntry, Machine, Spec

EVERYWHERE: Final = "any state"  # where the machine's own transitions stand
WHATS: Final = ("states", "transitions", "guards", "clean-up")
MISSING_MAX: Final = 40  # lines of a report that name what was not reached


class Part(NamedTuple):
    """One thing that can be reached. what: of WHATS."""

    kind: str
    what: str
    text: str


Note = Callable[[str, str], None]  # what, text


class Coverage:
    """Of one file."""

    def __init__(self) -> None:
        self.reached: set[Part] = set()

    def watched(self, plan: KindPlan) -> KindPlan:
        """The same plan, which says where it was."""

        def note(what: str, text: str) -> None:
            self.reached.add(Part(plan.kind, what, text))
            self.reached.add(Part(plan.kind, "states", plan.initial))

        states = {name: _state(state, note) for name, state in plan.states.items()}
        return replace(plan, states=states, cleanup=tuple(_entry(entry, note) for entry in plan.cleanup))

    def report(self, spec: Spec) -> tuple[float, list[str]]:
        """Per cent of the parts, and lines that say of which how many, and which not."""
        parts = list(dict.fromkeys(part for machine in spec.machines.values() for part in _parts(machine)))
        missing = [part for part in parts if part not in self.reached]
        percent = 100.0 * (len(parts) - len(missing)) / len(parts)
        lines = [f"{kind}: {', '.join(self._counts(kind, parts))}" for kind in spec.machines]
        lines += [f"  not reached: {part.kind} {part.what}: {part.text}" for part in missing[:MISSING_MAX]]
        if len(missing) > MISSING_MAX:
            lines.append(f"  and {len(missing) - MISSING_MAX} more")
        return percent, lines

    def _counts(self, kind: str, parts: Iterable[Part]) -> Iterator[str]:
        for what in WHATS:
            of_it = [part for part in parts if (part.kind, part.what) == (kind, what)]
            if of_it:
                yield f"{what} {sum(part in self.reached for part in of_it)}/{len(of_it)}"


WATCHED: Final[dict[Path, Coverage]] = {}  # by the file's whole path; the pytest plugin says which


def compile_watched(spec: Spec, registry: Registry, path: Path | None) -> dict[str, LifecycleMachine]:
    """One machine a kind, as compile_machines() makes them; of a file that is watched, with notes."""
    coverage = WATCHED.get(path.resolve()) if path is not None and WATCHED else None
    plans: Iterable[KindPlan] = compile_plans(spec, registry).values()
    if coverage is not None:
        plans = map(coverage.watched, plans)
    return {plan.kind: LifecycleMachine.from_plan(plan) for plan in plans}


# What there is to reach, by the file


def _parts(machine: Machine) -> Iterator[Part]:
    for state in machine.states:
        yield Part(machine.kind, "states", state)
    for place in listed(machine):
        event = place.event or f"{place.path[-2]} {place.path[-1]}"
        for index, row in enumerate(place.transitions):
            text = _arrow(place.state, event, index, row.to)
            yield Part(machine.kind, "transitions", text)
            if row.when is not None:
                yield from (Part(machine.kind, "guards", said) for said in _both_ways(text, show_guard(row.when)))
    for entry in machine.cleanup:
        yield from (Part(machine.kind, "clean-up", text) for text in _ways(entry))


def _arrow(state: str | None, event: str, index: int, to: str | None) -> str:
    number = f" (entry {index + 1})" if index else ""
    return f"{state or EVERYWHERE} --{event}-->{f' {to}' if to else ''}{number}"


def _both_ways(arrow: str, guard: str) -> tuple[str, str]:
    return f"{arrow}: {guard} holds", f"{arrow}: {guard} refuses"


def _ways(entry: CleanupEntry | CleanupPlan) -> Iterator[str]:
    kind = entry.release if isinstance(entry, CleanupEntry) else entry.kind
    for word, way in (("do", entry.do), ("force", entry.force)):
        if way is not None:
            yield f"{kind}: {word}"


# The notes


def _state(state: StatePlan, note: Note) -> StatePlan:
    rows = {
        event: tuple(
            _row(row, state.name if event in state.own else None, event, index, note)
            for index, row in enumerate(choices)
        )
        for event, choices in state.rows.items()
    }
    return replace(state, rows=rows)


def _row(row: Row, state: str | None, event: str, index: int, note: Note) -> Row:
    arrow = _arrow(state, event, index, row.to)

    def taken(ctx: Any) -> None:
        note("transitions", arrow)
        if row.to is not None:
            note("states", row.to)

    asks = _asking(row.asks, _both_ways(arrow, row.label), note) if row.asks is not None else None
    return replace(row, asks=asks, do=(*row.do, _call(taken)))


def _asking(asks: Ask, said: tuple[str, str], note: Note) -> Ask:
    def asked(ctx: Any) -> bool:
        holds = asks(ctx)
        note("guards", said[0] if holds else said[1])
        return holds

    return asked


def _call(function: Callable[[Any], None]) -> Call:
    """The last action of a transition: reached when all others have ended well."""
    bound = Bound(Handler(Mark("action", "covered"), function, BaseModel, is_async=False))
    return Call("covered", bound, {}, STEP_TIMEOUT_S, None, frozenset(), survives=False)


def _entry(entry: CleanupPlan, note: Note) -> CleanupPlan:
    do, force = (
        _noted(call, f"{entry.kind}: {word}", note) if call is not None else None
        for word, call in (("do", entry.do), ("force", entry.force))
    )
    return replace(entry, do=do, force=force)


def _noted(call: Call, text: str, note: Note) -> Call:
    bound = call.bound
    assert bound is not None, "a clean-up entry calls no built-in step"

    def function(ctx: Any, **arguments: Any) -> Any:
        note("clean-up", text)
        return bound.handler.function(ctx, **arguments)

    return replace(call, bound=Bound(replace(bound.handler, function=function), bound.kwargs))
