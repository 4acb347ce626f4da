"""A lifecycle file together with the handlers it names: what the tests of the kit are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from ..machine import LifecycleMachine
from ..registry import Registry
from ..spec import Machine, Spec
from .coverage import compile_watched
from .rig import Rig, read_spec


@dataclass(frozen=True)
class Lifecycle:
    """Read once, for all tests. services: what handlers find in ctx.services; path: of the file, if it is one."""

    spec: Spec
    registry: Registry
    services: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @cached_property
    def machines(self) -> Mapping[str, LifecycleMachine]:
        return compile_watched(self.spec, self.registry, self.path)

    @property
    def root(self) -> str:
        """The kind that a session's root is of."""
        (kind,) = self.spec.roots
        return kind

    def machine(self, kind: str) -> Machine:
        return self.spec.machines[kind]

    def rig(self, **services: Any) -> Rig:
        """`async with lifecycle.rig() as rig:` in virtual time. services: what handlers find beside the others."""
        return Rig(self.machines, services={**self.services, **services})

    def with_handlers(self, registry: Registry) -> Lifecycle:
        """The same file on other handlers of the same names."""
        return replace(self, registry=registry)


def read(source: Path | str, *handlers: ModuleType | str) -> Lifecycle:
    """A lifecycle file (a path) or its text, with the handlers of some modules. Raises RegistryError or SpecError."""
    registry = Registry.of(*handlers)
    return Lifecycle(read_spec(source, registry), registry, path=source if isinstance(source, Path) else None)
