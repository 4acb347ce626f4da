"""The deadlines of a process: fires in order, exactly once, whatever is armed and cancelled meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import HEAP_SLACK, SOON_S, Clock, Timer
from engine.tasks import current_owner, owned_context
from engine.testing.virtual import in_virtual_time, run_virtual

START = 1_800_000_000.0
# Soon, and in one of the buckets behind that.
delays = st.one_of(st.floats(-5, 3 * SOON_S), st.floats(SOON_S, 20 * SOON_S)).map(lambda value: round(value, 3))


def make_clock() -> Clock:
    return Clock(asyncio.get_running_loop(), utc=START)


@pytest.mark.parametrize("nonsense", ["soon", None, float("nan"), float("inf"), 10**400])
def test_what_is_no_time_is_not_armed(nonsense: Any) -> None:
    """C7: one entry that cannot be compared would stop every timer of the process."""

    async def play() -> None:
        clock, fired = make_clock(), []
        clock.call_at(START + 1, lambda: fired.append(1))
        with pytest.raises((TypeError, ValueError, OverflowError)):
            clock.call_at(nonsense, lambda: fired.append(2))
        clock.call_at(START + 2, lambda: fired.append(3))
        await asyncio.sleep(5)
        assert (fired, len(clock)) == ([1, 3], 0)

    run_virtual(play())


@given(given=st.lists(st.tuples(delays, st.booleans())), cancels=st.lists(st.integers(0, 200)))
def test_timers_fire_once_in_the_order_of_their_deadlines(given: list[tuple[float, bool]], cancels: list[int]) -> None:
    """M7: for any deadlines, past ones included, and any cancellations before they are due."""

    async def play() -> None:
        clock, fired = make_clock(), []
        timers = []
        for number, (delay, _) in enumerate(given):
            entry = (START + delay, number)
            timers.append(clock.call_at(START + delay, lambda entry=entry: fired.append((*entry, clock.now()))))
        gone = {n for n, (_, is_cancelled) in enumerate(given) if is_cancelled} | {n for n in cancels if n < len(given)}
        for number in gone:
            timers[number].cancel()
            timers[number].cancel()
        assert len(clock) == len(given) - len(gone)
        await asyncio.sleep(30 * SOON_S)
        assert [one[:2] for one in fired] == sorted((START + d, n) for n, (d, _) in enumerate(given) if n not in gone)
        assert all(deadline - 1e-3 <= at <= max(deadline, START) + 1e-3 for deadline, _, at in fired)
        assert len(clock) == 0
        assert not any(timer.is_armed for timer in timers)

    run_virtual(play())


@given(program=st.lists(st.tuples(delays, st.lists(delays, max_size=3), st.integers(0, 10)), max_size=12))
def test_callbacks_may_arm_and_cancel(program: list[tuple[float, list[float], int]]) -> None:
    """A step arms the timers of the next state and disarms the old one's, in the very callback of a timer."""

    async def play() -> None:
        clock = make_clock()
        timers: list[Timer] = []
        fired: list[int] = []

        def arm(delay: float, then: list[float], victim: int) -> None:
            number = len(timers)

            def fire() -> None:
                fired.append(number)
                for one in then:
                    arm(one, [], number)
                if victim < len(timers):
                    timers[victim].cancel()

            timers.append(clock.call_at(clock.now() + delay, fire))

        for delay, then, victim in program:
            arm(delay, then, victim)
        await asyncio.sleep(50 * SOON_S)
        assert len(clock) == 0
        assert len(fired) == len(set(fired))
        assert not any(timer.is_armed for timer in timers)

    run_virtual(play())


@in_virtual_time
async def test_a_past_deadline_fires_at_the_next_turn_and_not_at_once() -> None:
    """A restored session arms what is overdue; its caller is not finished yet."""
    clock, fired = make_clock(), []
    clock.call_at(START - 100, lambda: fired.append(clock.now()))
    assert fired == []
    await asyncio.sleep(0.001)
    assert len(fired) == 1


@in_virtual_time
async def test_a_timer_that_arms_itself_in_the_past_does_not_hold_the_loop() -> None:
    """C7: `after: 0s` in a cycle of states costs turns, and others have theirs in between."""
    clock, fired = make_clock(), []

    def again() -> None:
        fired.append(1)
        if len(fired) < 1000:
            clock.call_at(START - 1, again)

    clock.call_at(START - 1, again)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(fired) < 1000
    await asyncio.sleep(1)
    assert len(fired) == 1000


@in_virtual_time
async def test_cancelled_timers_do_not_pile_up() -> None:
    """L11: every accepted event moves an idle timer; an hour's worth of them must not lie in memory for the hour."""
    clock = make_clock()
    for delay in (SOON_S / 2, 3600):
        keep = clock.call_at(START + delay, lambda: None)
        for _ in range(10_000):
            clock.call_at(START + delay, lambda: None).cancel()
        assert keep.is_armed
    assert len(clock) == 2
    assert len(clock._heap) <= 2 * HEAP_SLACK + 2
    assert [len(bucket) for bucket in clock._later.values()] == [1]


@in_virtual_time
async def test_a_later_deadline_is_kept_whatever_was_cancelled_before_it() -> None:
    """M7: a bucket that was emptied must not be waited for in its place."""
    clock, fired = make_clock(), []
    clock.call_at(START + 3 * SOON_S, lambda: None).cancel()
    clock.call_at(START + 1, lambda: None)
    await asyncio.sleep(2)
    clock.call_at(START + 10 * SOON_S, fired.append, "late")
    await asyncio.sleep(20 * SOON_S)
    assert fired == ["late"]


@in_virtual_time
async def test_the_loop_holds_one_handle_for_all_timers() -> None:
    """Ten thousand sessions with three timers each cost the loop one."""
    clock, loop = make_clock(), asyncio.get_running_loop()
    for number in range(100):
        clock.call_at(START + 1000 - number, lambda: None)
    armed = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    assert len(armed) == 1
    clock.close()


@in_virtual_time
async def test_close_disarms_everything() -> None:
    """C3: timers are back at their base."""
    clock, fired = make_clock(), []
    timer = clock.call_at(START + 1, lambda: fired.append(1))
    clock.close()
    timer.cancel()
    assert len(clock) == 0
    await asyncio.sleep(10)
    assert fired == []


@in_virtual_time
async def test_a_callback_that_raises_does_not_stop_the_others() -> None:
    """C7: one session's bug must not take every other session's deadlines away."""
    clock, fired = make_clock(), []
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

    def fail() -> None:
        raise ValueError("on purpose")

    clock.call_at(START + 1, fail)
    clock.call_at(START + 1, lambda: fired.append(1))
    clock.call_at(START + 2, lambda: fired.append(2))
    await asyncio.sleep(10)
    assert fired == [1, 2]
    assert [str(context["exception"]) for context in reported] == ["on purpose"]


@in_virtual_time
async def test_a_step_of_the_systems_clock_moves_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """UTC is read once; what counts then is the loop's monotonic time."""
    clock = Clock(asyncio.get_running_loop())
    before = clock.now()
    monkeypatch.setattr("time.time", lambda: 0.0)
    await asyncio.sleep(5)
    assert clock.now() == pytest.approx(before + 5, abs=1e-3)


@in_virtual_time
async def test_what_a_timer_does_works_for_no_handler() -> None:
    """A handler's call may arm it; taken for the handler's, engine code would be interrupted as if it blocked."""

    class Owner:
        def adopt(self, task: asyncio.Task[Any]) -> None:
            raise AssertionError("nothing to adopt")

    clock, owners = make_clock(), []
    owned_context(Owner()).run(clock.call_at, START + 1, lambda: owners.append(current_owner()))
    await asyncio.sleep(2)
    assert owners == [None]
