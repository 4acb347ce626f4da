"""The command line: help, exit codes, and what the commands print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from server.calling import called
from server.cli import steward
from server.config import load
from server.running import how_to_go_on

ROOT = Path(__file__).parents[2]
LIFECYCLE = Path(__file__).parent / "files" / "wire.yaml"
COMMANDS = tuple(sorted(steward.commands))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without files of ours, and our handlers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEWARD_HANDLERS", '["tests.server.wire_handlers"]')


def run(*args: str) -> Result:
    return CliRunner().invoke(steward, args, prog_name="steward")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(command: str) -> None:
    """With an example where there is something to choose."""
    result = run(*([command] if command else []), "--help")
    assert result.exit_code == 0
    assert "Usage: steward" in result.output
    assert command == "sessions" or "xample" in result.output


def test_help_and_version_import_nothing_heavy() -> None:
    """`steward --help` has to be quick: no aiohttp, no pydantic, no transitions, no AutoGen."""
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from server.cli import steward\n"
        "for flag in ('--help', '--version'):\n"
        "    assert CliRunner().invoke(steward, [flag]).exit_code == 0\n"
        "heavy = {'aiohttp', 'pydantic', 'transitions', 'yaml', 'autogen_core', 'apsw', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.stdout.strip() == "[]"


def test_a_clean_file_is_0() -> None:
    """And says what was found in it."""
    result = run("check", str(LIFECYCLE))
    assert (result.exit_code, "no problems" in result.output) == (0, True), result.output


def test_problems_are_1_each_with_its_place(tmp_path: Path) -> None:
    """All of them in one run."""
    file = tmp_path / "bad.yaml"
    file.write_text(LIFECYCLE.read_text().replace("done: active", "done: activ").replace("do: repeat}", "do: repaet}"))
    result = run("check", str(file))
    assert result.exit_code == 1
    assert "did you mean 'active'" in result.output
    assert "did you mean 'repeat'" in result.output
    as_data = run("check", str(file), "--json")
    assert as_data.exit_code == 1
    found = json.loads(as_data.stdout)
    assert not found["ok"]
    assert {item["line"] > 0 and item["code"] != "" for item in found["diagnostics"]} == {True}


@pytest.mark.parametrize("text", [None, "\x00", "{", "a: [b"])
def test_what_cannot_be_read_is_2(tmp_path: Path, text: str | None) -> None:
    """No file, or none that is YAML; never a traceback."""
    file = tmp_path / "bad.yaml"
    if text is not None:
        file.write_text(text)
    result = run("check", str(file))
    assert (result.exit_code, result.output != "") == (2, True)
    assert json.loads(run("check", str(file), "--json").stdout)["ok"] is False


def test_handlers_that_do_not_load_are_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, with the reason."""
    monkeypatch.setenv("STEWARD_HANDLERS", '["no.such.module"]')
    result = run("check", str(LIFECYCLE))
    assert result.exit_code == 2
    assert "no.such.module" in result.output


@pytest.mark.parametrize("form, start", [("dot", "digraph"), ("mermaid", "stateDiagram")])
def test_diagrams_are_text(form: str, start: str) -> None:
    """On standard output for one machine."""
    result = run("diagram", str(LIFECYCLE), "--machine", "session", "--format", form)
    assert result.exit_code == 0
    assert start in result.output or form == "mermaid"
    assert "reconnecting" in result.output


def test_diagrams_are_files(tmp_path: Path) -> None:
    """All of them, in a directory that is made."""
    result = run("diagram", str(LIFECYCLE), "-o", str(tmp_path / "out"))
    assert result.exit_code == 0
    written = [Path(line) for line in result.output.splitlines()]
    assert written
    assert all(path.is_file() for path in written)


def test_a_machine_that_is_none_is_wrong_usage() -> None:
    """And says which there are."""
    result = run("diagram", str(LIFECYCLE), "--machine", "sesion")
    assert result.exit_code == 2
    assert "session" in result.output


@pytest.mark.parametrize(
    "command",
    [
        ["sessions"],
        ["log", "s.x"],
        ["log", "s.x", "--follow"],
        ["export", "s.x"],
        ["fork", "s.x", "--at", "1"],
        ["end", "s.x"],
        ["retry", "s.x"],
        ["write-off", "s.x", "--reason", "x"],
    ],
)
def test_no_server_is_one_sentence(command: list[str]) -> None:
    """With what would help."""
    result = run(*command, "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "steward serve" in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(shell: str) -> None:
    """For the shells people use."""
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "steward" in result.output


@pytest.mark.parametrize(
    "args",
    [
        ["dance"],
        ["serve", "--port", "x"],
        ["completion", "cmd"],
        ["log"],
        ["fork", "s.x", "--at", "x"],
        ["write-off", "s.x"],
    ],
)
def test_wrong_usage_is_2(args: list[str]) -> None:
    """As everywhere."""
    assert run(*args).exit_code == 2


@pytest.mark.parametrize("url", ["foo", "ws://127.0.0.1:8080", "http://", "http://x:99999", "http://x:1/?a=b"])
@pytest.mark.parametrize("command", [["play"], ["sessions"]])
def test_an_address_that_is_none_is_wrong_usage(command: list[str], url: str) -> None:
    """Nothing is dialled."""
    result = run(*command, "--url", url)
    assert result.exit_code == 2
    assert "http://127.0.0.1:8080" in result.output


@pytest.mark.parametrize("command", [["play"], ["sessions"], ["log", "s.x"], ["end", "s.x"]])
def test_a_data_directory_without_a_server_is_said(command: list[str], tmp_path: Path) -> None:
    """Its key is not tried on whatever listens on the usual port."""
    result = run(*command, "--data", str(tmp_path / "nobody"))
    assert result.exit_code == 1
    assert f"no server runs on {tmp_path / 'nobody'}" in result.output


def test_a_session_without_a_token_cannot_be_come_back_to() -> None:
    """Only who began it has one."""
    result = run("play", "--session", "s.x", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "no token for s.x" in result.output


def test_the_changelog_names_every_command() -> None:
    """It is where a user learns of a new one."""
    text = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name in COMMANDS if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    "argv, path, says",
    [
        ("here/.venv/bin/steward", "", ".venv/bin/steward"),
        ("here/.venv/bin/steward", "here/.venv/bin", "steward"),
        ("elsewhere/steward", "", "{tmp}/elsewhere/steward"),
        ("here/pytest", "", "steward"),
    ],
)
def test_commands_are_suggested_as_they_can_be_typed(
    argv: str, path: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has not activated an environment has no `steward` on their path."""
    script = tmp_path / argv
    script.parent.mkdir(parents=True)
    script.write_text("")
    script.chmod(0o755)
    (tmp_path / "here").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", str(tmp_path / path) if path else "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert called() == says.format(tmp=tmp_path)


def test_what_serve_suggests_works_there() -> None:
    """--open has no operator; API keys are nowhere on disk, so they have to be given."""
    text = "\n".join(how_to_go_on(load({}), " --data d"))
    assert "steward play --data d " in text
    assert "steward sessions --data d " in text
    assert "sessions  " not in "\n".join(how_to_go_on(load({"open": True}), ""))
    keys = [{"user": "ann", "sha256": "a" * 64}]
    assert "STEWARD_KEY=… steward play " in "\n".join(how_to_go_on(load({"api_keys": keys}), ""))
