"""A handler ends within its bound, whatever it catches; what cannot be ended is named and kept track of."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from engine.clock import Clock
from engine.errors import HandlerFailed
from engine.resources import Holdings, Ledger
from engine.spec import Limits
from engine.steps.scope import GRACE_S, end_task, handler_failure, run_bounded, undisturbed
from engine.tasks import HandlerExit, handler_task, install_task_factory
from engine.testing.virtual import in_virtual_time


class Mark:
    """Something to see the end of a frame by."""


def make_holdings(**limits: int) -> Holdings:
    loop = asyncio.get_running_loop()
    install_task_factory(loop)
    return Holdings("/", Ledger(Limits(**limits), None, lambda what, is_over: None), Clock(loop))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def swallow_cancellation() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


def swallow_everything(mark: Mark, times: int = 10**9) -> Coroutine[Any, Any, None]:
    async def hostile() -> None:
        nonlocal times
        kept = mark
        while kept and times:
            try:
                await asyncio.sleep(3600)
            except BaseException:
                times -= 1

    return hostile()


@in_virtual_time
async def test_the_result_and_the_error_of_a_handler_are_passed_on() -> None:
    """The bound is not to be noticed by a handler that keeps it."""
    holdings = make_holdings()

    async def answer(value: int) -> float:
        await asyncio.sleep(1)
        return 1 / value

    assert await run_bounded(answer(2), holdings, "answer", 10) == 0.5
    with pytest.raises(ZeroDivisionError):
        await run_bounded(answer(0), holdings, "answer", None)
    assert holdings.all() == ()


@in_virtual_time
async def test_a_handler_that_hangs_is_ended_at_its_time_out() -> None:
    """M7, C4: exactly then if it takes its cancellation."""
    holdings, loop = make_holdings(), asyncio.get_running_loop()
    with pytest.raises(HandlerFailed) as caught:
        await run_bounded(asyncio.sleep(3600), holdings, "slow", 5)
    assert caught.value.code == "timeout"
    assert loop.time() == pytest.approx(5, abs=0.01)
    assert holdings.all() == ()


@in_virtual_time
async def test_a_cancelled_handler_has_a_grace_to_tidy_up() -> None:
    """C4: its `finally` may wait, for GRACE_S."""
    holdings, done = make_holdings(), []

    async def tidy() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(GRACE_S / 2)
            done.append(True)

    with pytest.raises(HandlerFailed):
        await run_bounded(tidy(), holdings, "tidy", 1)
    assert done == [True]


@in_virtual_time
async def test_a_handler_that_swallows_its_cancellation_is_closed_after_the_grace() -> None:
    """C4: it costs its time-out and the grace, nobody else's."""
    holdings, loop = make_holdings(), asyncio.get_running_loop()
    with pytest.raises(HandlerFailed) as caught:
        await run_bounded(swallow_cancellation(), holdings, "stubborn", 5)
    assert caught.value.code == "timeout"
    assert loop.time() == pytest.approx(5 + GRACE_S, abs=0.01)
    assert len(asyncio.all_tasks()) == 1
    assert holdings.all() == ()


@pytest.mark.parametrize("times", [1, 2, 3, 4, 5])
@in_virtual_time
async def test_a_handler_that_swallows_everything_a_few_times_is_ended(times: int) -> None:
    """C4: cancellation, close, close, close, cancellation: at whichever it gives in, it is gone."""
    holdings = make_holdings()
    with pytest.raises(HandlerFailed):
        await run_bounded(swallow_everything(Mark(), times), holdings, "stubborn", 5)
    await settle()
    assert len(asyncio.all_tasks()) == 1
    assert holdings.all() == ()


# Its last reference goes with the task; Python tells stderr that it ignored GeneratorExit even then.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@in_virtual_time
async def test_a_handler_that_swallows_even_generator_exit_is_stopped_and_collected() -> None:
    """C4, C3: it is never stepped again, and what it held in memory is free."""
    holdings, mark = make_holdings(), Mark()
    reference = weakref.ref(mark)
    with pytest.raises(HandlerFailed):
        await run_bounded(swallow_everything(mark), holdings, "hostile", 5)
    await settle()
    del mark
    gc.collect()
    assert reference() is None
    assert len(asyncio.all_tasks()) == 1
    assert holdings.all() == ()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_handler_that_spins_through_the_loop_is_stopped() -> None:
    """C4: it waits for nothing, so nothing can be unhooked; in real time, because it keeps the loop busy."""
    holdings, turns = make_holdings(), 0

    async def spin() -> None:
        nonlocal turns
        while True:
            try:
                turns += 1
                await asyncio.sleep(0)
            except BaseException:
                turns += 1

    task = handler_task(spin(), holdings, "spinning")
    await asyncio.sleep(0)
    assert await end_task(task, grace_s=0.01)
    before = turns
    await settle()
    assert turns == before
    del task
    gc.collect()


@in_virtual_time
async def test_cancelling_the_caller_ends_the_handler_and_goes_on() -> None:
    """M6: leaving a state cancels its activity's handler, and the cancellation is not swallowed."""
    holdings, ended = make_holdings(), []

    async def handler() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.5)
            ended.append(True)

    caller = asyncio.create_task(run_bounded(handler(), holdings, "handler", None))
    await asyncio.sleep(1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended == [True]


@in_virtual_time
async def test_cancelling_the_caller_again_and_again_leaves_no_handler_behind() -> None:
    """M4: an impatient caller must not leave a handler that runs on in a state that is over."""
    holdings = make_holdings()
    caller = asyncio.create_task(run_bounded(swallow_cancellation(), holdings, "stubborn", None))
    await asyncio.sleep(1)
    for _ in range(5):
        caller.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await caller
    await settle()
    assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_cancelling_the_caller_while_a_time_out_is_enforced_leaves_no_handler_behind() -> None:
    """M4: the same, at the worst moment."""
    holdings = make_holdings()
    caller = asyncio.create_task(run_bounded(swallow_cancellation(), holdings, "stubborn", 5))
    await asyncio.sleep(5.5)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await settle()
    assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_a_handler_that_cancels_itself_has_failed() -> None:
    """M5: taken for a cancellation of the caller, it would end the actor's own work in silence."""
    holdings = make_holdings()

    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(HandlerFailed) as caught:
        await run_bounded(give_up(), holdings, "quitter", 5)
    assert caught.value.code == "raised"


@in_virtual_time
async def test_an_exit_of_a_handler_is_an_error_of_it() -> None:
    """C7."""
    holdings = make_holdings()

    async def leave() -> None:
        raise SystemExit(1)

    with pytest.raises(HandlerExit):
        await run_bounded(leave(), holdings, "leaver", 5)


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, KeyboardInterrupt, ValueError])
@in_virtual_time
async def test_what_a_handler_raises_while_it_is_closed_does_not_reach_the_engine(error: type[BaseException]) -> None:
    """C7: its `finally` runs under the engine's hand."""
    holdings = make_holdings()

    async def handler() -> None:
        try:
            await swallow_cancellation()
        finally:
            raise error

    with pytest.raises(HandlerFailed):
        await run_bounded(handler(), holdings, "handler", 5)
    await settle()
    assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_tasks_of_a_handler_outlive_it_in_the_books() -> None:
    """C1: what it left running is a resource of its actor."""
    holdings = make_holdings()

    async def handler() -> None:
        asyncio.create_task(asyncio.sleep(100), name="left")  # noqa: RUF006

    await run_bounded(handler(), holdings, "handler", 5)
    assert [one.name for one in holdings.held("tasks")] == ["left"]
    assert holdings.ledger.counts["tasks"] == 1
    await asyncio.sleep(101)
    assert holdings.all() == ()
    assert holdings.ledger.counts["tasks"] == 0


@pytest.mark.parametrize("wait", [asyncio.gather, asyncio.shield, lambda task: task])
@in_virtual_time
async def test_a_handler_that_waits_for_a_stubborn_task_is_ended_alone(wait: Callable[[Any], Any]) -> None:
    """C4: its wait cannot be cancelled, because what it waits for goes on; the task stays listed and ends later."""
    holdings = make_holdings()

    async def handler() -> None:
        while True:
            try:
                await wait(task)
            except asyncio.CancelledError:
                continue

    task = handler_task(swallow_cancellation(), holdings, "nested")
    holdings.adopt(task)
    with pytest.raises(HandlerFailed):
        await run_bounded(handler(), holdings, "handler", 5)
    await settle()
    assert [one.name for one in holdings.held("tasks")] == ["nested"]
    assert not task.done()
    assert await end_task(task)
    assert task.done()
    await settle()
    assert holdings.all() == ()
    assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_who_waits_for_a_task_that_was_ended_by_force_is_told() -> None:
    """A wait for it must not last for ever."""
    holdings = make_holdings()
    inner = handler_task(swallow_cancellation(), holdings, "inner")

    async def wait_uncancellably() -> None:
        while True:
            try:
                await asyncio.gather(inner)
            except asyncio.CancelledError:
                continue

    outer = handler_task(wait_uncancellably(), holdings, "outer")
    await asyncio.sleep(1)
    assert await end_task(outer)
    await asyncio.wait_for(asyncio.wait({outer}), 1)
    assert outer.cancelled()
    assert await end_task(inner)


class Opaque(asyncio.Future[None]):
    """A wait that cannot be cancelled nor unhooked: what a foreign event loop's bridge may look like."""

    _callbacks = None

    def cancel(self, msg: Any = None) -> bool:
        return True


@in_virtual_time
async def test_what_cannot_be_ended_is_adopted_and_stays_listed(caplog: pytest.LogCaptureFixture) -> None:
    """C4: named and kept track of, and gone from the books when it does end."""
    holdings, wait = make_holdings(), Opaque()

    async def handler() -> None:
        await wait

    with pytest.raises(HandlerFailed) as caught:
        await run_bounded(handler(), holdings, "unkillable", 5)
    assert caught.value.code == "timeout"
    assert [one.name for one in holdings.held("tasks")] == ["unkillable"]
    assert "survived cancellation and force" in caplog.text
    wait.set_result(None)
    await settle()
    assert holdings.all() == ()
    assert holdings.ledger.counts["tasks"] == 0


@in_virtual_time
async def test_ending_a_task_that_is_done_reads_its_error() -> None:
    """Else asyncio reports an error of a task that everybody knows about."""

    async def fail() -> None:
        raise ValueError("on purpose")

    task = asyncio.create_task(fail())
    await settle()
    assert await end_task(task)


@in_virtual_time
async def test_undisturbed_work_is_whole_and_the_cancellation_goes_on() -> None:
    """M6: clean up, then let it go on."""
    done = []

    async def work() -> int:
        await asyncio.sleep(5)
        done.append(True)
        return 7

    assert await undisturbed(work(), "work") == 7
    task = asyncio.create_task(undisturbed(work(), "work"))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True, True]


def test_a_failure_keeps_its_text_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A client sees a code and a reference; a text may hold a secret or another user's words."""
    failure = handler_failure("pay", ValueError("card 1234"))
    assert failure.code == "raised"
    assert failure.ref in caplog.text
    assert "card 1234" in caplog.text
    assert handler_failure("pay", failure) is failure
    assert handler_failure("pay", HandlerFailed("x", "timeout", "…")).code == "timeout"


def test_a_failure_that_cannot_be_put_into_words_is_one_all_the_same() -> None:
    """M3: the words of an exception are a handler's code too."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

    failure = handler_failure("pay", Mute())
    assert (failure.code, failure.message) == ("raised", "Mute: what it says cannot be shown")
