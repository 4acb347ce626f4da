"""One handler of one agent at work: its task, its deadline, what it did so far, and its one outcome."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from engine.codec import encode
from engine.errors import HandlerFailed, ScopeClosed
from engine.steps.scope import consume, detach, force_end

from .backend import Limits, Note, Out, Spawn
from .children import Children


@dataclass(frozen=True, slots=True)
class Badge:
    """Whom running code works for. Contexts live long (a cancelled timer keeps one until its time comes), so they
    hold this and not the operation, whose agent has to be gone when it is gone."""

    sid: str
    agent: str
    operation: weakref.ref[Operation]


CURRENT: contextvars.ContextVar[Badge | None] = contextvars.ContextVar("steward_operation", default=None)


def current_operation() -> Operation:
    """The operation whose handler is running. Raises ScopeClosed outside of one, or when it is over."""
    badge = CURRENT.get()
    operation = badge.operation() if badge is not None else None
    if operation is None or not operation.is_open:
        raise ScopeClosed("this handler is over; nothing it does now has any effect")
    return operation


def _nowhere(kind: str, data: Mapping[str, Any]) -> None:
    """Where the notes of a handler go that nobody listens to."""


def _nobody(operation: Operation) -> None:
    """Who is told that an operation is over once it has been told."""


class Operation:
    """Ends itself: at its deadline, or when told, it is cancelled; after the grace it is forced.

    outcome resolves exactly once, and not before the handler is over (or has been made harmless).
    """

    def __init__(
        self, sid: str, number: str, agent: str, limits: Limits, timeout_s: float, on_over: Callable[[Operation], None]
    ) -> None:
        self.sid = sid
        self.number = number
        self.agent = agent
        self.loop = asyncio.get_running_loop()
        self.began_at = self.loop.time()
        self.outcome: asyncio.Future[Any] = self.loop.create_future()
        self.task: asyncio.Task[Any] | None = None
        self.sends: list[Out] = []
        self.emits: list[tuple[str, Mapping[str, Any]]] = []
        self.was_forced = False
        self.note: Note = _nowhere
        self.children = Children(None)
        self.answer_id = ""
        self._limits = limits
        self._bytes = 0
        self._why: Exception | None = None
        self._on_over = on_over
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(timeout_s, self._expire, timeout_s)
        # Nobody may be waiting any more when it fails; asyncio need not complain about that.
        self.outcome.add_done_callback(lambda done: done.cancelled() or done.exception())

    def wear_badge(self) -> None:
        """From here on this task, and all that it starts, works for this operation."""
        CURRENT.set(Badge(self.sid, self.agent, weakref.ref(self)))

    @property
    def is_open(self) -> bool:
        """Whether what the handler does still counts."""
        return self._why is None and not self.outcome.done()

    @property
    def is_ending(self) -> bool:
        return self._why is not None and not self.outcome.done()

    def begin(self, work: Coroutine[Any, Any, Any], spawn: Spawn, name: str) -> None:
        """Start the handler's task, unless the operation was ended while its message waited."""
        if not self.is_open or self.task is not None:
            work.close()
            return
        try:
            self.task = spawn(work, name)
        except Exception as error:
            work.close()
            self._settle(error=error)
            return
        self.task.add_done_callback(self._done)

    def capture(self, *, out: Out | None = None, emit: tuple[str, Mapping[str, Any]] | None = None) -> None:
        """Keep what the handler sends or emits for its reply. Raises HandlerFailed above a limit."""
        plain = out.to_json() if out is not None else [*emit] if emit is not None else None
        self._bytes += len(encode(plain))
        if out is not None:
            self.sends.append(out)
        if emit is not None:
            self.emits.append(emit)
        limits = self._limits
        for count, most, what in (
            (len(self.sends), limits.sends, "messages"),
            (len(self.emits), limits.emits, "updates"),
            (self._bytes, limits.reply_bytes, "bytes"),
        ):
            if count > most:
                raise HandlerFailed(self.agent, "nonsense", f"one handler may make at most {most} {what}")

    def end(self, why: Exception, *, by_force: bool = True) -> None:
        """Cancel the handler; its outcome will be why. by_force False: whoever calls decides what comes after the
        grace; otherwise force does, whether anyone waits or not."""
        if self.outcome.done():
            return
        if self._why is None:
            self._why = why
            self._disarm()
            if self.task is None:
                self._settle(error=why)
                return
            self.task.cancel()
            self._timer = self.loop.call_later(self._limits.grace_s, self.force)
        if not by_force:
            self._disarm()

    def force(self) -> None:
        """Close the handler's coroutine under it; what survives even that is unhooked, so nothing resumes it."""
        if self.outcome.done() or self.task is None or self.task.done():
            return
        self._why = self._why or HandlerFailed(self.agent, "timeout", "was ended by force")
        self._disarm()
        self.was_forced = True
        force_end(self.task)
        # A closed coroutine's task notices when it is next stepped; two turns of the loop are enough for that.
        self.task.cancel()
        self.loop.call_soon(self.loop.call_soon, self._detach)

    def _detach(self) -> None:
        if self.task is not None and not self.task.done():
            detach(self.task)
            asyncio.tasks._unregister_task(self.task)  # asyncio.run() would wait for it at its end
            self.task.remove_done_callback(self._done)
            self.task = None
            self._settle(error=self._why)

    def _expire(self, timeout_s: float) -> None:
        self.end(HandlerFailed(self.agent, "timeout", f"its handler did not end within {timeout_s:g} s"))

    def _done(self, task: asyncio.Task[Any]) -> None:
        consume(task)
        if self._why is not None:
            self._settle(error=self._why)
        elif task.cancelled():
            self._settle(error=HandlerFailed(self.agent, "raised", "its handler cancelled itself"))
        elif (error := task.exception()) is not None:
            self._settle(error=error)
        else:
            self._settle(result=task.result())

    def _settle(self, *, result: Any = None, error: BaseException | None = None) -> None:
        self._disarm()
        if not self.outcome.done():
            if error is not None:
                self.outcome.set_exception(error)
            else:
                self.outcome.set_result(result)
            self._on_over(self)
            # Timers that the handler left behind hold its context, and that holds this object, for long.
            self._on_over = _nobody
            self.note = _nowhere
            self.children.kill()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
