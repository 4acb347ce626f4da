"""Whose task is it: whatever a handler starts is its actor's, whatever the engine starts is nobody's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from engine.errors import Refused
from engine.tasks import (
    EngineTasks,
    HandlerExit,
    call_owned,
    current_owner,
    engine_task,
    handler_task,
    install_task_factory,
    owned_context,
    owner_of,
    remove_task_factory,
)
from engine.testing.virtual import VirtualLoop, in_virtual_time, run_virtual


class Books:
    """An owner that only counts."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[Any]] = []

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self.tasks.append(task)

    @property
    def names(self) -> list[str]:
        return [task.get_name() for task in self.tasks]


@pytest.fixture(params=["virtual", "real"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run with the task factory, in virtual time and on a real loop."""

    async def wrapped(main: Coroutine[Any, Any, Any]) -> Any:
        install_task_factory(asyncio.get_running_loop())
        return await main

    runner = run_virtual if request.param == "virtual" else asyncio.run
    return lambda main: runner(wrapped(main))


@pytest.fixture
def books() -> Books:
    return Books()


async def nothing() -> None:
    await asyncio.sleep(0)


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def call(books: Books, handler: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return await handler_task(handler(), books, "the handler")


def test_tasks_a_handler_creates_are_its_actors(run: Any, books: Books) -> None:
    """C1: create_task, gather, TaskGroup, wait_for and timeouts inside a library alike."""

    async def handler() -> None:
        await asyncio.create_task(nothing(), name="created")
        await asyncio.gather(nothing(), nothing())
        async with asyncio.TaskGroup() as group:
            group.create_task(nothing(), name="grouped")
        await asyncio.wait_for(nothing(), 10)
        await asyncio.ensure_future(nothing())
        asyncio.get_running_loop().create_task(nothing())

    run(call(books, handler))
    assert len(books.tasks) >= 6
    assert {"created", "grouped"} <= set(books.names)


def test_tasks_of_tasks_are_the_actors_too(run: Any, books: Books) -> None:
    """C1: however deep."""

    async def deep(levels: int) -> None:
        if levels:
            await asyncio.create_task(deep(levels - 1))

    run(call(books, lambda: deep(5)))
    assert len(books.tasks) == 5


def test_a_task_in_a_context_of_its_own_is_attributed_by_its_creator(run: Any, books: Books) -> None:
    """A library that starts tasks in an empty context would else hide them."""
    import contextvars

    async def handler() -> None:
        asyncio.create_task(nothing(), name="hidden", context=contextvars.Context())  # noqa: RUF006
        await asyncio.sleep(0)

    run(call(books, handler))
    assert books.names == ["hidden"]


def test_what_such_a_task_starts_is_attributed_as_well(run: Any, books: Books) -> None:
    """The creating task is asked each time, so the chain does not break."""
    import contextvars

    async def hidden() -> None:
        await asyncio.create_task(nothing(), name="deeper", context=contextvars.Context())

    async def handler() -> None:
        await asyncio.create_task(hidden(), name="hidden", context=contextvars.Context())

    run(call(books, handler))
    assert books.names == ["hidden", "deeper"]


def test_a_loop_callback_set_by_a_handler_starts_tasks_of_its_actor(run: Any, books: Books) -> None:
    """call_soon and call_later keep the context."""

    async def handler() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: loop.create_task(nothing(), name="from a callback"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(call(books, handler))
    assert books.names == ["from a callback"]


def test_a_callback_from_a_thread_of_a_handler_starts_tasks_of_its_actor(run: Any, books: Books) -> None:
    """to_thread copies the context, and run_coroutine_threadsafe goes through call_soon_threadsafe."""

    async def handler() -> str:
        loop = asyncio.get_running_loop()

        def work() -> Any:
            return asyncio.run_coroutine_threadsafe(nothing(), loop)

        asked = await asyncio.to_thread(work)
        await asyncio.wrap_future(asked)
        return str(current_owner() is books)

    assert run(call(books, handler)) == "True"
    assert len(books.tasks) == 1


def test_an_engine_task_is_nobodys_even_if_a_handler_led_to_it(run: Any, books: Books) -> None:
    """An actor's pump that a handler's send() woke must not die with that handler's actor, nor count there."""
    seen: list[Any] = []

    async def engine() -> None:
        seen.append(current_owner())
        await asyncio.create_task(nothing())
        seen.append(current_owner())

    async def handler() -> None:
        await engine_task(engine(), "the engine's")
        seen.append(current_owner())

    run(call(books, handler))
    assert seen == [None, None, books]
    assert books.tasks == []


def test_the_handlers_own_task_is_not_in_the_books(run: Any, books: Books) -> None:
    """Whoever calls the handler ends it; listed as well, it would be ended by a clean-up it waits for."""
    run(call(books, nothing))
    assert books.tasks == []


def test_outside_of_handlers_nothing_is_attributed(run: Any) -> None:
    """The server's tasks are its own."""

    async def main() -> None:
        assert current_owner() is None
        task = asyncio.create_task(nothing())
        assert owner_of(task) is None
        await task

    run(main())
    assert current_owner() is None


def test_plain_code_called_for_an_owner_starts_its_tasks(run: Any, books: Books) -> None:
    """A synchronous handler may start tasks too."""

    async def main() -> None:
        task = owned_context(books).run(asyncio.create_task, nothing())
        assert call_owned(books, current_owner) is books
        await task

    run(main())
    assert len(books.tasks) == 1


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_exits_do_not_leave_a_handler(run: Any, books: Books, error: BaseException) -> None:
    """C7: one agent's sys.exit() would end the server and every session in it."""

    async def handler() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(HandlerExit, match=type(error).__name__):
        run(call(books, handler))


def test_exits_do_not_leave_a_task_of_a_handler(run: Any, books: Books) -> None:
    """Nor do those of tasks that a library started."""

    async def leave() -> None:
        sys.exit("bye")

    async def handler() -> str:
        (result,) = await asyncio.gather(leave(), return_exceptions=True)
        return str(result)

    assert run(call(books, handler)) == "SystemExit: bye"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_exits_do_not_leave_plain_code_of_a_handler(books: Books, error: type[BaseException]) -> None:
    """A CancelledError out of plain code would pass for a cancellation of the engine's own task."""

    def leave() -> None:
        raise error

    with pytest.raises(HandlerExit):
        call_owned(books, leave)


def test_errors_results_and_cancellation_pass_unchanged(run: Any, books: Books) -> None:
    """The guard around a handler's coroutine is not to be noticed otherwise."""

    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    async def handler() -> list[Any]:
        cancelled = asyncio.create_task(forever())
        await asyncio.sleep(0)
        cancelled.cancel()
        failing = asyncio.create_task(add(1, "x"))  # type: ignore[arg-type]
        return await asyncio.gather(asyncio.create_task(add(1, 2)), failing, cancelled, return_exceptions=True)

    three, error, cancelled = run(call(books, handler))
    assert three == 3
    assert isinstance(error, TypeError)
    assert isinstance(cancelled, asyncio.CancelledError)


def test_a_task_cancelled_before_its_first_step_leaves_no_warning(run: Any, books: Books) -> None:
    """Its coroutine is closed like any other; "never awaited" would be a false trail in an operator's log."""

    async def handler() -> None:
        task = asyncio.create_task(nothing())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(call(books, handler))
    gc.collect()


def test_asyncio_shows_a_handlers_task_by_its_own_name_and_place(run: Any, books: Books) -> None:
    """Somebody has to find it in a list of ten thousand."""

    async def handler() -> str:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        (frame,) = task.get_stack()
        shown = f"{task!r} {frame.f_code.co_name}"
        task.cancel()
        return shown

    shown = run(call(books, handler))
    assert "coro=<forever() running at" in shown
    assert shown.endswith(" forever")


def test_a_generator_based_coroutine_works(run: Any, books: Books) -> None:
    """Old libraries have them."""
    import types

    @types.coroutine
    def old() -> Iterator[None]:
        yield
        return

    async def handler() -> None:
        await asyncio.create_task(old())  # type: ignore[arg-type]

    run(call(books, handler))
    assert len(books.tasks) == 1


async def test_a_subprocess_inside_a_handler_works_and_its_helpers_are_attributed(books: Books) -> None:
    """asyncio's subprocess and stream code runs under the factory and the guard."""
    install_task_factory(asyncio.get_running_loop())

    async def handler() -> bytes:
        process = await asyncio.create_subprocess_exec("echo", "hello", stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return out

    assert await call(books, handler) == b"hello\n"
    assert all(task.done() for task in books.tasks)


@in_virtual_time
async def test_the_factory_can_be_installed_twice_and_removed() -> None:
    """The server and a test may both do it."""
    loop = asyncio.get_running_loop()
    install_task_factory(loop)
    factory = loop.get_task_factory()
    install_task_factory(loop)
    assert loop.get_task_factory() is factory
    remove_task_factory(loop)
    assert loop.get_task_factory() is None


@in_virtual_time
async def test_another_factory_is_left_alone() -> None:
    """What a debugger installed after us is not ours to remove."""
    loop = asyncio.get_running_loop()
    install_task_factory(loop)
    loop.set_task_factory(lambda loop, coro, **kwargs: asyncio.Task(coro, loop=loop, **kwargs))
    remove_task_factory(loop)
    assert loop.get_task_factory() is not None


def test_a_task_that_never_ends_is_not_kept_with_its_owner() -> None:
    """C3: owner and task lead to each other; once nothing else leads to them, both are gone."""

    async def main() -> list[weakref.ref[Any]]:
        install_task_factory(asyncio.get_running_loop())
        books = Books()
        task = handler_task(forever(), books, "never ends")
        books.tasks.append(task)
        await asyncio.sleep(0)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return [weakref.ref(books), weakref.ref(task)]

    # As when a process is killed: no Runner that ends what is left.
    with contextlib.closing(VirtualLoop()) as loop:
        references = loop.run_until_complete(main())
    gc.collect()
    assert [reference() for reference in references] == [None, None]


@in_virtual_time
async def test_what_the_sender_did_wrong_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """They are told; an operator who reads of an error looks for one."""
    caplog.set_level("INFO", "steward.tasks")

    async def fail(error: Exception) -> None:
        raise error

    tasks = EngineTasks()
    await asyncio.wait({tasks.start(fail(Refused("exists", "it is here already")), "import")})
    await asyncio.wait({tasks.start(fail(RuntimeError("a bug")), "upkeep")})
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("INFO", "import was refused: it is here already"),
        ("ERROR", "upkeep failed: a bug"),
    ]
