"""The walls of the house, held by reading the source: who may import whom, and one door for each library."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("engine", "handlers", "server", "examples")
READ: Final = (*PACKAGES, "benchmarks")  # what is held to being readable; benchmarks may import whatever they measure
MODULE_LINES_MAX: Final = 350

# Of our own packages, what each may import beside itself.
DIRECTIONS: Final = {
    "engine": set(),
    "handlers": {"engine"},
    "server": {"engine"},
    "examples": {"engine", "handlers"},
}
# Library -> the files or folders that may import it; anything not listed here may be imported anywhere.
DOORS: Final = {
    "yaml": ("engine/loader.py",),
    "transitions": ("engine/machine.py",),
    "orjson": ("engine/codec.py",),
    "apsw": ("engine/journal/",),
    "autogen_core": ("handlers/autogen", "examples/"),
    "aiohttp": ("server/", "examples/support/"),
    "graphviz": ("engine/drawing/render.py",),
    "joserfc": ("server/identity.py",),
    "pydantic_settings": ("server/config.py",),
    "chess": ("examples/chess/",),
    "websockets": ("examples/clients/",),
}
NOT_A_JOB: Final = {"utils", "util", "helpers", "common", "misc", "manager2"}
UNFINISHED: Final = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
# A sleep that is the subject of a test, such as a handler that hangs, says so on its line.
ON_PURPOSE: Final = "# hangs on purpose"


def modules(*folders: str) -> list[Path]:
    """What is ours: a folder with a dot holds what was installed."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "/." not in path.relative_to(ROOT).as_posix())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute module name) of every import, those inside functions too; relative ones made absolute."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield node.lineno, ".".join([*above, *([node.module] if node.module else [])])


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    """handlers → engine ← server: so the engine can be used without a web server, and a server without our handlers."""
    allowed = {package} | DIRECTIONS[package]
    wrong = [
        f"{name_of(path)}:{line}: {module}"
        for path in modules(package)
        for line, module in imports(path)
        if (top := module.split(".")[0]) in {*PACKAGES, "tests"} and top not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library: str) -> None:
    """What a library does wrong is then worked around in one place, and replacing it changes one file."""
    wrong = [
        f"{name_of(path)}:{line}"
        for path in modules(*PACKAGES)
        for line, module in imports(path)
        if module.split(".")[0] == library and not name_of(path).startswith(DOORS[library])
    ]
    assert wrong == []


def test_a_module_is_read_in_one_sitting() -> None:
    """A file that grows past this has taken on a second job."""
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules(*READ)}
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES_MAX} == {}


def test_a_module_says_its_job_first() -> None:
    """Its first sentence is how a reader decides whether to go on; an empty __init__ has nothing to say."""
    silent = [
        name_of(path)
        for path in modules(*READ)
        if (tree := ast.parse(path.read_text(encoding="utf-8"))).body and ast.get_docstring(tree) is None
    ]
    assert silent == []


def test_no_module_is_a_drawer_for_the_rest() -> None:
    """A file without a noun collects what belongs elsewhere."""
    assert [name_of(path) for path in modules(*READ, "tests") if path.stem in NOT_A_JOB] == []


def test_nothing_is_left_unfinished_in_a_comment() -> None:
    """What is missing belongs where it is planned, or it is never found again."""
    found = [
        f"{name_of(path)}:{number}"
        for path in modules(*READ, "tests")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def test_no_file_knows_where_it_was_written() -> None:
    """A path of one machine in a file works on that machine only."""
    home = [str(Path.home())] if len(Path.home().parts) > 1 else []
    places = re.compile("|".join(rf"{re.escape(place)}\b" for place in (str(ROOT), *home)))
    texts = [path for path in ROOT.iterdir() if path.is_file()] + modules(*READ, "tests")
    found = [name_of(path) for path in texts if places.search(path.read_text(encoding="utf-8", errors="replace"))]
    assert found == []


def test_no_test_sleeps() -> None:
    """A test that waits for the clock is slow on a good day and red on a bad one; virtual time or an event is neither.

    sleep(0) only lets other tasks run, on a virtual clock no sleep takes any time, and modules beside the tests hold
    the handlers and agents that hang or dawdle because that is what is tested.
    """
    found = [
        f"{name_of(path)}:{line}"
        for path in modules("tests")
        if path.name.startswith("test_")
        if "engine.testing.virtual" not in (text := path.read_text(encoding="utf-8"))
        for line in sleeps(text)
        if ON_PURPOSE not in text.splitlines()[line - 1]
    ]
    assert found == []


def sleeps(text: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        is_zero = len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        if called == "sleep" and not is_zero:
            yield node.lineno


def distribution(requirement: str) -> str:
    """The name in a requirement, in the form the lock writes it."""
    return re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower().replace("_", "-")


def test_the_lock_names_no_place() -> None:
    """It must install from whatever index its user has configured, and be checked by hash wherever that is."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = re.compile(r"[a-z0-9-]+==[^\s;]+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?|#.*")
    assert [line for line in lines if not pins.fullmatch(line)] == []


def test_the_lock_covers_what_the_project_asks_for() -> None:
    """A dependency added without `make lock` would be missing from every fresh clone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    wanted += [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    names = {distribution(line) for line in wanted}
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))
    assert names - locked == set()


def test_what_is_imported_is_declared() -> None:
    """A library that only some other package brings along is gone when that one stops needing it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = {*map(distribution, [*project["dependencies"], *extras["chess"], *extras["jwt"], *extras["testing"]])}
    # A client runs on its reader's machine, which needs nothing of ours; here a test runs it.
    for_clients = {*map(distribution, extras["dev"])}
    brought_by = packages_distributions()
    wrong = [
        f"{name_of(path)}:{line}: {module}"
        for path in modules(*PACKAGES)
        for line, module in imports(path)
        if (top := module.split(".")[0]) not in {*PACKAGES, *sys.stdlib_module_names}
        and not (declared | (for_clients if name_of(path).startswith("examples/clients/") else set()))
        & {name.lower().replace("_", "-") for name in brought_by.get(top, ())}
    ]
    assert wrong == []
