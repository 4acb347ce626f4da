"""What a project's tests drive: its own lifecycle file, handlers and teams, as its steward.toml names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.loader import load_spec
from engine.machine import LifecycleMachine, compile_machines
from engine.testing.rig import Rig

from .config import CONFIG_FILE, load
from .loading import load_handlers, load_teams


@dataclass(frozen=True)
class Project:
    """Read once, for all tests."""

    machines: Mapping[str, LifecycleMachine]
    teams: Mapping[str, Any]

    def rig(self, **services: Any) -> Rig:
        """`async with project.rig() as rig:` in virtual time. services: what handlers find beside the teams."""
        return Rig(self.machines, services={"teams": self.teams, **services})


def load_project(folder: Path) -> Project:
    """Raises ConfigError, RegistryError or SpecError, each with what is wrong and where."""
    file = folder / CONFIG_FILE
    settings = load(file=file if file.is_file() else None)
    settings = settings.model_copy(update={"lifecycle": folder / settings.lifecycle})
    registry = load_handlers(settings)
    return Project(compile_machines(load_spec(settings.lifecycle, registry), registry), load_teams(settings))
