"""What a project's tests drive: its own lifecycle file, handlers and teams, as its steward.toml names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.loader import load_spec
from engine.testing.lifecycle import Lifecycle

from .config import CONFIG_FILE, load
from .loading import load_handlers, load_teams


@dataclass(frozen=True)
class Project(Lifecycle):
    """Read once, for all tests. Handlers find the teams in ctx.services, with what rig() is given."""

    teams: Mapping[str, Any] = field(default_factory=dict)


def load_project(folder: Path) -> Project:
    """Raises ConfigError, RegistryError or SpecError, each with what is wrong and where."""
    file = folder / CONFIG_FILE
    settings = load(file=file if file.is_file() else None)
    path = folder / settings.lifecycle
    registry, teams = load_handlers(settings.model_copy(update={"lifecycle": path})), load_teams(settings)
    return Project(load_spec(path, registry), registry, {"teams": teams}, path, teams)
