"""A handler that holds the loop is interrupted where it stands; real time, because virtual time cannot be held."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine import watchdog as module
from engine.errors import HandlerBlocked, HandlerFailed
from engine.steps.scope import run_bounded
from engine.tasks import call_owned, engine_task
from engine.testing.virtual import run_virtual
from engine.watchdog import SIGNAL, Watchdog

AT_LATEST_S = 20.0  # it takes less than one; the rest is for a machine that is busy with other things


class Owner:
    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Nothing is started here."""


@pytest.fixture
async def watchdog() -> Any:
    watchdog = Watchdog()
    watchdog.start(asyncio.get_running_loop())
    yield watchdog
    watchdog.stop()


@pytest.fixture
def within_bound() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < AT_LATEST_S


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(30)


def hold_the_loop(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pass


def wait_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


@pytest.mark.parametrize("block", [spin, sleep, wait_for_a_lock])
@pytest.mark.usefixtures("watchdog", "within_bound")
async def test_an_async_handler_that_blocks_is_interrupted(block: Any) -> None:
    """C7: one agent's endless loop would stop every session, and its own time-out could not even fire."""

    async def handler() -> None:
        block()

    with pytest.raises(HandlerBlocked):
        await run_bounded(handler(), Owner(), "handler", 60)


@pytest.mark.parametrize("block", [spin, sleep])
@pytest.mark.usefixtures("watchdog", "within_bound")
async def test_a_plain_handler_that_blocks_is_interrupted(block: Any) -> None:
    """C7: it runs in the engine's own task."""
    with pytest.raises(HandlerBlocked):
        call_owned(Owner(), block)


@pytest.mark.usefixtures("watchdog", "within_bound")
async def test_a_handler_that_swallows_the_interruption_is_interrupted_again() -> None:
    """C4: `except Exception` around the body of a loop is common."""
    seen = 0

    async def handler() -> None:
        nonlocal seen
        while seen < 2:
            try:
                spin()
            except HandlerBlocked:
                seen += 1

    await run_bounded(handler(), Owner(), "handler", 60)
    assert seen == 2


@pytest.mark.usefixtures("watchdog", "within_bound")
async def test_a_handler_that_blocks_while_it_is_closed_is_interrupted() -> None:
    """C4: force runs its `finally`."""

    async def handler() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue
            finally:
                spin()

    with pytest.raises((HandlerFailed, HandlerBlocked)):
        await run_bounded(handler(), Owner(), "handler", 0.01)


@pytest.mark.usefixtures("watchdog")
async def test_engine_code_is_not_interrupted() -> None:
    """An interruption between two of the engine's bytecodes would break what it holds together."""

    async def work() -> str:
        hold_the_loop(1.2)
        return "whole"

    assert await engine_task(work(), "the engine's") == "whole"
    hold_the_loop(0.8)


@pytest.mark.usefixtures("watchdog")
async def test_a_handler_that_comes_late_in_a_long_turn_is_not_blamed() -> None:
    """A turn of the loop full of other work is nobody's fault; the handler that happens to run is innocent."""

    async def innocent() -> str:
        hold_the_loop(0.05)
        return "done"

    async def busy() -> None:
        hold_the_loop(0.6)

    results = await asyncio.gather(
        engine_task(busy(), "the engine's"), *(run_bounded(innocent(), Owner(), "innocent", 60) for _ in range(5))
    )
    assert results[1:] == ["done"] * 5


@pytest.mark.usefixtures("watchdog")
async def test_a_handler_without_a_processor_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """R1, C7: a step that works slowly because the machine is busy is not touched."""
    began = time.monotonic()
    monkeypatch.setattr(module, "starved_s", lambda schedstat: (time.monotonic() - began) * 0.9)

    async def starved() -> str:
        hold_the_loop(1.2)
        return "done"

    assert await run_bounded(starved(), Owner(), "starved", 60) == "done"


@pytest.mark.skipif(not module.SCHEDSTAT.exists(), reason="the kernel does not tell")
def test_waiting_for_a_processor_is_told_from_sleeping() -> None:
    """One processor for two that want it."""
    allowed = os.sched_getaffinity(0)
    with module.SCHEDSTAT.open() as mine:
        before = module.starved_s(mine.fileno())
        time.sleep(0.05)
        asleep_s = module.starved_s(mine.fileno()) - before
        os.sched_setaffinity(0, {min(allowed)})
        other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            while module.starved_s(mine.fileno()) - before < asleep_s + 0.2:
                pass
        finally:
            other.kill()
            other.wait()
            os.sched_setaffinity(0, allowed)


async def test_the_signals_handler_is_restored() -> None:
    """C3: the process is as it was."""
    before = signal.getsignal(SIGNAL)
    watchdog = Watchdog()
    watchdog.start(asyncio.get_running_loop())
    watchdog.start(asyncio.get_running_loop())
    assert signal.getsignal(SIGNAL) != before
    watchdog.stop()
    watchdog.stop()
    assert signal.getsignal(SIGNAL) == before
    assert "steward watchdog" not in [thread.name for thread in threading.enumerate()]


def test_virtual_time_is_not_watched() -> None:
    """It stands still while a test works."""

    async def main() -> None:
        Watchdog().start(asyncio.get_running_loop())

    before = signal.getsignal(SIGNAL)
    run_virtual(main())
    assert signal.getsignal(SIGNAL) == before


def test_a_loop_of_another_thread_is_not_watched(caplog: pytest.LogCaptureFixture) -> None:
    """Python runs signal handlers in the main thread only."""
    caplog.set_level("INFO")

    async def main() -> None:
        Watchdog().start(asyncio.get_running_loop())

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    assert "not watched" in caplog.text


def test_a_signal_outside_of_any_loop_does_nothing() -> None:
    """One may still be under way when the loop has ended."""
    Watchdog()._interrupt(SIGNAL, None)
