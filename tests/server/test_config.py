"""Settings: where they come from, which one wins, and what a mistake gets. And what logs do not say."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server import logs
from server.config import ConfigError, load


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory without a settings file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_flags_win_over_environment_over_file(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is nearer to the person who starts the server."""
    (elsewhere / "steward.toml").write_text('port = 1\nhost = "::1"\ngrace_s = 3\n')
    monkeypatch.setenv("STEWARD_PORT", "2")
    monkeypatch.setenv("STEWARD_HOST", "localhost")
    settings = load({"port": 3, "host": None})
    assert (settings.port, settings.host, settings.grace_s) == (3, "localhost", 3)


def test_a_file_of_another_name_can_be_given(elsewhere: Path) -> None:
    """And one that is not there is said."""
    (elsewhere / "other.toml").write_text("port = 7\n")
    assert load(file=elsewhere / "other.toml").port == 7
    with pytest.raises(ConfigError, match="no such file"):
        load(file=elsewhere / "none.toml")


def test_every_mistake_is_told_at_once_with_its_name(elsewhere: Path) -> None:
    """And nothing of what was given is repeated: it may be a secret."""
    with pytest.raises(ConfigError) as caught:
        load({"port": 70_000, "grace_s": -1, "heartbeat_s": "quickly-secret"})
    text = str(caught.value)
    assert len(text.splitlines()) == 3
    assert all(name in text for name in ("--port", "--grace-s", "--heartbeat-s"))
    assert "secret" not in text


@pytest.mark.parametrize("text", ["port = ", "prot = 1\n", "[[api_keys]]\nuser = 'x'\n"])
def test_a_file_with_mistakes_is_one_error(elsewhere: Path, text: str) -> None:
    """No traceback for TOML that is none, a name that is none, a key that is incomplete."""
    (elsewhere / "steward.toml").write_text(text)
    with pytest.raises(ConfigError):
        load()


@pytest.mark.parametrize(
    "settings, named",
    [
        ({"heartbeat_s": 60}, r"dead_s \(25\) .* 2 times heartbeat_s .* 150 is usual"),
        ({"heartbeat_s": 10, "dead_s": 19.9}, "dead_s"),
        ({"allowed_hosts": ["http://a/"]}, "name alone"),
        ({"allowed_hosts": ["a.example:8080"]}, "name alone"),
        ({"allowed_origins": ["app2.example"]}, "https://"),
        ({"allowed_origins": ["https://app2.example/page"]}, "without path"),
        (
            {"api_keys": [{"user": "ann", "sha256": "a" * 64}, {"user": "bob", "sha256": "A" * 64}]},
            "stands there twice",
        ),
        ({"api_keys": [{"user": "ann", "sha256": "the key itself"}]}, "SHA-256 of the key, 64 hex digits"),
        ({"idle_memory_s": 5}, "0, or at least 60"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], named: str) -> None:
    """They would start quietly, and cut those who are well or let nobody in."""
    with pytest.raises(ConfigError, match=named):
        load(settings)


def test_settings_at_the_edge_of_what_works() -> None:
    load({"heartbeat_s": 12.5, "idle_memory_s": 60, "allowed_hosts": ["::1", "a_b.example", "10.0.0.1"]})
    load({"allowed_origins": ["https://[::1]:8443", "tauri://localhost", "http://pages.example/"]})


def test_api_keys_come_from_the_file(elsewhere: Path) -> None:
    """With them the server may be reached from other machines."""
    (elsewhere / "steward.toml").write_text(
        f'host = "0.0.0.0"\n[[api_keys]]\nuser = "ann"\nsha256 = "{"a" * 64}"\nroles = ["admin"]\n'
    )
    assert load().api_keys[0].roles == {"admin"}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefghijkl",
        '{"token": "abcdefghijkl"}',
        "token=abcdefghijkl",
        "http://127.0.0.1:8080/#key=abcdefghijkl",
        "auth='abcdefghijkl'",
    ],
)
def test_logs_hold_no_credentials(text: str) -> None:
    """Wherever a credential may stand in a text."""
    assert "abcdefghijkl" not in logs.redact(text)


@pytest.fixture
def root_logger() -> Iterator[None]:
    """Put the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("root_logger")
def test_lines_for_machines_carry_what_they_are_about() -> None:
    """Session, actor and number, where they are known; an error's text only here."""
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    try:
        raise RuntimeError("token=abcdefghijkl")
    except RuntimeError:
        logging.getLogger("steward.test").exception("it failed", extra={"sid": "s.1", "actor": "/", "seq": 3})
    logging.getLogger("steward.test").debug("not this one")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 1
    assert {name: lines[0][name] for name in ("level", "msg", "sid", "actor", "seq")} == {
        "level": "error", "msg": "it failed", "sid": "s.1", "actor": "/", "seq": "3",
    }  # fmt: skip
    assert "RuntimeError" in lines[0]["error"]
    assert "abcdefghijkl" not in stream.getvalue()


@pytest.mark.usefixtures("root_logger")
def test_lines_for_people_are_one_sentence() -> None:
    """Time, level, who says it, what, about which session."""
    stream = io.StringIO()
    logs.configure("human", "info", stream)
    logging.getLogger("steward.test").info("session created", extra={"sid": "s.1"})
    assert stream.getvalue().split(" ", 1)[1] == "info    steward.test: session created sid=s.1\n"


HOSTILE = "x\n02:00:00 error   steward.desk: forged\x1b[31m\x9b2J\u2028\u202e"


@pytest.mark.usefixtures("root_logger")
def test_nobody_else_writes_a_line_of_the_log() -> None:
    """What clients say gets into it, and into the texts of errors: it begins no line and moves no cursor."""
    stream = io.StringIO()
    logs.configure("human", "info", stream)
    try:
        raise RuntimeError(HOSTILE)
    except RuntimeError:
        logging.getLogger("steward.test").exception("ended: %s", HOSTILE, extra={"sid": f"s.{HOSTILE}"})
    first, *rest = stream.getvalue().splitlines()
    assert r"\n02:00:00" in first
    assert all(line.startswith("    ") for line in rest)
    assert stream.getvalue().replace("\n", "").isprintable()
