"""The differences from the stock AsyncMachine that docs/transitions.md lists: each has its test, these are the rest."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from transitions.extensions.asyncio import AsyncMachine

from engine.machine import LifecycleMachine
from engine.testing.virtual import in_virtual_time

PAGE = Path(__file__).parents[2] / "docs" / "transitions.md"
ROWS = [["go", "a", "b"], ["back", "b", "a"]]
seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="")


class Model:
    state: str
    go: Any
    back: Any


def test_each_difference_that_is_told_has_its_test() -> None:
    """A row without a test is a promise, a test without a row a trap."""
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_machine*.py"))
    assert named <= set(re.findall(r"def (test_\w+)\(", tests))
    here = set(re.findall(r"^async def (test_\w+)\(", Path(__file__).read_text(encoding="utf-8"), re.M))
    assert here <= named


@in_virtual_time
async def test_what_cannot_suspend_runs_in_the_task_and_context_of_its_caller() -> None:
    """So that it needs no task; what a callback sets there, its caller sees. The stock class runs it elsewhere."""

    async def who(cls: type[AsyncMachine]) -> tuple[bool, str]:
        tasks: list[Any] = []

        async def mark() -> None:
            tasks.append(asyncio.current_task())
            seen.set("by the callback")

        seen.set("")
        model = Model()
        machine = cls(model, ["a", "b"], "a", ROWS)
        machine.before_go(mark)
        assert await model.go()
        return tasks == [asyncio.current_task()], seen.get()

    assert await who(LifecycleMachine) == (True, "by the callback")
    assert await who(AsyncMachine) == (False, "")


@in_virtual_time
async def test_what_cannot_suspend_is_not_logged_by_the_library(caplog: pytest.LogCaptureFixture) -> None:
    """A call of the logger costs more than the step."""
    told = {}
    for cls in (LifecycleMachine, AsyncMachine):
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="transitions"):
            model = Model()
            cls(model, ["a", "b"], "a", ROWS)
            caplog.clear()
            assert await model.go()
        told[cls] = len(caplog.records)
    assert told[LifecycleMachine] == 0
    assert told[AsyncMachine] > 0


@in_virtual_time
async def test_two_models_whose_callbacks_trigger_each_other_wait() -> None:
    """M1: neither is cut short; a time limit ends it, and leaves both whole."""
    one, other = Model(), Model()

    async def push_other() -> None:
        await asyncio.sleep(1)
        await other.back()

    async def push_one() -> None:
        await asyncio.sleep(1)
        await one.back()

    LifecycleMachine(one, ["a", "b"], "a", ROWS).before_go(push_other)
    LifecycleMachine(other, ["a", "b"], "a", ROWS).before_go(push_one)
    pushed = [asyncio.create_task(one.go()), asyncio.create_task(other.go())]
    _, waiting = await asyncio.wait(pushed, timeout=3600)
    assert len(waiting) == 2
    assert (one.state, other.state) == ("a", "a")
    for task in pushed:
        task.cancel()
    await asyncio.wait(pushed)
