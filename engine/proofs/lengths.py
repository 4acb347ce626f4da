"""Bounds for people: when each kind is at its end, and for how long each of its states hears nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

from .composition import after_stop
from .graph import Life
from .rounds import Ends
from .times import deaf_s, lasting, step_s


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of one kind, in seconds. end_s: of a root, if nobody comes; of an owned kind, after `stop`; inf if there is no
    bound. deaf_s: by state."""

    kind: str
    is_root: bool
    end_s: float
    deaf_s: dict[str, float]

    def lines(self) -> Iterator[str]:
        alone = "left alone" if self.is_root else "after `stop`"
        ends = f"at an end within {lasting(self.end_s)}" if self.end_s < inf else "there is no bound"
        yield f"{self.kind}: {alone}, {ends}"
        width = max(map(len, self.deaf_s))
        for state, seconds in self.deaf_s.items():
            yield f"  {state:{width}}  hears nothing for {lasting(seconds)} at most"

    def plain(self) -> dict[str, Any]:
        end_s = round(self.end_s, 3) if self.end_s < inf else None
        deaf = {state: round(seconds, 3) for state, seconds in self.deaf_s.items()}
        return {"kind": self.kind, "root": self.is_root, "end_s": end_s, "deaf_s": deaf}


def lengths(life: Life) -> Lengths:
    ends = Ends(life)
    states = [name for name in life.reached if not life.state(name).final]
    if life.is_root:
        end_s = max(ends.s[name] for name in states)
    else:
        ways = [way for name in states for way in after_stop(life, name) if way.target is not None]
        end_s = max((step_s(life, way) + ends.s[way.target or ""] for way in ways), default=inf)
    in_order = {name: deaf_s(life, name) for name in life.machine.states if name in states}
    return Lengths(life.kind, life.is_root, end_s, in_order)
