"""benchmarks/results.json: what was measured last of each scenario, with the machine, the versions and the date."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from .harness import Run, judged, summed_up
from .scenario import HERE

FILE: Final = HERE / "results.json"
FORMAT: Final = 1


def load(file: Path = FILE) -> dict[str, Any]:
    if not file.exists():
        return {"format": FORMAT, "scenarios": {}}
    plain: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return plain


def save(results: dict[str, Any], file: Path = FILE) -> None:
    ordered = sorted(results["scenarios"].items(), key=lambda item: int(item[0].lstrip("P")))
    text = json.dumps({**results, "scenarios": dict(ordered)}, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def plain(run: Run, note: str = "") -> dict[str, Any]:
    """One scenario as it is stored. note: what the reader has to know of this run."""
    scenario = run.scenario
    return {
        "name": scenario.name,
        "title": scenario.title,
        "about": scenario.about,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "note": note,
        "versions": dict(sorted(run.versions.items())),
        "measures": [{"key": one.key, "title": one.title, "unit": one.unit} for one in scenario.measures],
        "sides": [_side(run, side.name, side.role, side.note, side.at) for side in scenario.sides],
        "bars": [judged(run.values, bar) for bar in scenario.bars],
    }


def _side(run: Run, name: str, role: str, note: str, at: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "role": role, "note": note}
    if at is not None:
        found["at"] = at
    if name in run.missing:
        return {**found, "missing": run.missing[name]}
    found["values"] = {key: summed_up(values) for key, values in run.values.get(name, {}).items()}
    if name in run.curves:
        found["curve"] = run.curves[name]
    return found


def machine() -> dict[str, Any]:
    return {"cpus": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}
