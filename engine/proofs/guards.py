"""What follows from guards without calling them: which rows are never taken, which lists always take one, which budget
is spent.

Guards are pure, so within one step a guard that is named twice with the same arguments gives the same answer; beyond
that nothing is known of them, so each is true or false as it likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Final

from ..builtins import check_arguments
from ..registry import Registry
from ..spec import Guard, Reference, Transition, guard_references

ATOMS_MAX: Final = 10  # 1,024 rows of a truth table; with more, nothing is concluded

Atom = tuple[str, str]


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

    def taken(self, rows: Sequence[Transition]) -> list[bool]:
        """Of each row of a list whether there is any case in which it is the first that holds."""
        if all(row.when is None for row in rows):
            return _plainly_taken(rows)
        table = _Table(self._atoms(rows), self._budgets(rows))
        if table.is_too_large:
            return _plainly_taken(rows)
        is_taken = [False] * len(rows)
        for case in table.cases():
            first = next((index for index, row in enumerate(rows) if self._holds(row.when, case)), None)
            if first is not None:
                is_taken[first] = True
        return is_taken

    def covers(self, rows: Sequence[Transition]) -> bool:
        """Whether one of the rows is taken whatever the guards answer."""
        if any(row.when is None for row in rows):
            return True
        table = _Table(self._atoms(rows), self._budgets(rows))
        if not rows or table.is_too_large:
            return False
        return all(any(self._holds(row.when, case) for row in rows) for case in table.cases())

    def spends(self, guard: Guard | None) -> list[Budget]:
        """Budgets without which guard cannot hold."""
        if guard is None:
            return []
        row = [Transition(when=guard)]
        budgets = self._budgets(row)
        table = _Table(self._atoms(row), budgets)
        if table.is_too_large:
            return []
        holding = [case for case in table.cases() if self._holds(guard, case)]
        return [budget for atom, budget in budgets.items() if all(case[atom] for case in holding)]

    def _holds(self, guard: Guard | None, case: Mapping[Atom, bool]) -> bool:
        if guard is None:
            return True
        if guard.ref is not None:
            return case[self._atom(guard.ref)]
        if guard.op == "not":
            return not self._holds(guard.items[0], case)
        return (all if guard.op == "all" else any)(self._holds(item, case) for item in guard.items)

    def _atoms(self, rows: Iterable[Transition]) -> list[Atom]:
        return list(dict.fromkeys(self._atom(ref) for row in rows for ref in guard_references(row.when)))

    def _atom(self, ref: Reference) -> Atom:
        return ref.name, repr(sorted(self._arguments(ref).items()))

    def _arguments(self, ref: Reference) -> dict[str, Any]:
        return check_arguments(self._registry, "guard", ref)

    def _budgets(self, rows: Iterable[Transition]) -> dict[Atom, Budget]:
        refs = [ref for row in rows for ref in guard_references(row.when) if ref.name == "entered_below"]
        return {self._atom(ref): Budget(**self._arguments(ref)) for ref in refs}


def _plainly_taken(rows: Sequence[Transition]) -> list[bool]:
    """Without a table: what stands behind a row without a guard is never reached."""
    last = next((index for index, row in enumerate(rows) if row.when is None), len(rows))
    return [index <= last for index in range(len(rows))]


@dataclass
class _Table:
    atoms: Sequence[Atom]
    budgets: Mapping[Atom, Budget]

    @property
    def is_too_large(self) -> bool:
        return len(self.atoms) > ATOMS_MAX

    def cases(self) -> Iterator[dict[Atom, bool]]:
        """Every answer the guards can give together: fewer than two entries are fewer than three."""
        for answers in product((True, False), repeat=len(self.atoms)):
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
