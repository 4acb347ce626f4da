"""The state machine of files/dense.yaml, with the one invariant that is its own: what is closed is closed."""

from __future__ import annotations

import gc
from pathlib import Path

import dense_handlers
from hypothesis.stateful import invariant, precondition, rule

from engine.records import Event
from engine.testing.lifecycle import read
from engine.testing.properties import lifecycle_state_machine

DENSE = read(Path(__file__).parent / "files" / "dense.yaml", dense_handlers)


class Dense(lifecycle_state_machine(DENSE)):  # type: ignore[misc]
    def __init__(self) -> None:
        dense_handlers.Box.open.clear()
        super().__init__()

    @precondition(lambda self: not self.session.is_ended)
    @rule()
    def crash(self) -> None:
        super().crash()
        dense_handlers.Box.open.clear()  # what a process had in memory is gone with it

    @precondition(lambda self: not self.session.is_ended)
    @rule()
    def close(self) -> None:
        self.send(Event("close", {}, "admin"), 0)
        self.wait(30.0)

    @invariant()
    def nothing_is_open_after_the_end(self) -> None:
        if self.session.is_ended:
            gc.collect(0)
            assert not list(dense_handlers.Box.open), "C1: it has ended, and a box is open"
