"""Whose task is it: every task that starts inside a handler is attributed to the actor the handler works for.

A context variable names the owner; where a library starts tasks in a context of its own, the creating task does.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

from .errors import Refused

T = TypeVar("T")
log = logging.getLogger("steward.tasks")


class Owner(Protocol):
    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Take a task into the books until it is done."""


class _Engine:
    """The owner of the engine's own tasks: nobody's resource."""

    def adopt(self, task: asyncio.Task[Any]) -> None:
        return None


ENGINE = _Engine()
_owner: contextvars.ContextVar[Owner | None] = contextvars.ContextVar("steward_owner", default=None)


class HandlerExit(Exception):
    """Code of a handler raised what is no Exception (sys.exit() does); the process and the actor go on."""


class Guarded(Coroutine[Any, Any, Any]):
    """A handler's coroutine as its task steps it.

    asyncio lets SystemExit out of the loop, so one agent's sys.exit() would end the server: here it becomes
    HandlerExit. After end() the next step ends the task, whatever the coroutine catches. A class and not an
    `async def` around it: cancelled before its first step, that would leave coro never awaited. It knows its owner,
    because a table of tasks would keep one that never ends, and all that its owner leads to, for ever.
    """

    __slots__ = ("__weakref__", "_coro", "_is_over", "owner")

    def __init__(self, coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any], owner: Owner) -> None:
        self._coro = coro
        self.owner = owner
        self._is_over = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)  # cr_frame, cr_code, __qualname__: asyncio shows tasks by them

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coro.__await__()  # type: ignore[union-attr]  # tasks step it; an await of it is not guarded

    def send(self, value: Any) -> Any:
        return self._step(self._coro.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._coro.throw, *error)

    def close(self) -> None:
        self._coro.close()

    def end(self) -> None:
        self._is_over = True

    def _step(self, step: Callable[..., Any], *args: Any) -> Any:
        if self._is_over:
            raise asyncio.CancelledError
        try:
            return step(*args)
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:
            raise HandlerExit(f"{type(error).__name__}: {error}") from error


def owned_context(owner: Owner) -> contextvars.Context:
    """A copy of this context in which everything that starts belongs to owner."""
    context = contextvars.copy_context()
    context.run(_owner.set, owner)
    return context


def engine_context() -> contextvars.Context:
    """A fresh context of the engine: what runs in it belongs to no handler, even if a handler's call led to it."""
    context = contextvars.Context()
    context.run(_owner.set, ENGINE)
    return context


def call_owned(owner: Owner, function: Callable[..., T], *args: Any) -> T:
    """Call plain code of a handler: what it starts is owner's. Raises HandlerExit instead of anything that would
    end the process or pass for a cancellation of ours."""
    try:
        return owned_context(owner).run(function, *args)
    except Exception:
        raise
    except BaseException as error:
        raise HandlerExit(f"{type(error).__name__}: {error}") from error


def current_owner() -> Owner | None:
    """Whom the running code works for, None if nobody said."""
    owner = _owner.get()
    if owner is None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # a signal may come when no loop runs
            return None
        owner = owner_of(task) if task is not None else None
    return None if owner is ENGINE else owner


def owner_of(task: asyncio.Task[Any]) -> Owner | None:
    """For whom task was started, None if for the engine or nobody."""
    coro = task.get_coro()
    return coro.owner if isinstance(coro, Guarded) else None


def engine_task(coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start a task of the engine itself, in a fresh context: it may be called from inside a handler, whose
    context variables (and ownership) must not reach it."""
    return asyncio.Task(coro, loop=asyncio.get_running_loop(), name=name, context=engine_context())


def handler_task(coro: Coroutine[Any, Any, T], owner: Owner, name: str) -> asyncio.Task[T]:
    """Start the task of one handler call. It works for owner but is not in its books: whoever calls this ends it."""
    loop = asyncio.get_running_loop()
    return asyncio.Task(Guarded(coro, owner), loop=loop, name=name, context=owned_context(owner))


def install_task_factory(loop: asyncio.AbstractEventLoop) -> None:
    """Attribute every task that loop creates from now on. May be called twice."""
    if loop.get_task_factory() is not _factory:
        loop.set_task_factory(_factory)


def remove_task_factory(loop: asyncio.AbstractEventLoop) -> None:
    if loop.get_task_factory() is _factory:
        loop.set_task_factory(None)


def _factory(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    *,
    context: contextvars.Context | None = None,
    **kwargs: Any,
) -> asyncio.Task[Any]:
    owner = _owner.get() if context is None else context.get(_owner)
    if owner is None:
        creator = asyncio.current_task(loop)
        owner = owner_of(creator) if creator is not None else None
    if owner is None or owner is ENGINE:
        return asyncio.Task(coro, loop=loop, context=context, **kwargs)
    task: asyncio.Task[Any] = asyncio.Task(Guarded(coro, owner), loop=loop, context=context, **kwargs)
    owner.adopt(task)
    return task


async def result_of(task: asyncio.Task[T], ended: Callable[[], Exception]) -> T:
    """What comes of a task that goes on if whoever waits is cancelled. ended: what is told if it was itself."""
    await asyncio.wait({task})
    if task.cancelled():
        raise ended()
    return task.result()


class EngineTasks:
    """Tasks of the engine with one owner: what fails is logged, and all are ended together."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in the order in which they began

    def start(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = engine_task(coro, name)
        self._tasks[task] = None
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Refused):  # the sender's, who is told
            log.info("%s was refused: %s", task.get_name(), error)
        elif error is not None:
            log.error("%s failed: %s", task.get_name(), error)

    async def end(self, timeout_s: float) -> None:
        """Cancel all of them and wait for it, timeout_s at most."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)
