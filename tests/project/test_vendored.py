"""What others wrote and is kept here is what they published: every file is listed, with its licence and its hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("server/static/vendor", "tests/browser/vendor")


def listed(place: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / place / "VENDOR.json").read_text())["vendored"]
    return found


@pytest.mark.parametrize("place", PLACES)
def test_the_files_are_those_that_are_listed(place: str) -> None:
    """A file that was changed, or one that nobody listed, could be anything."""
    folder = ROOT / place
    hashes = {name: digest for item in listed(place) for name, digest in item["files"].items()}
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"VENDOR.json"}
    assert here == set(hashes)
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in hashes} == hashes


@pytest.mark.parametrize("place", PLACES)
def test_each_says_what_it_is_and_brings_its_licence(place: str) -> None:
    """Whoever distributes this has to know under which terms."""
    for item in listed(place):
        assert item["name"]
        assert item["version"]
        assert item["licence"]
        assert any("LICENSE" in name for name in item["files"])
        # Its folder has the version in its name, so a browser may keep it for ever.
        assert all(item["version"] in name.split("/")[0] for name in item["files"])
