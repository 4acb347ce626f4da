"""Running a handler within its bound, and ending one that does not want to end."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from ..errors import HandlerFailed
from ..tasks import Guarded, Owner, call_owned, engine_task, handler_task, owner_of

GRACE_S: Final = 1.0  # between a cancellation and force
CLOSE_ROUNDS: Final = 3  # a coroutine may catch GeneratorExit once or twice while it unwinds
END_TURNS: Final = 5  # of the loop, until a cancelled wait, and what waited for it, have come to their end

log = logging.getLogger("steward.handler")
T = TypeVar("T")


async def run_bounded(coro: Coroutine[Any, Any, T], owner: Owner, name: str, timeout_s: float | None) -> T:
    """Run coro as a task of owner, at most timeout_s (None: as long as the caller waits).

    Raises HandlerFailed("timeout"), or what coro raised. A task that survives cancellation, a grace of GRACE_S and
    force is abandoned to owner.adopt(), so that it stays listed among its tasks. Cancelling the caller ends the
    task the same way and goes on as CancelledError.
    """
    task = handler_task(coro, owner, name)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
    except asyncio.CancelledError:
        await undisturbed(_end_or_abandon(task, owner), f"end of {name}")
        raise
    if not task.done():
        await undisturbed(_end_or_abandon(task, owner), f"end of {name}")
        raise HandlerFailed(name, "timeout", f"did not end within {timeout_s:g} s")
    if task.cancelled():
        raise HandlerFailed(name, "raised", "cancelled itself")
    return task.result()


async def _end_or_abandon(task: asyncio.Task[Any], owner: Owner) -> None:
    if not await end_task(task):
        log.error("task %s survived cancellation and force; it stays listed", task.get_name())
        owner.adopt(task)


async def undisturbed(work: Coroutine[Any, Any, T], name: str) -> T:
    """Await work, which has a bound of its own, to its end; a cancellation goes on only then."""
    task = engine_task(work, name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        consume(task)
        raise cancelled
    return task.result()


async def end_task(task: asyncio.Task[Any], *, grace_s: float = GRACE_S) -> bool:
    """Cancel, wait grace_s, then force; True if the task is gone: done, or unhooked so that nothing resumes it."""
    task.cancel()
    if not task.done():
        await asyncio.wait({task}, timeout=grace_s)
    if not task.done():
        force_end(task)
        # A closed coroutine's task finishes when it is next stepped.
        task.cancel()
        await _turns(task)
    is_unhooked = not task.done() and detach(task)
    if is_unhooked:
        await _turns(task)
    if task.done():
        consume(task)
    return is_unhooked or task.done()


async def _turns(task: asyncio.Task[Any]) -> None:
    for _ in range(END_TURNS):
        if task.done():
            return
        await asyncio.sleep(0)


def force_end(task: asyncio.Task[Any]) -> None:
    """Close the task's coroutine under it: GeneratorExit passes handlers that swallow CancelledError. One that
    swallows that as well is never stepped again."""
    coro, owner = task.get_coro(), owner_of(task)
    for _ in range(CLOSE_ROUNDS):
        try:
            # What unwinds is the handler's code: it may block, exit or start tasks like the rest of it.
            call_owned(owner, coro.close) if owner is not None else coro.close()
        except (RuntimeError, ValueError):
            continue  # it caught GeneratorExit and awaits again, or it is running right now
        except Exception as error:
            log.warning("closing %s raised %s", task.get_name(), type(error).__name__)
        break
    if isinstance(coro, Guarded):
        coro.end()


def detach(task: asyncio.Task[Any]) -> bool:
    """Unhook a task from what it waits for, and, if it is a handler's, step it to its end.

    For what cannot be cancelled: a wait for other tasks that go on. False if it waits for nothing that can be
    unhooked. Leans on what CPython's futures and tasks keep (3.11 to 3.14).
    """
    waiter = getattr(task, "_fut_waiter", None)
    hooks = [entry[0] for entry in getattr(waiter, "_callbacks", None) or ()]
    unhooked = [hook for hook in hooks if getattr(hook, "__self__", None) is task]
    for hook in unhooked:
        waiter.remove_done_callback(hook)  # type: ignore[union-attr]
    if unhooked and isinstance(task.get_coro(), Guarded):
        over = task.get_loop().create_future()
        over.set_result(None)
        task.get_loop().call_soon(unhooked[0], over)
    elif unhooked:
        # It will be collected while pending, on purpose.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    return bool(unhooked)


def consume(task: asyncio.Task[Any]) -> None:
    """Read a done task's exception, so that asyncio does not report it as never retrieved."""
    if not task.cancelled():
        task.exception()


def handler_failure(name: str, error: BaseException) -> HandlerFailed:
    """error as what clients and the log may see: its text goes to our log only, under a reference."""
    if isinstance(error, HandlerFailed) and error.ref:
        return error
    ref = secrets.token_hex(4)
    code, public = (error.code, error.public) if isinstance(error, HandlerFailed) else ("raised", "")
    said = f"{type(error).__name__}: {_said(error)}"
    log.warning("handler %s failed (ref %s): %s", name, ref, said, exc_info=error)
    return HandlerFailed(name, code, said, ref=ref, public=public)


def _said(error: BaseException) -> str:
    """Its own words, which are a handler's code as well."""
    try:
        return str(error)
    except Exception:
        return "what it says cannot be shown"
