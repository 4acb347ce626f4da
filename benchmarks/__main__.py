"""`make bench`: measures, tells people a table and machines benchmarks/results.json, writes the pages and pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from . import pages, pictures, results
from .harness import measure
from .installing import install
from .scenario import ROUNDS_MIN, Scenario
from .scenarios import SCENARIOS
from .tables import for_terminal


def chosen(names: Sequence[str]) -> list[Scenario]:
    """By name or number; all of them if nothing is named. Raises SystemExit for one that is not there."""
    known = {key: one for one in SCENARIOS for key in (one.name, one.number.lower())}
    wrong = [name for name in names if name.lower() not in known]
    if wrong:
        sys.exit(f"no such benchmark: {', '.join(wrong)}; there are: {', '.join(one.name for one in SCENARIOS)}")
    wanted = {known[name.lower()].number for name in names} or {one.number for one in SCENARIOS}
    return [one for one in SCENARIOS if one.number in wanted]


def run(scenarios: Sequence[Scenario], rounds: int | None, note: str) -> list[dict[str, Any]]:
    """Measure each and keep what was found at once, so that a run that is cut short keeps what it has."""
    lacking = install({str(side.needs) for one in scenarios for side in one.sides} - {""}, print)
    measured = []
    for scenario in scenarios:
        print(f"\n{scenario.number} {scenario.title}")
        done = measure(scenario, rounds or scenario.rounds, lacking, lambda text: print(text, file=sys.stderr))
        plain = results.plain(done, note)
        print(for_terminal(plain), flush=True)
        measured.append(plain)
        kept = results.load()
        kept["scenarios"][scenario.number] = plain
        results.save(kept)
    return measured


def write() -> None:
    kept = results.load()
    pictures.write(kept)
    pages.write(kept)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help="names or numbers, divided by commas")
    parser.add_argument("--rounds", type=int, help=f"of each side; never fewer than {ROUNDS_MIN} for figures to keep")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a bar is missed")
    parser.add_argument("--note", default="", help="what a reader has to know of this machine")
    parser.add_argument("--write", action="store_true", help="measure nothing; write pages and pictures again")
    given = parser.parse_args()
    if given.write:
        write()
        return
    measured = run(chosen([name for name in given.only.split(",") if name]), given.rounds, given.note)
    write()
    missed = [f"{one['name']}: {bar['text']}" for one in measured for bar in one["bars"] if bar["is_met"] is False]
    if missed:
        print("\nbars that are not reached:\n" + "\n".join(f"  {text}" for text in missed))
    if given.check and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
