"""Virtual time: hours in milliseconds, and never a hang in silence."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.testing import virtual
from engine.testing.virtual import in_virtual_time, run_virtual


@in_virtual_time
async def test_a_day_passes_in_an_instant() -> None:
    """Else a test of a reconnection window would take the window."""
    loop, real = asyncio.get_running_loop(), time.monotonic()
    await asyncio.sleep(86_400)
    assert loop.time() == pytest.approx(86_400)
    assert time.monotonic() - real < 5


@in_virtual_time
async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    """Same order as in real time."""
    woken: list[int] = []

    async def sleep(seconds: int) -> None:
        await asyncio.sleep(seconds)
        woken.append(seconds)

    await asyncio.gather(*(sleep(seconds) for seconds in (3, 1, 2)))
    assert woken == [1, 2, 3]


@in_virtual_time
async def test_time_stands_still_while_anything_is_ready() -> None:
    """Work takes no time, so a test can say exactly what happens when."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    for _ in range(100):
        await asyncio.sleep(0)
    assert loop.time() == before


@in_virtual_time
async def test_years_pass_too() -> None:
    """A float's step grows with the time; a timer that is due by less than that must still fire."""
    for _ in range(5):
        await asyncio.sleep(366 * 86_400)
        await asyncio.sleep(1e-9)
        await asyncio.sleep(0.25)


@in_virtual_time
async def test_a_timeout_times_out() -> None:
    """asyncio's own tools work on virtual time."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await asyncio.get_running_loop().create_future()


@in_virtual_time
async def test_a_thread_at_work_holds_the_time() -> None:
    """A time-out around to_thread would be over before the thread had begun."""
    async with asyncio.timeout(1):
        assert await asyncio.to_thread(lambda: time.sleep(0.05) or "done") == "done"


@in_virtual_time
async def test_a_thread_that_hangs_does_not_hold_the_time_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers that hang in a thread are a case to test."""
    import threading

    monkeypatch.setattr(virtual, "THREADS_REAL_S", 0.01)
    go_on = threading.Event()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.to_thread(go_on.wait), 10)
    go_on.set()


def test_a_wait_that_nothing_can_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead-locked test says so instead of hanging."""
    monkeypatch.setattr(virtual, "IDLE_REAL_S", 0.01)

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="stands still"):
        run_virtual(wait())


def test_what_main_returns_is_returned_and_what_it_raises_is_raised() -> None:
    """As asyncio.run."""

    async def main(value: int) -> int:
        return 1 // value

    assert run_virtual(main(1)) == 1
    with pytest.raises(ZeroDivisionError):
        run_virtual(main(0))
