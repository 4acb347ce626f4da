"""The kit as a pytest plugin: a marker, two fixtures, and coverage of lifecycle files.

Nothing of the engine is imported before something here is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from .coverage import Coverage
    from .ledger import Ledger
    from .virtual import VirtualLoop

MARKER: Final = (
    "lifecycle(file, kind=None): give the test a `cell` for every state, event and answer of guards that the file has; "
    "`cell.actual` is what the engine does, `cell.expected` what the file says"
)
DEFAULT_FILE: Final = "lifecycle.yaml"
SENT: Final = "lifecycle_cov"  # under which name a worker of pytest-xdist sends what it has reached


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lifecycle", "lifecycle files")
    group.addoption(
        "--lifecycle-cov", action="append", default=[], metavar="FILE", help="report what the tests reach of this file"
    )
    group.addoption(
        "--lifecycle-cov-fail-under",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help=f"fail if less of a file is reached; without --lifecycle-cov, of {DEFAULT_FILE}",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    files = config.getoption("--lifecycle-cov")
    if config.getoption("--lifecycle-cov-fail-under"):
        files = files or [DEFAULT_FILE]
    if files:
        config.pluginmanager.register(LifecycleCoverage(config, files), "lifecycle-coverage")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("lifecycle")
    if marker is None:
        return
    if "cell" not in metafunc.fixturenames:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: a test with @pytest.mark.lifecycle takes a `cell`")
    from .rig import read_spec
    from .table import cells

    def marked(file: str | Path, kind: str | None = None) -> list[Any]:
        spec = read_spec(metafunc.config.rootpath / file, None)
        return [cell for one in ([kind] if kind else spec.machines) for cell in cells(spec, one)]

    metafunc.parametrize("cell", marked(*marker.args, **marker.kwargs), ids=str)


@pytest.fixture
def virtual_loop() -> Iterator[VirtualLoop]:
    """A loop whose time jumps: `virtual_loop.run_until_complete(...)` takes no time, however long it sleeps."""
    from .virtual import VirtualLoop

    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """Fails the test if it leaves a task, file, socket, process or timer behind. `ledger.leaks()` says so earlier."""
    from .ledger import Ledger

    with Ledger() as counted:
        yield counted
        leaks = counted.leaks()
    if leaks:
        pytest.fail("left behind: " + "; ".join(leaks), pytrace=False)


class LifecycleCoverage:
    """Watches files during a run, in every process of it, and reports once."""

    def __init__(self, config: pytest.Config, files: list[str]) -> None:
        from .coverage import WATCHED, Coverage

        self._config = config
        self._fail_under: float = config.getoption("--lifecycle-cov-fail-under")
        self._of: dict[Path, Coverage] = {(config.rootpath / file).resolve(): Coverage() for file in files}
        self._reports: dict[Path, tuple[float, list[str]]] = {}
        WATCHED.update(self._of)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist has ended: what it reached counts here."""
        from .coverage import Part

        for path, reached in getattr(node, "workeroutput", {}).get(SENT, {}).items():
            self._of[Path(path)].reached.update(Part(*part) for part in reached)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[SENT] = {str(path): [list(part) for part in one.reached] for path, one in self._of.items()}
            return
        from .rig import read_spec

        self._reports = {path: one.report(read_spec(path, None)) for path, one in self._of.items()}
        if any(percent < self._fail_under for percent, _ in self._reports.values()) and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for path, (percent, lines) in self._reports.items():
            terminalreporter.section(f"lifecycle coverage of {path.name}: {percent:.0f} %")
            for line in lines:
                terminalreporter.write_line(line)
            if percent < self._fail_under:
                terminalreporter.write_line(f"less than the {self._fail_under:g} % that are asked for", red=True)
