"""What we ship is proved: the life of a session, and what `steward init` writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from server.cli import steward

ROOT: Final = Path(__file__).parents[2]
TEMPLATES: Final = ("chess", "minimal", "support")


def test_the_shipped_file_is_proved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """C1, M7: with one warning that it accepts, for the state in which an agent misbehaves on purpose."""
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(steward, ["check", str(ROOT / "lifecycle.yaml"), "--json"])
    plain = json.loads(said.output)
    assert (said.exit_code, plain["ok"]) == (0, True)
    assert [(one["code"], one["path"]) for one in plain["findings"]] == [("growing-hold", "agent.states.ill")]
    assert all(one["end_s"] is not None for one in plain["bounds"])


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_a_project_begins_with_is_proved(template: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody begins with somebody else's findings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = CliRunner().invoke(steward, ["init", ".", "--template", template])
    assert made.exit_code == 0, made.output
    said = CliRunner().invoke(steward, ["check"])
    for name in [name for name in sys.modules if name.partition(".")[0] == "myapp"]:
        del sys.modules[name]  # the next project's has the same name
    assert (said.exit_code, "no problems" in said.output) == (0, True), said.output
