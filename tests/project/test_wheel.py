"""The package that others install: everything that the code opens is in it, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("engine", "handlers", "server", "examples")
BUILD_S: Final = 100.0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """Built from a copy, because a build leaves its own files beside the sources."""
    copy = tmp_path_factory.mktemp("sources")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "lifecycle.yaml"):
        shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-q", "-w", "out"]
    built = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert built.returncode == 0, built.stderr
    return zipfile.Path(next((copy / "out").glob("*.whl")))


@pytest.mark.e2e
@pytest.mark.slow
def test_every_file_of_the_packages_is_in_it(wheel: zipfile.Path) -> None:
    """Templates, schema, pages, examples: a file that is missing is found only by who has installed it."""
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    wanted = [path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts]
    assert [name for name in wanted if not wheel.joinpath(name).exists()] == []


@pytest.mark.e2e
@pytest.mark.slow
def test_the_shipped_lifecycle_is_in_it(wheel: zipfile.Path) -> None:
    """As a file, not as a link that leads out of the package."""
    text = (ROOT / "lifecycle.yaml").read_text(encoding="utf-8")
    assert wheel.joinpath("server/templates/shipped.yaml").read_text(encoding="utf-8") == text


@pytest.mark.e2e
@pytest.mark.slow
def test_nothing_else_is_in_it(wheel: zipfile.Path) -> None:
    """A top-level package called tests, or docs, would be in the way of other people's."""
    tops = {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == set(PACKAGES)
