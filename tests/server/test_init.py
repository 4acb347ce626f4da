"""`steward init`: what it makes works at once, as it is, in a process that finds nothing but what is installed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner, Result

from server.cli import steward
from server.cli_init import NAMES
from server.init import SCHEMA, SHIPPED, TEMPLATES, files_of

ROOT: Final = Path(__file__).parents[2]
# -I: no PYTHONPATH, and the folder it runs in is not on the path; as it is for the command that is installed.
STEWARD: Final = (sys.executable, "-I", "-c", "import sys; from server.cli import main; sys.exit(main())")
COMMAND_S: Final = 100.0
ANSWER_S: Final = 30.0
SAYS: Final = {"minimal": "one two three", "chess": "e2e4", "support": "what does a lamp cost?"}
OPTIONS: Final = {"minimal": {"greeting": "So far"}, "chess": {"white": "human", "plies": 4}, "support": {}}


def init(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(steward, ["init", str(folder), *words], prog_name="steward")


def environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith(("STEWARD_", "PYTHONPATH"))}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=COMMAND_S, check=False
    )


@pytest.fixture(params=NAMES)
def template(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(template: str, tmp_path: Path) -> Path:
    folder = tmp_path / "my project"
    made = init(folder, "--template", template)
    assert made.exit_code == 0, made.output
    return folder


def test_it_says_what_it_made_and_what_to_do_next(tmp_path: Path) -> None:
    """Every file by name, and commands that can be copied."""
    made = init(tmp_path / "desk")
    assert made.exit_code == 0
    listed = {line.strip() for line in made.output.splitlines()}
    files = {
        path.relative_to(tmp_path / "desk").as_posix() for path in (tmp_path / "desk").rglob("*") if path.is_file()
    }
    assert files - listed == set()
    assert f"cd {tmp_path / 'desk'}" in made.output
    assert all(command in made.output for command in ("steward check", "steward serve", "pytest"))


def test_the_current_folder_needs_no_cd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`steward init .` is for who has made the folder already."""
    monkeypatch.chdir(tmp_path)
    made = init(Path())
    assert made.exit_code == 0
    assert "cd " not in made.output


def test_nothing_is_overwritten_and_nothing_half_made(tmp_path: Path) -> None:
    """One file of theirs in the way is enough; it is named, and no other file is written."""
    theirs = tmp_path / "lifecycle.yaml"
    theirs.write_text("theirs")
    made = init(tmp_path)
    assert made.exit_code == 1
    assert str(theirs) in made.output
    assert [path.name for path in tmp_path.iterdir()] == ["lifecycle.yaml"]
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize("is_link", [False, True])
def test_what_is_in_the_way_of_a_folder_is_told_before_anything_is_written(tmp_path: Path, is_link: bool) -> None:
    """A file where a folder has to be, or a link that leads out of the project."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    desk = tmp_path / "desk"
    desk.mkdir()
    if is_link:
        (desk / "tests").symlink_to(elsewhere)
    else:
        (desk / "tests").write_text("theirs")
    made = init(desk)
    assert made.exit_code == 1
    assert f"{desk / 'tests'} is in the way" in made.output
    assert [path.name for path in desk.iterdir()] == ["tests"]
    assert list(elsewhere.iterdir()) == []


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """A folder with a repository in it is a good place to begin."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert init(tmp_path).exit_code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    made = init(tmp_path / "file")
    assert (made.exit_code, "is a file" in made.output) == (1, True)


def test_every_template_of_the_command_exists() -> None:
    """The names stand twice, so that `steward --help` imports nothing."""
    assert tuple(TEMPLATES) == NAMES
    assert SHIPPED.read_text() == (ROOT / "lifecycle.yaml").read_text()


def test_a_project_has_what_the_readme_promises(template: str) -> None:
    """A lifecycle with the modeline and its schema, one guard, two actions, a team, a property test."""
    files = {path.as_posix(): text for path, text in files_of(template).items()}
    assert files["lifecycle.yaml"].startswith(f"# yaml-language-server: $schema={SCHEMA}\n")
    assert SCHEMA.as_posix() in files
    handlers = files["myapp/handlers.py"]
    assert (handlers.count("@guard()"), handlers.count("@action()")) == (1, 2)
    assert all(f"def {name}(" in handlers for name in ("has_turns_left", "count_turn", "say_goodbye"))
    assert "TEAM" in files["myapp/team.py"]
    assert "@given" in files["tests/test_myapp.py"]
    assert "{{" not in "".join(files.values()).replace("{{}", "")


def test_its_readme_asks_for_commands_that_exist(template: str) -> None:
    """And links to files that are there."""
    readme = files_of(template)[Path("README.md")]
    commands = re.findall(r"^(?:[A-Z_]+=\S+ )*steward (\w+)", readme, re.MULTILINE)
    assert {"check", "serve"} <= set(commands)
    assert [name for name in commands if name not in steward.commands] == []
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    files = {path.as_posix() for path in files_of(template)}
    assert [link for link in links if "://" not in link and link not in files] == []


@pytest.mark.e2e
@pytest.mark.slow
def test_its_own_tests_are_green_and_its_code_is_clean(project: Path) -> None:
    """As a stranger runs them first."""
    checked = run(project, *STEWARD, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    linted = run(project, sys.executable, "-m", "ruff", "check", "--no-cache", "--line-length", "120", ".")
    assert linted.returncode == 0, linted.stdout
    tested = run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio")
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """serve(project) starts `steward serve` there; its address."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path) -> str:
        process = subprocess.Popen(
            (*STEWARD, "serve", "--port", "0"),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http://" not in line:
            process.kill()
            pytest.fail(line + process.communicate()[1])
        return str(json.loads((folder / ".steward" / "address").read_text())["url"])

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=COMMAND_S)
        assert process.returncode == 0


def call(url: str, secret: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, headers), timeout=ANSWER_S) as answer:
            return json.load(answer)
    except HTTPError as error:
        pytest.fail(f"{url}: {error.code} {error.read().decode()}")


@pytest.mark.e2e
@pytest.mark.slow
def test_its_server_answers(project: Path, template: str, serve: Callable[[Path], str]) -> None:
    """With the project's own handlers and team: what a person says is counted by count_turn."""
    url = serve(project)
    key = (project / ".steward" / "key").read_text().strip()
    made = call(f"{url}/v1/sessions", key, {"options": OPTIONS[template]})
    one = f"{url}/v1/sessions/{made['sid']}"
    said = {"name": "say", "args": {"text": SAYS[template]}}
    for _ in range(1000):  # the session is made while we ask
        if call(one, made["token"])["state"] != "initializing":
            break
    assert call(f"{one}/commands", made["token"], said)["ok"]
    events = call(f"{one}/log", made["token"])["events"]
    assert {"kind": "turn.counted", "data": {"turns": 1}} in [
        {key: one[key] for key in ("kind", "data")} for one in events
    ]
