"""Files with one defect each, and sound ones: what is wrong is found where it is, and nothing else is found.

The first lines of a file say what it is about: `# defect: …`, `# expect: CODE LINE` for each finding, or `# sound: …`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
import shop

from engine.loader import parse
from engine.proofs.explain import EXPLANATIONS
from engine.proofs.prove import Proved, prove
from engine.registry import Registry

HERE: Final = Path(__file__).parent
DEFECTIVE: Final = sorted((HERE / "defective").glob("*.yaml"))
SOUND: Final = sorted((HERE / "sound").glob("*.yaml"))
REGISTRY: Final = Registry.of(shop)


def proved(path: Path) -> Proved:
    loaded = parse(path.read_bytes(), REGISTRY, path.name)
    return prove(loaded.spec, REGISTRY, loaded.places, path.name)


def expected(path: Path) -> list[tuple[int, str]]:
    found = re.findall(r"^# expect: (\S+) (\d+)$", path.read_text(), re.MULTILINE)
    return sorted((int(line), code) for code, line in found)


@pytest.mark.parametrize("path", DEFECTIVE, ids=lambda path: path.stem)
def test_a_defect_is_found_where_it_is(path: Path) -> None:
    """Nothing less, and nothing that is not there; each with a way to get there, if it takes one."""
    assert path.read_text().startswith("# defect: ")
    found = proved(path).open
    assert [(one.diagnostic.line, one.diagnostic.code) for one in found] == expected(path)
    for one in found:
        assert one.finding.code in STATIC or str(one.finding.story).startswith("created → ")


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
def test_nothing_is_found_in_a_sound_file(path: Path) -> None:
    """A false alarm teaches people not to look."""
    assert path.read_text().startswith("# sound: ")
    assert [str(one.diagnostic) for one in proved(path).open] == []


# What needs no path: it is about what never happens, or about two numbers.
STATIC: Final = {"unreachable-state", "never-taken", "unused-event", "accepts-nothing", "short-timeout"}


def test_the_corpus_has_every_code_several_times() -> None:
    """A code that no file shows could be wrong unseen."""
    shown = [code for path in DEFECTIVE for _, code in expected(path)]
    assert {code for code in EXPLANATIONS if shown.count(code) < 2} == set()
