"""docs/operating.md: what it says of settings, signals, exit codes and files is what the server does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from server import stopping
from server.config import ConfigError, Settings, load
from server.desk import TOKENS_PER_SESSION_MAX
from server.privacy import OURS
from server.settings_table import form

PAGE: Final = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
NUMBERS: Final = sorted(
    (name, key, float(schema[key]))
    for name, schema in Settings.model_json_schema()["properties"].items()
    for key in ("minimum", "exclusiveMinimum", "maximum")
    if key in schema
)


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def row(name: str) -> list[str]:
    """The cells of a setting."""
    found = re.search(rf"^\| `{name}` \|.*$", section("Settings"), re.MULTILINE)
    assert found is not None, name
    return [cell.strip() for cell in found[0].split(" | ")]


def test_every_setting_says_what_it_is() -> None:
    """A row without a sentence is a riddle."""
    assert [name for name in Settings.model_fields if not row(name)[2]] == []


@pytest.mark.parametrize("name, key, bound", NUMBERS, ids=lambda value: str(value))
def test_a_bound_that_is_shown_is_kept(
    name: str, key: str, bound: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the variable that the page names, which says so by that name."""
    monkeypatch.chdir(tmp_path)
    variable = row(name)[1].strip("`")
    assert f"{bound:,g}" in row(name)[3]
    beyond = {"minimum": bound - 1, "exclusiveMinimum": bound, "maximum": bound + 1}[key]
    monkeypatch.setenv(variable, f"{beyond:g}")
    with pytest.raises(ConfigError, match=variable):
        load()


def test_what_is_left_out_counts_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read back from the page, the defaults are the settings of a server that was told nothing."""
    monkeypatch.chdir(tmp_path)
    settings = load()
    for name in Settings.model_fields:
        shown: Any = row(name)[4].removesuffix(" |").strip("`")
        value = getattr(settings, name)
        if isinstance(value, dict):
            shown, value = shown.replace("`", "").split(", "), list(value)
        elif isinstance(value, bool):
            value = str(value).lower()
        elif value is None or isinstance(value, tuple):
            shown, value = shown == "none", not value
        elif isinstance(value, float):
            shown = float(shown)
        else:
            value = str(value)
        assert shown == value, name


def test_a_unit_stands_with_every_time() -> None:
    """10 of what?"""
    schema = Settings.model_json_schema()["properties"]
    assert "seconds" in form("grace_s", schema["grace_s"])
    assert "a second" in form("commands_per_s", schema["commands_per_s"])


def test_the_times_of_a_stop_are_those_of_the_code() -> None:
    """A service manager that waits less kills what still lets go."""
    text = " ".join(section("Signals").split())
    assert f"ends {stopping.OVERTIME_S:g} s after the grace, {stopping.INSISTED_S:g} s after the second signal" in text
    waits = re.search(r"TimeoutStopSec=(\d+)", text)
    assert waits is not None
    assert int(waits[1]) > Settings.model_fields["grace_s"].default + stopping.OVERTIME_S


def test_the_exit_codes_are_those_of_the_code() -> None:
    """Their causes have tests of their own, in tests/server/test_serve_process.py."""
    assert re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE) == ["0", "1", "2", str(stopping.FORCED)]


def test_the_files_are_those_that_the_server_knows_for_its_own() -> None:
    """What it would refuse a directory for is not on the list."""
    named = re.findall(r"`([a-z.-]+)/?`", "".join(re.findall(r"^\| (.*?) \|", section("The data directory"), re.M)))
    assert {name.removesuffix("-wal").removesuffix(".lock") for name in named} == {one for one in OURS if one[0] != "."}


def test_the_number_of_tokens_is_that_of_the_code() -> None:
    assert f"up to {TOKENS_PER_SESSION_MAX}\nfor a session" in PAGE
