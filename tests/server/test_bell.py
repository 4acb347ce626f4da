"""A bell: what one task waits for and others ring."""

import asyncio

import pytest

from server.bell import Bell


async def test_who_waits_goes_on_once_it_is_rung_and_waits_again_after_a_clear() -> None:
    """Otherwise a writer would sleep on what is to be sent, or spin."""
    bell = Bell()
    waiting = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    bell.set()
    bell.set()
    await waiting
    await bell.wait()
    bell.clear()
    again = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    assert not again.done()
    bell.set()
    await again


async def test_a_cancelled_wait_leaves_the_bell_to_the_next() -> None:
    """A wait with a time limit is given up often; what is rung later must not be lost on it."""
    bell = Bell()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await bell.wait()
    bell.set()
    await bell.wait()


async def test_a_second_waiter_is_a_mistake() -> None:
    """It would never be woken."""
    bell = Bell()
    first = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    with pytest.raises(AssertionError):
        await bell.wait()
    bell.set()
    await first
