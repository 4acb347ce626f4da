"""What an operator's own modules bring: handlers and teams by name, or one sentence why they do not load."""

from __future__ import annotations

import importlib
import logging
import sys
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from engine import registry
from engine.errors import RegistryError
from engine.registry import Registry

from .config import DEFAULT_TEAMS, HANDLER_MODULES, Settings

OURS: Final = ("engine", "handlers", "server", "examples")  # names of packages that a project cannot use for its own
# By name, as handlers are: the server knows no team and no agent.
TEAM_CLASS: Final = ("handlers.team", "Team")
log = logging.getLogger("steward.loading")


def load_handlers(settings: Settings) -> Registry:
    """The shipped handlers and those of the settings' modules, which win where both have a name.

    Raises RegistryError: what does not load, where, and what would.
    """
    places = make_importable(settings)
    own = Registry.of(*(_handler_module(name, places) for name in settings.handlers))
    shipped = Registry.of(*HANDLER_MODULES)
    kept = []
    for handler in shipped.handlers():
        mine = own.get(handler.mark.role, handler.name)
        if mine is None:
            kept.append(handler)
        elif mine.function is not handler.function:
            log.info("%s.%s takes the place of the shipped %s %r",
                     mine.function.__module__, mine.function.__name__, handler.mark.role, handler.name)  # fmt: skip
    return Registry([*own.handlers(), *kept])


def load_teams(settings: Settings) -> dict[str, Any]:
    """The teams by name; the first is who plays if nobody is asked for. Raises RegistryError naming the one that does
    not load.

    The default ones need an extra that may not be installed; without it they are left out, and the log says so.
    """
    places = make_importable(settings)
    teams = {}
    for name, place in settings.teams.items():
        is_default = DEFAULT_TEAMS.get(name) == place
        try:
            teams[name] = _team(name, place, places)
        except RegistryError as error:
            if not is_default or not isinstance(error.__cause__, ImportError):
                raise
            log.warning("%s; pip install 'session-steward[%s]' brings what it needs", error, name)
    return teams


def make_importable(settings: Settings) -> tuple[Path, ...]:
    """Let modules beside the lifecycle file, and beside where steward was called, be imported; the two folders.

    At the end of the path: a file named logging.py there must not take the place of what the server itself needs.
    """
    places = tuple(dict.fromkeys((settings.lifecycle.resolve().parent, Path.cwd())))
    sys.path.extend(str(place) for place in places if str(place) not in sys.path)
    return places


def _team(name: str, place: str, places: Iterable[Path]) -> Any:
    what = f"the team {name!r} ({place}):"
    module_name, _, attribute = place.partition(":")
    if not module_name or not attribute:
        raise RegistryError(f"{what} a team is given as module:attribute, such as myapp.team:TEAM")
    module = _module(module_name, places, f"{what} the module")
    team_class = getattr(importlib.import_module(TEAM_CLASS[0]), TEAM_CLASS[1])
    found = {key: value for key, value in vars(module).items() if isinstance(value, team_class)}
    teams = f"it has these teams: {', '.join(found)}" if found else "no Team is made there"
    if not hasattr(module, attribute):
        raise RegistryError(f"{what} {module_name} has no {attribute!r}; {teams}")
    value = getattr(module, attribute)
    if not isinstance(value, team_class):
        wanted = ".".join(TEAM_CLASS)
        raise RegistryError(f"{what} {attribute} is {_article(value)}, not a {wanted}; {teams}")
    return value


def _handler_module(name: str, places: Iterable[Path]) -> ModuleType:
    what = f"the handler module {name!r}"
    module = _module(name, places, "the handler module")
    try:
        handlers = Registry.of(module).handlers()
    except RegistryError:
        raise
    except Exception as error:
        # Annotations are read here, and may name what the module does not have.
        raise RegistryError(f"{what} ({module.__file__}): a handler's arguments cannot be read: {error}") from error
    if not handlers:
        raise RegistryError(
            f"{what} ({module.__file__}) has no handlers: "
            "none of its functions is decorated with @guard(), @action(), @probe(...) or @check()"
        )
    return module


def _module(name: str, places: Iterable[Path], what: str) -> ModuleType:
    """Raises RegistryError with the line of the module that went wrong."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise RegistryError(f"{what} {name!r} {_nowhere(name, error.name, places)}") from error
        raise RegistryError(f"{what} {name!r} does not import: {_where(error)}{_install(error)}") from error
    except (Exception, SystemExit) as error:
        raise RegistryError(f"{what} {name!r} does not import: {_where(error)}") from error
    return module


def _nowhere(name: str, missing: str, places: Iterable[Path]) -> str:
    """Why a module is not found: what was looked at, and what is there with a name like it."""
    package, _, last = missing.rpartition(".")
    if package:
        beside = _beside(package)
        near = get_close_matches(last, beside, n=1)
        hint = f"did you mean {f'{package}.{near[0]}'!r}?" if near else f"it has: {', '.join(beside) or 'no modules'}"
        return f"does not exist: the package {package!r} has no {last!r}; {hint}"
    if name.split(".")[0] in OURS:
        return "does not exist; that package is Steward's own, so a project's needs another name"
    looked = " and ".join(str(place) for place in places)
    stems = sorted({path.stem for place in places for path in place.iterdir() if _is_module(path)})
    near = get_close_matches(last, stems, n=1)
    hint = f"did you mean {name.replace(last, near[0], 1)!r}?" if near else "give its name as an import would"
    return f"does not exist in {looked}, nor is it installed; {hint}"


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


def _beside(package: str) -> list[str]:
    found = find_spec(package)
    folders = found.submodule_search_locations if found is not None else None
    return sorted(
        path.stem for folder in folders or () for path in Path(folder).iterdir()
        if _is_module(path) and path.stem != "__init__"
    )  # fmt: skip


def _where(error: BaseException) -> str:
    """file:line: kind: text, of the last line that is not Python's own machinery."""
    kind = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: SyntaxError: {error.msg}"
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and Path(frame.filename) != Path(__file__)
        and Path(frame.filename) != Path(importlib.__file__)
        and not (isinstance(error, RegistryError) and Path(frame.filename) == Path(registry.__file__))
    ]  # fmt: skip
    return f"{frames[-1].filename}:{frames[-1].lineno}: {kind}" if frames else kind


def _install(error: ModuleNotFoundError) -> str:
    return f"; install what provides {error.name!r} into {sys.prefix}, or mend the import" if error.name else ""


def _article(value: object) -> str:
    kind = "class" if isinstance(value, type) else type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
