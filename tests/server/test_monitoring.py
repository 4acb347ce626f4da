"""What examples/monitoring asks for is what a server tells: a rule over a name that is none is silent for ever."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
PANELS: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
ASKED = [(rule["alert"], rule["expr"]) for rule in RULES]
ASKED += [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
STATES = yaml.safe_load((ROOT / "lifecycle.yaml").read_text(encoding="utf-8"))["machines"]["session"]["states"]
OTHERS = {"process_resident_memory_bytes": set[str]()}  # the library's own


def told() -> dict[str, set[str]]:
    """Labels by metric, from the page that test_metrics.py holds against a server."""
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`steward_\w+`(?:, )?)+) \| (.*?) \|", page, re.MULTILINE)
    return {
        name: set(re.findall(r"`(\w+)`", labels)) for names, labels in rows for name in re.findall(r"`(\w+)`", names)
    }


@pytest.mark.parametrize("name, expr", ASKED, ids=[name for name, _ in ASKED])
def test_a_rule_asks_for_what_is_told(name: str, expr: str) -> None:
    known = told() | OTHERS
    metrics = {found.removesuffix("_bucket") for found in re.findall(r"\b(?:steward|process)_\w+", expr)}
    assert metrics <= set(known)
    labels = set(re.findall(r"(\w+)!?=~?\"", expr))
    for group in re.findall(r"by \(([^)]*)\)", expr):
        labels |= set(group.split(", ")) - {"le"}
    assert labels <= set().union(*(known[one] for one in metrics))


@pytest.mark.parametrize("name, expr", ASKED, ids=[name for name, _ in ASKED])
def test_a_rule_names_states_of_the_shipped_file(name: str, expr: str) -> None:
    for states in re.findall(r'\b\w*state!?=~?"([^"]+)"', expr):
        assert set(states.split("|")) <= set(STATES)


def test_every_alert_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"]
        assert rule["labels"]["severity"] in ("page", "ticket")
