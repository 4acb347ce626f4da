"""Small lives for one question each, and how to load them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.loader import load_spec
from engine.machine import LifecycleMachine, compile_machines
from engine.registry import Registry

HERE: Final = Path(__file__).parent
HANDLERS: Final = "benchmarks.lives.handlers"


def machines(name: str) -> dict[str, LifecycleMachine]:
    registry = Registry.of(HANDLERS)
    return compile_machines(load_spec(HERE / f"{name}.yaml", registry), registry)
