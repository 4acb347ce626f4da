"""`steward check` on a file with a leak: what is printed, drawn and explained, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.language.diagnostics import CODES
from engine.proofs.explain import EXPLANATIONS
from server.cli import steward

LIFECYCLE = Path(__file__).parent / "files" / "wire.yaml"
WAY = "created → initializing → terminate → terminating → leak: take_stone acquired stone → done → terminated"


@pytest.fixture(autouse=True)
def leaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """leaky.yaml: a stone can be taken while everything is let go."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEWARD_HANDLERS", '["tests.server.wire_handlers"]')
    Path("leaky.yaml").write_text(LIFECYCLE.read_text().replace("{leak: [], done", "{done"))


def run(*args: str) -> Result:
    return CliRunner().invoke(steward, ["check", *args], prog_name="steward")


def test_a_finding_is_told_with_the_way_to_it() -> None:
    """Line, column, code, one sentence, and a path that can be followed."""
    result = run("leaky.yaml")
    lines = result.output.splitlines()
    assert result.exit_code == 1
    assert lines[0].startswith("leaky.yaml:49:")
    assert lines[0].endswith("[held-at-end]")
    assert lines[1] == f"    {WAY}, stone still held"
    assert lines[-1] == "1 finding in leaky.yaml; --explain CODE says more"


def test_json_has_it_all_and_what_is_accepted() -> None:
    """For programs: the story, the severity, the reason, and the bounds."""
    said = json.loads(run("leaky.yaml", "--json").output)
    accepted, leak = said["findings"]
    assert (said["ok"], said["diagnostics"]) == (False, [])
    assert (leak["code"], leak["severity"], leak["line"], leak["story"]) == (
        *("held-at-end", "problem", 49),
        f"{WAY}, stone still held",
    )
    assert (accepted["severity"], accepted["accepted"]) == ("warning", "`leak` is there to leave stones behind")
    assert said["bounds"][0]["kind"] == "session"
    assert said["bounds"][0]["deaf_s"]["terminating"] > 0


def test_bounds_are_printed_for_each_state() -> None:
    """What an operator asks: when is it over, and when does it listen again."""
    result = run(str(LIFECYCLE), "--bounds")
    assert result.exit_code == 0
    assert "session: left alone, at an end within 1h 1m" in result.output
    assert "  reconnecting  hears nothing for " in result.output


@pytest.mark.parametrize("name", ["way.dot", "way.mmd"])
def test_the_way_is_drawn_in_red(name: str) -> None:
    """Both arrows of the story, and no other."""
    result = run("leaky.yaml", "--draw", name)
    assert (result.exit_code, f"{name}: held-at-end in line 49" in result.output) == (1, True)
    text = Path(name).read_text()
    lines = text.splitlines()
    if name.endswith(".mmd"):
        drawn = [lines[index - 1] for index, line in enumerate(lines) if "linkStyle" in line]
        assert drawn == ['  s_terminating ==>|"done"| s_terminated', '  s_Anywhere ==>|"terminate"| s_terminating']
    else:
        assert text.count('class="way found') == 2
        assert 'state-terminated final lit"' in text


def test_nothing_to_draw_is_said() -> None:
    """An empty picture would be taken for a clean file's."""
    result = run(str(LIFECYCLE), "--draw", "way.dot")
    assert (result.exit_code, Path("way.dot").exists()) == (0, False)
    assert "was not drawn" in result.output


def test_a_picture_has_a_name_that_says_its_form() -> None:
    """Exit code 2: asked wrongly."""
    result = run("leaky.yaml", "--draw", "way.jpg")
    assert (result.exit_code, ".svg" in result.output) == (2, True)


@pytest.mark.parametrize("code", [*EXPLANATIONS, *CODES])
def test_every_code_is_explained(code: str) -> None:
    """Also those of the loader."""
    result = run("--explain", code)
    assert (result.exit_code, result.output.startswith(f"{code}: ")) == (0, True)


def test_an_unknown_code_is_told() -> None:
    """Exit code 2: asked wrongly; with the code that was meant."""
    result = run("--explain", "held-at-ned")
    assert (result.exit_code, "did you mean 'held-at-end'?" in result.output) == (2, True)


def test_who_has_no_file_is_told_how_to_name_one() -> None:
    """`check` takes the file as its argument, and has no option for it."""
    result = run("nofile.yaml")
    assert (result.exit_code, "FILE" in result.output, "--lifecycle" in result.output) == (2, True, False)
