"""What can go wrong, as one table, and when it does in one history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

# Where a fault strikes, and so what its number counts: the n-th call of a handler, the n-th time the store is asked,
# the n-th turn of the loop, the n-th step of the script.
Place = Literal["handler", "guard", "probe", "store", "turn", "step"]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """told: how a story says it; {} is whose or what."""

    place: Place
    told: str
    within: int  # a fault is drawn for one of so many occasions


HANDLER, STORE, TURN, STEP = 16, 24, 220, 8
KINDS: Final[Mapping[str, FaultKind]] = {
    "handler raises": FaultKind("handler", "{} raises", HANDLER),
    "handler hangs": FaultKind("handler", "{} hangs", HANDLER),
    "handler swallows cancellation": FaultKind("handler", "{} hangs and swallows its cancellation", HANDLER),
    "handler finishes twice": FaultKind("handler", "{} does its work twice, and calls its ctx again later", HANDLER),
    "handler is slow": FaultKind("handler", "{} is slow", HANDLER),
    "handler answers nonsense": FaultKind("handler", "{} returns what is no JSON", HANDLER),
    "handler leaves a task": FaultKind("handler", "{} starts a task that never ends", HANDLER),
    "guard raises": FaultKind("guard", "the guard {} raises", 2),
    "probe raises": FaultKind("probe", "the probe of {} raises", 3),
    "store errs": FaultKind("store", "the store refuses what it is asked", STORE),
    "store errs after it wrote": FaultKind("store", "the store writes, and says that it did not", STORE),
    "store stalls": FaultKind("store", "the store stalls for {}", STORE),
    "store tears the last write": FaultKind("turn", "the process dies while the store writes", TURN),
    "process dies": FaultKind("turn", "the process dies", TURN),
    "process sleeps through its successor": FaultKind("turn", "a process that slept meanwhile goes on", TURN),
    "process is told to leave": FaultKind("step", "the process is told to leave", STEP),
    "clock steps": FaultKind("step", "the clock of the machine steps by {}", STEP),
    "connection is cut": FaultKind("step", "{}'s connection is cut", STEP),
    "connection freezes": FaultKind("step", "{} neither reads nor answers any more", STEP),
    "client dials twice": FaultKind("step", "{} dials twice at once", STEP),
    "client comes back late": FaultKind("step", "{} is away for {}", STEP),
    "asker gives up": FaultKind("step", "an administrator gives up waiting", STEP),
    "client floods": FaultKind("step", "{} sends many commands at once", STEP),
    "crowd": FaultKind("step", "more sessions are wanted than there may be", STEP),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong at the at-th occasion of its place. amount: uniform in [0, 1), for how and how much."""

    kind: str
    at: int
    amount: float


class Strikes:
    """The faults of one history, each given out when its occasion comes. reached: how often each really happened.

    failed: how often a handler failed of itself, by its name and its error, while nothing had gone wrong yet.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.reached: Counter[str] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()
        self.tell: Callable[[str], None] | None = None
        self._due = {(KINDS[fault.kind].place, fault.at): fault for fault in faults}
        self._counts: Counter[str] = Counter()

    def next(self, place: Place) -> Fault | None:
        """What goes wrong at this occasion, if anything does."""
        count = self._counts[place]
        self._counts[place] = count + 1
        return self._due.get((place, count)) if self._due else None

    def all(self, place: Place) -> list[Fault]:
        """Those of a place, in the order of their occasions."""
        return [fault for (where, _), fault in sorted(self._due.items()) if where == place]

    def disarm(self) -> None:
        """Nothing goes wrong from now on."""
        self._due = {}

    def reach(self, kind: str, who: str = "") -> None:
        """A fault has really happened."""
        self.reached[kind] += 1
        if self.tell is not None:
            self.tell(f"** {KINDS[kind].told.format(who)}")

    def fail(self, handler: str, error: Exception) -> None:
        """A handler has failed, and no fault was due there; after others it may be their doing."""
        if self.reached:
            return
        self.failed[handler, type(error).__name__] += 1
        if self.tell is not None:
            self.tell(f"!! {handler} fails without a fault: {error!r}")
