"""A loop without sockets whose time jumps and whose tasks take turns as a seed says; it can stop at any turn."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable
from typing import Any, Final

NEVER: Final = float("inf")
UNWIND_ROUNDS: Final = 3


class Handle(asyncio.TimerHandle):
    """A callback that waits for its turn. asyncio's own costs four times as much to make."""

    def __init__(self, when: float, callback: Callable[..., Any], args: Any, context: Any) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._context = context if context is not None else contextvars.copy_context()
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True
        self._args = ()

    def __lt__(self, other: Any) -> bool:
        return bool(self._when < other._when)


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Where one process lives, from its start to its end or its death.

    Callbacks run in the order in which they were given, as asyncio promises. Tasks that can go on do so in any order,
    drawn from pick (uniform in [0, 1)); None: in the order in which they could. turns: how many callbacks have run.
    """

    def __init__(self, pick: Callable[[], float] | None = None, at: float = 0.0) -> None:
        self.turns = 0
        self.errors: list[dict[str, Any]] = []
        self._pick = pick
        self._now = at
        self._plain: deque[Handle] = deque()
        self._steps: list[Handle] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._number = 0
        self._is_closed = False
        self._factory: Any = None

    def run(self, until: float, turns_max: float = NEVER) -> bool:
        """Let things happen until nothing is left to do before that time; False if turns_max turns came first."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            return self._run(until, self.turns + turns_max)
        finally:
            events._set_running_loop(before)

    def _run(self, until: float, last: float) -> bool:
        # The inside of every history: one function, and names that are looked up once.
        plain, steps, timers, pick = self._plain, self._steps, self._timers, self._pick
        while True:
            while plain or steps:
                if self.turns >= last:
                    return False
                self.turns += 1
                # One of the tasks, or the first callback; each is as likely.
                at = int(pick() * (len(steps) + bool(plain))) if pick is not None and steps else 0
                if at == len(steps):
                    handle = plain.popleft()
                else:
                    handle = steps.pop(at)
                if handle._cancelled:
                    continue
                try:
                    handle._context.run(handle._callback, *handle._args)
                except Exception as error:
                    self.call_exception_handler({"message": "a callback raised", "exception": error})
            while timers and timers[0][2]._cancelled:
                heapq.heappop(timers)
            if not timers or timers[0][0] > until:
                self._now = max(self._now, until)
                return True
            self._now = max(self._now, timers[0][0])
            while timers and timers[0][0] <= self._now:
                plain.append(heapq.heappop(timers)[2])

    def kill(self) -> None:
        """End as a process does that is killed: nothing that waits here goes on. Code that is unwound by this finds a
        loop that does nothing any more."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        unwound: set[asyncio.Task[Any]] = set()
        while tasks := asyncio.all_tasks(self) - unwound:  # what unwinds may start others
            unwound |= tasks
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _unwind(task.get_coro())
        events._set_running_loop(before)
        self._is_closed = True
        self._plain.clear()
        self._steps.clear()
        self._timers.clear()

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        handle = Handle(0.0, callback, args, context)
        if self._is_closed:
            return handle
        if self._pick is not None and isinstance(getattr(callback, "__self__", None), asyncio.Task):
            self._steps.append(handle)
        else:
            self._plain.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Handle:
        handle = Handle(when, callback, args, context)
        if not self._is_closed:
            self._number += 1
            heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Handle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **kwargs: Any) -> Any:
        make = self._factory or (lambda loop, coro, **more: asyncio.Task(coro, loop=loop, **more))
        return make(self, coro, **kwargs)

    def set_task_factory(self, factory: Any) -> None:
        self._factory = factory

    def get_task_factory(self) -> Any:
        return self._factory

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        """At once and here: a thread would make two runs of one seed differ."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._is_closed:
            self.errors.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        return self._is_closed


def _unwind(coro: Any) -> None:
    """Let a suspended coroutine go. It may protest, also more than once: it is dead all the same."""
    for _ in range(UNWIND_ROUNDS):
        try:
            coro.close()
            return
        except RuntimeError:
            continue  # it awaits again instead of going
        except BaseException:
            return
