"""The transcripts of tests/transcripts, played against the real server: see the README there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.testing.away import Disk
from tests.server.conftest import KEY, Peer, Wire, new_token

FOLDER = Path(__file__).parents[1] / "transcripts"
ANY = "$any"


class Play:
    """names: what the names in a transcript stand for so far."""

    def __init__(self, wire: Wire, disk: Disk) -> None:
        self.wire = wire
        self.disk = disk
        self.names: dict[str, Any] = {"$key": KEY}
        self.peers: dict[str, Peer] = {}

    async def line(self, line: dict[str, Any]) -> None:
        match line:
            case {"dial": name}:
                self.peers[name] = await self.wire.dial()
            case {"send": name, "frame": frame}:
                await self.peers[name].send(**self.filled(frame))
            case {"get": name, "frame": wanted}:
                between = {"ping", "note"} - {wanted["t"]}  # they come when they come
                got = await self.peers[name].until(lambda frame: frame["t"] not in between)
                assert self.is_like(got, wanted), f"{got} is not {wanted}"
            case {"closed": name, "code": code}:
                assert await self.peers[name].closed() == code
            case {"store": how}:
                self.disk.is_full = {"full": True, "well": False}[how]
            case _:
                assert set(line) == {"about"}

    def filled(self, plain: Any) -> Any:
        if isinstance(plain, dict):
            return {name: self.filled(value) for name, value in plain.items()}
        if not isinstance(plain, str) or not plain.startswith("$"):
            return plain
        if plain.endswith("token"):
            self.names.setdefault(plain, new_token())
        return self.names[plain]

    def is_like(self, got: Any, wanted: Any) -> bool:
        if isinstance(wanted, dict):
            is_same = isinstance(got, dict) and got.keys() == wanted.keys()
            return is_same and all(self.is_like(got[name], value) for name, value in wanted.items())
        if isinstance(wanted, str) and wanted.startswith("$"):
            return wanted == ANY or bool(self.names.setdefault(wanted, got) == got)
        return bool(got == wanted)


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.jsonl")))
async def test_the_server_keeps_to_the_transcript(serving: Any, name: str) -> None:
    """Every frame, field by field, in this order."""
    disk = Disk()
    play = Play(await serving(disk), disk)
    for text in (FOLDER / f"{name}.jsonl").read_text().splitlines():
        await play.line(json.loads(text))


async def test_a_transcript_that_does_not_fit_is_noticed(wire: Wire) -> None:
    """One field more, one less, or another name for another value."""
    play = Play(wire, Disk())
    assert play.is_like({"t": "ping", "head": 1}, {"t": "ping", "head": ANY})
    assert not play.is_like({"t": "ping", "head": 1}, {"t": "ping"})
    assert not play.is_like({"t": "ping"}, {"t": "ping", "head": ANY})
    assert play.is_like({"sid": "a"}, {"sid": "$sid"})
    assert not play.is_like({"sid": "b"}, {"sid": "$sid"})
