"""The shop behind the desk: what it sells, what this customer has bought, and the till that gives money back."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ORDER: Final = re.compile(r"\bA-\d{4}\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Order:
    number: str
    item: str
    cents: int


CATALOGUE: Final = {"lamp": 3900, "kettle": 5450, "chair": 12900, "desk": 24900}  # cents
ORDERS: Final = {
    order.number: order
    for order in (Order("A-1001", "lamp", 3900), Order("A-1002", "kettle", 5450), Order("A-1003", "chair", 12900))
}


def euros(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d} EUR"


def find_order(number: str) -> Order:
    """Raises ValueError naming what was asked for."""
    order = ORDERS.get(number.strip().upper())
    if order is None:
        raise ValueError(f"there is no order {number[:20]!r}")
    return order


def find_items(query: str) -> list[str]:
    words = query.lower()
    found = [item for item in CATALOGUE if item in words] or list(CATALOGUE)
    return [f"{item}: {euros(CATALOGUE[item])}" for item in found]


class Till:
    """Gives money back once for each order in this session, also when the handler that asked for it runs again after a
    crash. A real till would ask its bank, which knows of all sessions.

    folder: where refunds are written, a file for each; None: memory alone. paid: orders
    that are known to be paid back, for the agent's state.
    """

    def __init__(self, folder: Path | None) -> None:
        self.paid: list[str] = []
        self._folder = folder

    def refund(self, order: Order, approved_by: str) -> str:
        """Raises ValueError if it was paid back before."""
        if order.number in self.paid:
            raise ValueError(f"order {order.number} was paid back already")
        if self._folder is not None:
            self._write(self._folder / _name(order), order, approved_by)
        self.paid.append(order.number)
        return f"{euros(order.cents)} for order {order.number} ({order.item}) were paid back."

    def has_paid(self, order: Order) -> bool:
        return order.number in self.paid or (self._folder is not None and (self._folder / _name(order)).exists())

    @staticmethod
    def _write(path: Path, order: Order, approved_by: str) -> None:
        """Under its name once it is whole: half a record must not count as paid."""
        if path.exists():
            return  # by a run of the same handler that did not live to say so
        draft = path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump({"order": order.number, "cents": order.cents, "approved_by": approved_by}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def _name(order: Order) -> str:
    return f"refund-{order.number}.json"
