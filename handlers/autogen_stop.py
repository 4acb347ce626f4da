"""The tear-down of an AutoGen backend: in an order that leaves nothing, each wait bounded, then a look around.

Gate off, a short drain, callers told, handlers cancelled, all close() together, pump, stray tasks, force,
registries, audit.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import contextvars
import sys
import threading
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from autogen_core import SingleThreadedAgentRuntime

from engine.steps.scope import consume, detach, force_end

from .autogen_agent import GuardedAgent
from .backend import Limits, SessionClosed, StopReport
from .operation import CURRENT, Operation

if TYPE_CHECKING:
    from .autogen import AutoGenBackend

STRAY_ROUNDS: Final = 3  # a task may start others while it is cancelled
SETTLE_TURNS: Final = 5  # turns of the loop until what was forced has noticed


async def tear_down(backend: AutoGenBackend) -> StopReport:
    """Everything of a backend, gone or named. A second call goes on where the first was cut short."""
    backend.close_gate()
    if backend.runtime is None:
        return _report(backend)
    limits = backend.ctx.limits
    await drain(backend, limits.drain_s)
    await end_operations([job.operation for job in backend.jobs.values()], limits)
    backend.errors += await close_agents(backend, list(backend.agents.values()))
    if backend.pump is not None:
        backend.pump.cancel()
        await _wait([backend.pump], limits.grace_s)
    await _end_strays(backend, limits)
    abandon(backend)
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)
    return _report(backend)


async def drain(backend: AutoGenBackend, deadline_s: float) -> None:
    """Wait until nothing is under way. The runtime's own stop_when_idle() has no limit."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + deadline_s
    while not backend.is_idle() and loop.time() < deadline:
        outcomes = [job.operation.outcome for job in backend.jobs.values()]
        runtime = backend.runtime
        busy = [*outcomes, *(runtime._background_tasks if runtime is not None else ())]
        if not busy:
            await asyncio.sleep(0)
            continue
        left_s = max(0.0, deadline - loop.time())
        await asyncio.wait(busy, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)


async def end_operations(operations: Sequence[Operation], limits: Limits) -> None:
    """Tell whoever waits, cancel the handlers, wait the grace; who is still there stays for force."""
    for operation in operations:
        operation.end(SessionClosed("the session is closing"), by_force=False)
    await _wait([operation.outcome for operation in operations], limits.grace_s)


async def close_agents(backend: AutoGenBackend, agents: Sequence[GuardedAgent]) -> list[str]:
    """Every agent's own close(), all together and each within its bound: one that hangs or raises is alone with it."""
    limits = backend.ctx.limits
    closers = {agent.seat.name: _closer(backend, agent) for agent in agents if agent.inner is not None}
    await _wait(closers.values(), limits.close_s)
    hung = [task for task in closers.values() if not task.done()]
    for task in hung:
        task.cancel()
    await _wait(hung, limits.grace_s)
    return [text for name, task in closers.items() if (text := _complaint(name, task, task in hung))]


def _closer(backend: AutoGenBackend, agent: GuardedAgent) -> asyncio.Task[Any]:
    async def close() -> None:
        assert agent.inner is not None
        try:
            await agent.inner.close()
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"{type(error).__name__} in close()") from error

    return backend.spawn(close(), f"{agent.seat.sid} close {agent.seat.name}")


def _complaint(name: str, task: asyncio.Task[Any], hung: bool) -> str:
    if hung:
        return f"{name}: close() did not end in time"
    if task.cancelled():
        return f"{name}: close() cancelled itself"
    error = task.exception()
    return f"{name}: close() raised {type(error).__name__}" if error is not None else ""


def closing(backend: AutoGenBackend, agent: GuardedAgent) -> list[asyncio.Task[Any]]:
    """Calls of an agent's close() that have not ended."""
    name = f"{agent.seat.sid} close {agent.seat.name}"
    return [task for task in backend.tasks if not task.done() and task.get_name() == name]


def force_agent(backend: AutoGenBackend, agent: GuardedAgent) -> None:
    for operation in list(agent.operations.values()):
        operation.force()
    for task in closing(backend, agent):
        _force(backend, task)


async def _end_strays(backend: AutoGenBackend, limits: Limits) -> None:
    """What agents and the runtime started on their own."""
    for _ in range(STRAY_ROUNDS):
        runtime = backend.runtime
        strays = {task for task in backend.ctx.strays() if not task.done()} - backend.tasks
        strays |= set(runtime._background_tasks) if runtime is not None else set()
        strays = {task for task in strays if task is not asyncio.current_task()}
        if not strays:
            return
        for task in strays:
            backend.track(task).cancel()
        await _wait(strays, limits.grace_s / STRAY_ROUNDS)


def abandon(backend: AutoGenBackend) -> StopReport:
    """Force what is left, clear the registries. Waits for nothing; what was forced is done a few turns later."""
    backend.close_gate()
    for job in list(backend.jobs.values()):
        job.operation.end(SessionClosed("the session is closing"), by_force=False)
        if not job.operation.outcome.done():
            backend.forced[job.operation.agent] = None
            job.operation.force()
    for agent in list(backend.agents.values()):
        force_agent(backend, agent)
        backend.unregister(agent.seat.name)
    for task in list(backend.tasks):
        if not task.done():
            task.cancel()
            if task is not backend.pump:
                _force(backend, task)
    _clear(backend)
    return _report(backend)


def _clear(backend: AutoGenBackend) -> None:
    runtime, backend.runtime = backend.runtime, None
    backend.pump = None  # a cancelled task keeps the frames it was cancelled in
    if runtime is None:
        return
    runtime._instantiated_agents.clear()
    runtime._agent_factories.clear()
    runtime._agent_instance_types.clear()
    manager = runtime._subscription_manager
    manager._subscriptions.clear()
    manager._subscribed_recipients.clear()
    manager._seen_topics.clear()
    while not runtime._message_queue.empty():
        runtime._message_queue.get_nowait()


def unsubscribe(runtime: SingleThreadedAgentRuntime, subscription: str) -> None:
    """What remove_subscription() does, without waiting: it takes part in a tear-down that may not wait."""
    manager = runtime._subscription_manager
    manager._subscriptions = [one for one in manager._subscriptions if one.id != subscription]
    manager._rebuild_subscriptions(manager._seen_topics.copy())


def _force(backend: AutoGenBackend, task: asyncio.Task[Any]) -> None:
    if task is asyncio.current_task():
        return
    force_end(task)
    task.cancel()
    loop = task.get_loop()
    loop.call_soon(loop.call_soon, _detach, backend, task)


def _detach(backend: AutoGenBackend, task: asyncio.Task[Any]) -> None:
    if task.done():
        consume(task)
    elif detach(task):
        asyncio.tasks._unregister_task(task)
        backend.tasks.discard(task)


async def _wait(waits: Iterable[asyncio.Future[Any]], timeout_s: float) -> None:
    pending = [one for one in waits if not one.done()]
    if pending:
        await asyncio.wait(pending, timeout=timeout_s)


# The audit


def _report(backend: AutoGenBackend) -> StopReport:
    left = [f"task {task.get_name()}" for task in backend.tasks if not task.done()]
    left += [f"job {job.operation.agent}" for job in backend.jobs.values()]
    left += threads_of(backend.ctx.sid)
    return StopReport(tuple(backend.errors), tuple(backend.forced), tuple(left))


def threads_of(sid: str) -> list[str]:
    """Threads that still work for a handler of this session: nothing in Python can end them, so they are named.

    Found through the context that asyncio.to_thread() carries along; a thread started by hand carries none.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = []
    for ident, frame in sys._current_frames().items():
        context = _context_of(frame)
        badge = context.get(CURRENT) if context is not None else None
        if badge is not None and badge.sid == sid:
            found.append(f"thread {names.get(ident, ident)} of agent {badge.agent}")
    return found


def _context_of(frame: FrameType | None) -> contextvars.Context | None:
    """The context a worker of concurrent.futures runs its item in, if asyncio gave it one."""
    while frame is not None:
        if frame.f_code is concurrent.futures.thread._WorkItem.run.__code__:
            call = getattr(frame.f_locals["self"], "fn", None)
            bound = getattr(getattr(call, "func", None), "__self__", None)
            return bound if isinstance(bound, contextvars.Context) else None
        frame = frame.f_back
    return None
