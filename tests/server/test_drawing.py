"""`steward diagram`: formats, folders, the highlighted state, and what is said without Graphviz."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from server.cli import steward

LIFECYCLE = Path(__file__).parent / "files" / "wire.yaml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEWARD_HANDLERS", '["tests.server.wire_handlers"]')


@pytest.fixture
def no_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def diagram(*args: str) -> Result:
    return CliRunner().invoke(steward, ["diagram", str(LIFECYCLE), *args], prog_name="steward")


@pytest.mark.parametrize(
    "form, beginning", [("svg", b"<svg "), ("png", b"\x89PNG"), ("dot", b"// made by"), ("mermaid", b"%% made by")]
)
def test_each_format_goes_to_standard_output(form: str, beginning: bytes) -> None:
    result = diagram("--machine", "session", "--format", form)
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes.startswith(beginning)


@pytest.mark.parametrize("form, suffix", [("svg", "svg"), ("png", "png"), ("dot", "dot"), ("mermaid", "mmd")])
def test_each_format_goes_to_a_folder(form: str, suffix: str) -> None:
    """Every machine and who owns whom, and only what was asked for."""
    result = diagram("--format", form, "-o", "pictures")
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in Path("pictures").iterdir())
    assert {f"session.{suffix}", f"who-owns-whom.{suffix}"} <= set(names)
    assert [name for name in names if not name.endswith(f".{suffix}")] == []
    assert sorted(result.output.split()) == [f"pictures/{name}" for name in names]


def test_a_folder_gets_everything_if_nothing_else_is_said() -> None:
    assert diagram("-o", "pictures").exit_code == 0
    assert {path.suffix for path in Path("pictures").iterdir()} == {".dot", ".mmd", ".svg"}


def test_one_machine_alone_leaves_the_others_out() -> None:
    assert diagram("--machine", "who-owns-whom", "-o", "pictures").exit_code == 0
    assert {path.stem for path in Path("pictures").iterdir()} == {"who-owns-whom"}


@pytest.mark.parametrize("form", ["svg", "dot", "mermaid"])
def test_a_state_can_be_highlighted(form: str) -> None:
    plain = diagram("--machine", "session", "--format", form)
    lit = diagram("--machine", "session", "--format", form, "--highlight", "active")
    assert lit.exit_code == 0
    assert lit.output != plain.output


@pytest.mark.parametrize(
    "args, said",
    [
        (["--machine", "sesion"], "no machine 'sesion'; there are: session"),
        (["--machine", "session", "--highlight", "activ"], "no state 'activ' in session; there are: "),
        (["--highlight", "active"], "--highlight active needs --machine KIND: session"),
        (["--highlight", "nowhere"], "no machine has that state"),
        (["--format", "svg"], "say which with --machine KIND, or where to put all with -o DIR"),
    ],
)
def test_what_is_asked_wrongly_is_told_with_what_would_work(args: list[str], said: str) -> None:
    result = diagram(*args)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.usefixtures("no_graphviz")
@pytest.mark.parametrize("form", ["svg", "png"])
def test_without_graphviz_an_image_is_refused_with_the_way_to_get_it(form: str) -> None:
    result = diagram("--machine", "session", "--format", form)
    assert result.exit_code == 1
    assert "apt-get install graphviz" in result.output
    assert "--format dot and --format mermaid need nothing" in result.output


@pytest.mark.usefixtures("no_graphviz")
def test_without_graphviz_a_folder_gets_the_texts_and_a_word_about_the_rest() -> None:
    """Whoever changes a state has to be able to write the texts; the SVGs are drawn by the next one who can."""
    result = diagram("-o", "pictures")
    assert result.exit_code == 0
    assert {path.suffix for path in Path("pictures").iterdir()} == {".dot", ".mmd"}
    assert "no SVG was drawn: Graphviz's `dot` is not on the PATH" in result.stderr


def test_a_folder_that_cannot_be_made_is_named() -> None:
    Path("taken").write_text("a file")
    result = diagram("--format", "dot", "-o", "taken/pictures")
    assert result.exit_code == 1
    assert "taken/pictures cannot be written" in result.output
