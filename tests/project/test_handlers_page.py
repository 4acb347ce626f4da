"""docs/handlers.md: its example works as it stands there, and its tables name what the code offers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from engine.context import Context, GuardContext, RunContext
from engine.resources import Resources

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "handlers.md").read_text(encoding="utf-8")
COMMAND_S: Final = 60.0
# For the engine that calls a handler, not for the handler.
ENGINES: Final = {"attempt", "draft", "effects", "end", "keep", "lend"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files of the example, each from the block below the line that names it."""
    folder = tmp_path_factory.mktemp("shop")
    found = re.findall(r"`(\w+\.(?:yaml|py|toml))`[^\n]*:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    for name, text in found:
        (folder / name).write_text(text, encoding="utf-8")
    assert sorted(name for name, _ in found) == ["desk.py", "shop.yaml", "steward.toml", "test_shop.py"]
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(folder)])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=COMMAND_S
    )


@pytest.mark.e2e
def test_the_example_passes_the_check(shop: Path) -> None:
    done = run(shop, "-m", "server.cli", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no problems" in done.stdout


@pytest.mark.e2e
def test_the_tests_of_the_example_pass(shop: Path) -> None:
    """Run as its reader runs it: in a directory of its own, without our configuration."""
    done = run(shop, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_every_name_that_ctx_offers_is_told() -> None:
    """And none that it does not."""
    section = PAGE.split("## `ctx`\n", 1)[1]
    offered = {name for one in (GuardContext, Context, RunContext) for name in vars(one) if not name.startswith("_")}
    offered |= {"event", "now"} - ENGINES
    assert set(re.findall(r"`(?:await )?ctx\.(\w+)", section)) == offered - ENGINES


def test_every_name_that_resources_offer_is_told() -> None:
    offered = {name for name in vars(Resources) if not name.startswith("_")}
    assert set(re.findall(r"ctx\.resources\.(\w+)", PAGE)) == offered
