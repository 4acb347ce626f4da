from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.journal import Journal
from engine.journal.memory import MemoryJournal
from engine.journal.sqlite import SqliteJournal


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    """Each kind of store, open: what is shown with it holds for all of them."""
    made: Journal = MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "journal.db")
    await made.open()
    yield made
    await made.close()
