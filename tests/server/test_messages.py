"""What somebody is told when something is wrong: what happened, where, and what would work. Never a traceback."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from engine.journal.schema import APPLICATION_ID, FORMAT_VERSION
from server.cli import steward
from tests.server.conftest import KEY, Wire, new_token

ROOT: Final = Path(__file__).parents[2]
LIFECYCLE: Final = Path(__file__).parent / "files" / "wire.yaml"
STEWARD: Final = (sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())")
COMMAND_S: Final = 60.0
PLUMBING: Final = re.compile(r"Traceback|\[Errno|<class|object at 0x|pydantic")
GUARD: Final = "from engine.registry import guard\n"


@dataclass(frozen=True)
class Case:
    """One mistake. files: path -> text, before the command runs. says: all of this is in the answer."""

    name: str
    args: str
    says: tuple[str, ...]
    code: int = 1
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], Any] | None = None


def handlers(name: str, module: str, text: str, *says: str, file: str | None = None) -> Case:
    files = {} if file is None else {file: text}
    return Case(f"handlers: {name}", "check", says, 2, files, {"STEWARD_HANDLERS": module})


def teams(name: str, place: str, text: str, *says: str) -> Case:
    return Case(f"team: {name}", "serve --port 0", says, 1, {"teams_of.py": text}, {"STEWARD_TEAMS": f"desk={place}"})


def setting(name: str, says: tuple[str, ...], *, toml: str = "", **environment: str) -> Case:
    files = {"steward.toml": toml} if toml else {}
    return Case(f"setting: {name}", "check", says, 2, files, environment)


def database(version: int, application: int = APPLICATION_ID) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "data").mkdir()
        with sqlite3.connect(folder / "data" / "log.sqlite") as base:
            base.execute(f"PRAGMA application_id = {application}")
            base.execute(f"PRAGMA user_version = {version}")
            base.execute("CREATE TABLE something (anything)")
        base.close()

    return make


def folder_at(path: str) -> Callable[[Path], None]:
    return lambda folder: (folder / path).mkdir(parents=True)


IN_PROCESS: Final = (
    # The lifecycle file
    Case("no lifecycle file", "check nope.yaml", ("nope.yaml", "No such file", "steward init", "FILE behind"), 2),
    Case("a folder as the file", "check .", ("Is a directory",), 2),
    Case(
        "a mistake in it",
        "check bad.yaml",
        ("bad.yaml:3:", "did you mean 'machines'?", "[unknown-key]"),
        1,
        {"bad.yaml": "lifecycle: 1\nname: x\nmachine: {}\n"},
    ),
    Case("no YAML", "check bad.yaml", ("bad.yaml:1:", "[yaml-syntax]"), 2, {"bad.yaml": "{"}),
    # Handlers
    handlers("no module", "nope", "", "'nope'", "does not exist in", "nor is it installed"),
    handlers(
        "misspelt",
        "mine.handler",
        "",
        "'mine' has no 'handler'",
        "did you mean 'mine.handlers'?",
        file="mine/__init__.py",
    ),
    handlers("in our package", "handlers.mine", "", "'handlers.mine'", "'handlers' has no 'mine'"),
    handlers(
        "imports what is not there",
        "my_one",
        "import nosuchlib\n",
        "my_one.py:1",
        "nosuchlib",
        "install",
        file="my_one.py",
    ),
    handlers("raises", "my_two", "x = 1\ny = zzz\n", "my_two.py:2", "name 'zzz' is not defined", file="my_two.py"),
    handlers("no Python", "my_three", "def f(:\n", "my_three.py:1", "SyntaxError", file="my_three.py"),
    handlers("leaves", "my_four", "import sys\nsys.exit(3)\n", "my_four.py:2", "SystemExit", file="my_four.py"),
    handlers("has none", "my_five", "x = 1\n", "my_five.py", "no handlers", "@guard()", "@action()", file="my_five.py"),
    handlers(
        "without brackets", "my_six", f"{GUARD}@guard\ndef f(ctx): ...\n", "my_six.py:2", "@guard()", file="my_six.py"
    ),
    handlers(
        "asynchronous guard",
        "my_seven",
        f"{GUARD}@guard()\nasync def f(ctx): ...\n",
        "my_seven.py:2",
        "synchronous",
        file="my_seven.py",
    ),
    handlers(
        "two of one name",
        "my_eight",
        f"{GUARD}@guard('a')\ndef f(ctx): ...\n@guard('a')\ndef g(ctx): ...\n",
        "guard 'a'",
        "my_eight.f and my_eight.g",
        "another name",
        file="my_eight.py",
    ),
    handlers(
        "any number of arguments",
        "my_nine",
        f"{GUARD}@guard()\ndef f(ctx, *names): ...\n",
        "my_nine.f",
        "*names",
        "every argument",
        file="my_nine.py",
    ),
    handlers(
        "unknown type",
        "my_ten",
        f"from __future__ import annotations\n{GUARD}@guard()\ndef f(ctx, *, a: No): ...\n",
        "my_ten.py",
        "'No' is not defined",
        file="my_ten.py",
    ),
    # Settings
    setting("unknown variable", ("STEWARD_PROT", "did you mean STEWARD_PORT?"), STEWARD_PROT="1"),
    setting("wrong variable", ("STEWARD_PORT", "whole number"), STEWARD_PORT="eighty"),
    setting("variable that is no JSON", ("STEWARD_API_KEYS", "JSON", "steward.toml"), STEWARD_API_KEYS="me"),
    setting("list that is none", ("STEWARD_HANDLERS", "divided by commas"), STEWARD_HANDLERS="[a"),
    setting("teams without a place", ("STEWARD_TEAMS", "name=module:attribute"), STEWARD_TEAMS="desk"),
    setting("unknown key", ("steward.toml", "prot", "did you mean port?"), toml="prot = 1\n"),
    setting("wrong value", ("steward.toml", "grace_s", "at least 0"), toml="grace_s = -1\n"),
    setting("incomplete key", ("steward.toml", "api_keys", "sha256", "missing"), toml="[[api_keys]]\nuser = 'ann'\n"),
    setting("no TOML", ("steward.toml", "no TOML", "line 1"), toml="port = \n"),
    Case("setting: no such file", "check --config nope.toml", ("nope.toml", "no such file", "--config"), 2),
    Case("setting: a flag out of range", "serve --port 80000", ("--port", "65535"), 2),
    Case("setting: reachable without keys", "serve --host 0.0.0.0", ("0.0.0.0", "api_keys", "127.0.0.1"), 2),
    # Commands
    Case("no server", "sessions --url http://127.0.0.1:9", ("http://127.0.0.1:9", "steward serve"), 1),
    Case("no address", "sessions --url ftp://x", ("ftp://x", "http://127.0.0.1:8080"), 2),
    Case("no such machine", "diagram --machine agnet", ("agnet", "session"), 2),
    Case("nowhere to draw", "diagram --format dot -o file/x", ("file", "cannot be written"), 1, {"file": ""}),
    Case("no such command", "dance", ("No such command 'dance'", "--help"), 2),
    Case("no such flag", "serve --prot 1", ("--prot", "--port"), 2),
    Case("no such template", "init x --template big", ("minimal", "chess"), 2),
)

IN_A_PROCESS: Final = (
    Case("no lifecycle file", "serve --lifecycle nope.yaml", ("nope.yaml", "No such file", "steward init"), 2),
    Case(
        "data is a file",
        "serve --data file",
        ("file", "cannot be written", "file of that name", "--data"),
        files={"file": ""},
    ),
    Case("data below a file", "serve --data file/x", ("file/x", "Not a directory", "--data"), files={"file": ""}),
    Case(
        "data of a later release",
        "serve --data data",
        ("data/log.sqlite", "format 99", f"format {FORMAT_VERSION}", "release that wrote it", "left as it is"),
        prepare=database(99),
    ),
    Case(
        "data of another program",
        "serve --data data",
        ("data/log.sqlite", "another program", "left as it is"),
        prepare=database(1, application=7),
    ),
    Case(
        "data that is no database",
        "serve --data data",
        ("data/log.sqlite", "not a SQLite database", "move it away"),
        files={"data/log.sqlite": "x" * 200},
    ),
    Case(
        "key that is a folder", "serve --data data", ("data/key", "move away", "--data"), prepare=folder_at("data/key")
    ),
    Case(
        "address that is a folder",
        "serve --data data",
        ("data/address", "Is a directory", "--data"),
        prepare=folder_at("data/address"),
    ),
    teams("no module", "nope:TEAM", "", "'desk' (nope:TEAM)", "does not exist in"),
    teams("no attribute", "teams_of", "", "'desk' (teams_of)", "module:attribute", "myapp.team:TEAM"),
    teams("misspelt attribute", "examples.chess:TEM", "", "no 'TEM'", "it has these teams: TEAM"),
    teams("none", "teams_of:TEAM", "TEAM = 3\n", "TEAM is an int", "handlers.team.Team"),
    teams("does not import", "teams_of:TEAM", "import nosuchlib\n", "teams_of.py:1", "nosuchlib"),
)


def clean_environment(case: Case) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("STEWARD_")}
    kept |= {"STEWARD_LIFECYCLE": str(LIFECYCLE), "STEWARD_HANDLERS": "tests.server.wire_handlers"}
    return {**kept, "STEWARD_TEAMS": "{}", **case.environment}


def name_of(case: Case) -> str:
    return case.name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty one to be in, without what other tests have imported from theirs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        found = getattr(sys.modules[name], "__file__", None)
        if found is not None and Path(found).is_relative_to(tmp_path):
            del sys.modules[name]


def ready(case: Case, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "handlers.py").write_text("")
    for name, text in case.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    if case.prepare is not None:
        case.prepare(folder)


def judge(case: Case, code: int, text: str) -> None:
    assert [word for word in case.says if word not in text] == [], text
    assert PLUMBING.search(text) is None, text
    assert code == case.code, text


@pytest.mark.parametrize("case", IN_PROCESS, ids=name_of)
def test_a_command_says_what_would_work(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("STEWARD_")]:
        monkeypatch.delenv(name)
    for name, text in clean_environment(case).items():
        monkeypatch.setenv(name, text)
    ready(case, folder)
    result = CliRunner().invoke(steward, case.args.split(), prog_name="steward")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    judge(case, result.exit_code, result.output)


@pytest.mark.e2e
@pytest.mark.parametrize("case", IN_A_PROCESS, ids=name_of)
def test_a_server_that_cannot_start_says_why(case: Case, folder: Path) -> None:
    ready(case, folder)
    environment = {**clean_environment(case), "PYTHONPATH": str(ROOT), "STEWARD_PORT": "0"}
    done = subprocess.run(
        [*STEWARD, *case.args.split()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    judge(case, done.returncode, done.stderr)
    assert done.stdout == ""


@pytest.mark.e2e
def test_a_port_in_use_is_named_with_what_to_do(folder: Path) -> None:
    """The commonest way not to start."""
    case = Case("port", "", ("127.0.0.1", "address already in use", "--port 0"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = {**clean_environment(case), "PYTHONPATH": str(ROOT)}
        command = [*STEWARD, "serve", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    judge(case, done.returncode, done.stderr)


# HTTP: (method, path, secret, options) -> status, code, and what the answer says.
CALLS: Final = (
    ("GET", "/v1/nope", None, {}, 404, "not_found", ("nothing is served at this path", "/v1/openapi.json")),
    ("PUT", "/v1/sessions", None, {}, 405, "method_not_allowed", ()),
    ("POST", "/v1/sessions", KEY, {"data": "x"}, 415, "not_json", ("application/json",)),
    (
        "POST",
        "/v1/sessions",
        KEY,
        {"data": "{", "headers": {"Content-Type": "application/json"}},
        400,
        "bad_frame",
        ("not JSON",),
    ),
    ("POST", "/v1/sessions", KEY, {"json": {"team": 3}}, 400, "bad_frame", ("team", "text")),
    ("POST", "/v1/sessions", None, {"json": {}}, 401, "no_valid_token", ("token", "credentials")),
    ("POST", "/v1/sessions", "wrong", {"json": {}}, 401, "no_valid_token", ("credentials",)),
    ("GET", "/v1/sessions", None, {}, 401, "no_valid_token", ("credentials",)),
    ("GET", "/v1/sessions", KEY, {"headers": {"Host": "evil.example"}}, 403, "forbidden", ("Host", "allowed_hosts")),
    (
        "GET",
        "/v1/sessions",
        KEY,
        {"headers": {"Origin": "https://evil.example"}},
        403,
        "forbidden",
        ("Origin", "allowed_origins"),
    ),
    ("POST", "/v1/sessions", KEY, {"json": {"team": "x" * 200_000}}, 413, "too_large", ("65536 bytes",)),
)


@pytest.mark.parametrize("method, path, secret, options, status, code, says", CALLS)
async def test_http_answers_with_a_problem_that_helps(
    wire: Wire, method: str, path: str, secret: str | None, options: dict[str, Any], status: int, code: str, says: Any
) -> None:
    got, problem = await wire.call(method, path, secret, **options)
    text = json.dumps(problem)
    assert (got, problem["code"], problem["status"]) == (status, code, status), text
    assert problem["title"]
    assert [word for word in says if word not in text] == [], text
    assert PLUMBING.search(text) is None, text


# Frames: what is sent instead of, or after, a hello -> the close code, and what the error says.
HELLO: Final = {"t": "hello", "token": "t" * 43, "cid": "c1", "n": 1}
FRAMES: Final = (
    ("this is no JSON", 4400, ("not JSON",)),
    ("[1, 2]", 4400, ("object",)),
    ('{"a": 1}', 4400, ("field t",)),
    ('{"t": "dance"}', 4400, ("hello and cmd",)),
    ('{"t": "cmd", "c": 1, "name": "say"}', 4400, ("hello",)),
    (json.dumps({**HELLO, "token": "short"}), 4400, ("token", "base64url")),
    (json.dumps({**HELLO, "role": "king"}), 4400, ("role", "control", "observe")),
    (json.dumps({**HELLO, "n": 0}), 4400, ("n:", "at least 1")),
    (json.dumps(HELLO), 4300, ("token", "credentials")),
    (json.dumps({**HELLO, "pad": "x" * 9000}), 4413, ("8192",)),
)


@pytest.mark.parametrize("text, code, says", FRAMES)
async def test_a_wrong_frame_is_told_before_the_close(wire: Wire, text: str, code: int, says: Any) -> None:
    """The reason of a close is short and often not shown; the error frame before it has the words."""
    peer = await wire.dial()
    await peer.socket.send(text)
    assert await peer.closed() == code
    error = peer.errors[-1]
    assert error["code"] == code
    assert [word for word in says if word not in error["msg"]] == [], error
    assert PLUMBING.search(error["msg"]) is None


# Commands: (name, args, to) -> code, and what the refusal says.
COMMANDS: Final = (
    ("dance", {}, "/", "unknown_event", ("dance", "say")),
    ("say", {}, "/", "bad_payload", ("text",)),
    ("say", {"text": 3}, "/", "bad_payload", ("text", "not an integer")),
    ("say", {"text": "x", "colour": "red"}, "/", "bad_payload", ("colour",)),
    ("say", {"text": "x"}, "/nobody", "unknown_actor", ("/nobody", "there are")),
)


@pytest.mark.parametrize("name, args, to, code, says", COMMANDS)
async def test_a_command_that_is_not_done_says_what_could_be(
    wire: Wire, name: str, args: dict[str, Any], to: str, code: str, says: Any
) -> None:
    peer, _ = await wire.create(token=new_token(), cid=secrets.token_hex(4))
    await peer.cmd(1, name, args=args, to=to)
    error = (await peer.res(1))["err"]
    assert error["code"] == code, error
    assert [word for word in says if word not in error["msg"]] == [], error
