"""docs/simulation.md lists what is done and what is checked: exactly what the tables in the code have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from engine.simulation.checks import OF_LIVES, OF_RECORDS
from engine.simulation.faults import KINDS
from server.simulation import judging

PAGE: Final = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")
NUMBERS: Final = {
    f"{group}{n}" for group, most in (("M", 8), ("C", 7), ("L", 13), ("R", 4)) for n in range(1, most + 1)
}


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def test_every_fault_is_in_the_table() -> None:
    rows = [line for line in section("What goes wrong").splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([a-z ]+)`", row.split("|")[1])} == set(KINDS)


def test_every_invariant_is_said_to_be_checked_or_not() -> None:
    table, _, rest = section("What is checked").partition("\nNot checked here")
    checked = set(re.findall(r"\b[MCLR]\d+\b", " ".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))))
    unchecked = set(re.findall(r"\b[MCLR]\d+\b", rest))
    assert {*OF_RECORDS, *OF_LIVES, *judging.CHECKS} <= checked
    assert checked | unchecked == NUMBERS
    assert not checked & unchecked
