"""What follows from guards without calling them: which rows are never taken, which lists always take one, which budget
is spent.

Guards are pure, so within one step a guard that is named twice with the same arguments gives the same answer; beyond
that nothing is known of them, so each is true or false as it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, Final

from ..language.builtins import check_arguments
from ..registry import Registry
from ..spec import Guard, Reference, Transition, guard_references

CASES_MAX: Final = 1024  # rows of a truth table: ten guards; with more, nothing is concluded

Atom = tuple[str, str]
Case = Mapping[Atom, bool | None]  # what each guard answers; None: it raises


@dataclass(frozen=True, slots=True)
class Budget:
    """`entered_below`: what a round of a loop spends."""

    state: str
    count: int
    within: float


class Guards:
    """Asks about the guards of one registry's handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def can_raise(self, guard: Guard | None) -> bool:
        """Whether a handler is asked; `entered_below` only counts."""
        return any(ref.name != "entered_below" for ref in guard_references(guard))

    def taken(self, rows: Sequence[Transition], event: str = "") -> list[bool]:
        """Of each row of an event's list whether there is any case in which it is the first that holds."""
        table = self._table(rows, event) if any(row.when is not None for row in rows) else None
        if table is None:
            return _plainly_taken(rows)
        is_taken = [False] * len(rows)
        for case in table.cases():
            first = next((index for index, row in enumerate(rows) if self._holds(row.when, case)), None)
            if first is not None:
                is_taken[first] = True
        return is_taken

    def covers(self, rows: Sequence[Transition], event: str = "") -> bool:
        """Whether one of the rows is taken whatever the guards answer."""
        if any(row.when is None for row in rows):
            return True
        table = self._table(rows, event) if rows else None
        if table is None:
            return False
        return all(any(self._holds(row.when, case) for row in rows) for case in table.cases())

    def spends(self, guard: Guard | None) -> list[Budget]:
        """Budgets without which guard cannot hold."""
        if guard is None:
            return []
        table = self._table([Transition(when=guard)], "")
        if table is None:
            return []
        holding = [case for case in table.cases() if self._holds(guard, case)]
        return [budget for atom, budget in table.budgets.items() if all(case[atom] for case in holding)]

    def _holds(self, guard: Guard | None, case: Case) -> bool:
        return self._answer(guard, case) is True

    def _answer(self, guard: Guard | None, case: Case) -> bool | None:
        """In order and stopping early, as the engine asks; None if one that is asked raises."""
        if guard is None:
            return True
        if guard.ref is not None:
            return case[self._atom(guard.ref)]
        if guard.op == "not":
            answer = self._answer(guard.items[0], case)
            return None if answer is None else not answer
        ending = guard.op == "any"
        for item in guard.items:
            if (answer := self._answer(item, case)) is not (not ending):
                return answer
        return not ending

    def _table(self, rows: Sequence[Transition], event: str) -> _Table | None:
        """None if it would be too large. Nobody comes after `failed`: there a guard that raises does not hold, and
        neither does its opposite; elsewhere raising is a failure of its own."""
        refs = [ref for row in rows for ref in guard_references(row.when)]
        budgets = {self._atom(ref): Budget(**self._arguments(ref)) for ref in refs if ref.name == "entered_below"}
        table = _Table(list(dict.fromkeys(map(self._atom, refs))), budgets, may_raise=event == "failed")
        return None if table.is_too_large else table

    def _atom(self, ref: Reference) -> Atom:
        return ref.name, repr(sorted(self._arguments(ref).items()))

    def _arguments(self, ref: Reference) -> dict[str, Any]:
        return check_arguments(self._registry, "guard", ref)


def _plainly_taken(rows: Sequence[Transition]) -> list[bool]:
    """Without a table: what stands behind a row without a guard is never reached."""
    last = next((index for index, row in enumerate(rows) if row.when is None), len(rows))
    return [index <= last for index in range(len(rows))]


@dataclass
class _Table:
    atoms: Sequence[Atom]
    budgets: Mapping[Atom, Budget]
    may_raise: bool

    @property
    def is_too_large(self) -> bool:
        return prod(len(self._answers(atom)) for atom in self.atoms) > CASES_MAX

    def _answers(self, atom: Atom) -> tuple[bool | None, ...]:
        return (True, False, None) if self.may_raise and atom not in self.budgets else (True, False)

    def cases(self) -> Iterator[Case]:
        """Every answer the guards can give together: fewer than two entries are fewer than three."""
        for answers in product(*map(self._answers, self.atoms)):
            case = dict(zip(self.atoms, answers, strict=True))
            if all(case[more] or not case[less] for less, more in self._implied):
                yield case

    @cached_property
    def _implied(self) -> list[tuple[Atom, Atom]]:
        return [
            (one, other)
            for one, less in self.budgets.items()
            for other, more in self.budgets.items()
            if less.state == more.state and less.count <= more.count and less.within >= more.within and one != other
        ]
