"""The kit as pytest loads it, in projects of somebody else: leaks are found, coverage is told, nobody else pays."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Final, cast

import pytest

from engine.testing.plugin import pytest_generate_tests

RUN_S: Final = 100.0
LIFECYCLE: Final = """
lifecycle: 1
name: shop
machines:
  session:
    initial: open
    events: {buy: {from: [client]}, close: {from: [client]}}
    transitions: {failed: closed}
    states:
      open:
        after: {1h: closed}
        transitions: {buy: [{when: has_stock, do: sell}, {do: apologise}], close: closed}
      closed: {final: true}
"""
HANDLERS: Final = """
from engine.registry import action, guard

@guard()
def has_stock(ctx): return ctx.data.get("sold", 0) < 1

@action()
def sell(ctx): ctx.data["sold"] = ctx.data.get("sold", 0) + 1

@action()
def apologise(ctx): ctx.emit("sold.out", {})
"""
LEAKS: Final = """
import asyncio, os, socket, subprocess, sys
from pathlib import Path
import shop
from engine.testing.lifecycle import read
from engine.testing.virtual import in_virtual_time

KEPT = []
SHOP = read(Path("lifecycle.yaml"), shop)

async def sleeper():
    await asyncio.sleep(1e6)

@in_virtual_time
async def test_clean(ledger):
    async with SHOP.rig() as rig:
        await rig.create()
    with open(__file__):
        subprocess.run([sys.executable, "-c", ""])

@in_virtual_time
async def test_task(ledger):
    KEPT.append(asyncio.create_task(sleeper(), name="the sleeper"))
    await asyncio.sleep(0)

def test_task_on_a_loop_of_the_fixture(ledger, virtual_loop):
    async def main():
        KEPT.append(asyncio.create_task(sleeper(), name="the sleeper"))
        await asyncio.sleep(3600)
    virtual_loop.run_until_complete(main())
    assert virtual_loop.time() == 3600

async def test_task_elsewhere(ledger):
    KEPT.append(asyncio.create_task(sleeper(), name="the sleeper"))
    await asyncio.sleep(0)

def test_file(ledger):
    KEPT.append(open(__file__))

def test_socket(ledger):
    KEPT.append(socket.socket())

def test_process(ledger):
    KEPT.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

@in_virtual_time
async def test_timer(ledger):
    rig = SHOP.rig()
    await rig.manager.start()
    await rig.create()
    KEPT.append(rig)

def test_end():
    KEPT[5].communicate()
"""

SHOP_TESTS: Final = """
from pathlib import Path
import shop
from engine.testing.lifecycle import read
from engine.testing.virtual import in_virtual_time

SHOP = read(Path("lifecycle.yaml"), shop)

@in_virtual_time
async def test_buying():
    async with SHOP.rig() as rig:
        assert (await rig.send(await rig.create(), "buy")).ok

@in_virtual_time
async def test_closing():
    async with SHOP.rig() as rig:
        session = await rig.create()
        await rig.send(session, "close")
        assert session.is_ended

@in_virtual_time
async def test_closing_by_itself():
    async with SHOP.rig() as rig:
        session = await rig.create()
        await rig.advance(3600)
        assert session.is_ended
"""
SETTINGS: Final = """
[tool.pytest.ini_options]
pythonpath = ["."]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody else's folder, with a lifecycle file, its handlers and tests that reach a part of it."""
    (tmp_path / "lifecycle.yaml").write_text(LIFECYCLE)
    (tmp_path / "shop.py").write_text(HANDLERS)
    (tmp_path / "test_shop.py").write_text(SHOP_TESTS)
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    return tmp_path


def run(project: Path, *words: str) -> tuple[int, str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_leaks_are_named_and_coverage_is_told(project: Path) -> None:
    """C3: a task on any loop, a file, a socket, a process, an armed timer; and nothing where nothing is left."""
    (project / "test_leaks.py").write_text(LEAKS)
    code, output = run(project, "-rA", "--lifecycle-cov=lifecycle.yaml")
    assert code == 1, output
    left = dict(re.findall(r"ERROR at teardown of (\w+) _+\nleft behind: (\w+):", output))
    assert left == {
        "test_task": "task",
        "test_task_on_a_loop_of_the_fixture": "task",
        "test_task_elsewhere": "task",
        "test_file": "file",
        "test_socket": "socket",
        "test_process": "file",
        "test_timer": "timers",
    }, output
    assert "; process: " in output
    assert "PASSED test_leaks.py::test_clean" in output
    assert "session: states 2/2, transitions 3/5, guards 1/2" in output
    assert re.findall(r"not reached: (.*)", output) == [
        "session transitions: any state --failed--> closed",
        "session guards: open --buy-->: has_stock refuses",
        "session transitions: open --buy--> (entry 2)",
    ]


@pytest.mark.slow
def test_too_little_coverage_fails_a_run_that_is_spread_over_workers(project: Path) -> None:
    """What each worker reached is put together before it is judged."""
    code, output = run(project, "-n", "1", "--lifecycle-cov-fail-under=70")
    assert "lifecycle coverage of lifecycle.yaml: 67 %" in output
    assert (code, "less than the 70 % that are asked for" in output) == (1, True)


def test_a_test_of_cells_takes_a_cell() -> None:
    """Else it would run once, and prove nothing."""
    metafunc = SimpleNamespace(
        definition=SimpleNamespace(get_closest_marker=lambda name: name, nodeid="test_x"), fixturenames=[]
    )
    with pytest.raises(pytest.UsageError, match=r"test_x: a test with .* takes a `cell`"):
        pytest_generate_tests(cast(pytest.Metafunc, metafunc))


def test_who_does_not_use_it_does_not_pay() -> None:
    """pytest loads every plugin that is installed."""
    code = "import sys, engine.testing.plugin; print(*(n for n in sys.modules if n[:6] in ('engine', 'hypoth')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=RUN_S, check=True)
    assert done.stdout.strip() == "engine engine.testing engine.testing.plugin"
