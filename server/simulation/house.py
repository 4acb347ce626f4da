"""What is simulated: a lifecycle file with its handlers, made ready once for all histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from engine.loader import load_spec
from engine.machine import LifecycleMachine, compile_machines, only_root, plan_of
from engine.plan import EventPlan, KindPlan
from engine.registry import Registry
from engine.simulation import small_handlers
from engine.simulation.faults import Place
from engine.simulation.sabotage import Sabotage

SMALL: Final = Path(small_handlers.__file__).with_name("small.yaml")
RAISING: Final[tuple[Literal["guard", "probe"], ...]] = ("guard", "probe")
VALUES: Final[Mapping[str, Callable[[int], Any]]] = {
    "str": lambda number: f"words {number}",
    "int": lambda number: number,
    "float": float,
    "bool": lambda number: number % 2 == 0,
    "json": lambda number: {"number": number},
}


@dataclass
class House:
    """machines: with faults around their handlers. services: what a new process gives to its handlers."""

    machines: Mapping[str, LifecycleMachine]
    sabotage: Sabotage
    services: Callable[[], dict[str, Any]]
    places: frozenset[Place]
    plans: dict[str, KindPlan] = field(init=False)
    root: KindPlan = field(init=False)

    def __post_init__(self) -> None:
        self.plans = {kind: plan_of(machine) for kind, machine in self.machines.items()}
        self.root = self.plans[only_root(self.plans)]

    def events_of(self, sender: str) -> list[tuple[str, EventPlan]]:
        """What a client or an administrator may say to a session."""
        return [(name, event) for name, event in self.root.events.items() if sender in event.senders]

    def ways_out(self, sender: str) -> list[str]:
        """Events that end a session from everywhere."""
        return [
            name
            for name, _ in self.events_of(sender)
            for row in self.root.machine_rows.get(name, ())
            if row.to is not None and self.root.states[row.to].is_ending
        ]


def build(file: Path, registry: Registry, services: Callable[[], dict[str, Any]]) -> House:
    """Raises SpecError."""
    sabotage = Sabotage()
    around = sabotage.around(registry)
    spec = load_spec(file, around)
    places: set[Place] = {"handler", "store", "turn", "step"}
    places |= {role for role in RAISING if registry.names(role)}
    return House(compile_machines(spec, around), sabotage, services, frozenset(places))


def small() -> House:
    """The lifecycle that comes with the simulator."""
    return build(SMALL, Registry.of(small_handlers), lambda: {"alive": []})


def payload_of(event: EventPlan, number: int) -> dict[str, Any]:
    """What event carries, different for each number."""
    return {name: _value(text, number) for name, text in event.payload.types.items()}


def _value(text: str, number: int) -> Any:
    plain = text.removesuffix("| None").strip()
    if plain != text and number % 2:
        return None
    return [_value(plain[1:-1], number)] if plain.startswith("[") else VALUES[plain](number)
