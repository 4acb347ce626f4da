"""A state's `run`: its steps in order, one task that the state owns and that ends with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..codec import encode
from ..context import Life, RunContext
from ..errors import HandlerFailed
from ..plan import Call
from ..records import Event
from ..tasks import engine_task
from .calls import as_failure, call_handler
from .custody import full_cleanup
from .scope import GRACE_S

if TYPE_CHECKING:
    from ..actor import Actor

END_S: Final = 4 * GRACE_S  # an activity's own task ends once its handler is ended: grace, force, and room to run

log = logging.getLogger("steward.activity")


class Activity:
    """One activation's work. ran: results of steps that are over since before a restart, by index."""

    def __init__(self, actor: Actor, entered_by: Event, ran: Mapping[int, Any]) -> None:
        self._actor = actor
        self._event = entered_by
        self._ran = ran
        self._plan = actor.plan.states[actor.state]
        self._activation = actor.activation
        self.life = Life(f"the activity of {actor.path} in {actor.state}")
        self.report: dict[str, Any] | None = None
        self._cleaning: asyncio.Future[None] | None = None
        self.task = engine_task(self._run(), f"{actor.session.sid}{actor.path} run {actor.state}")

    async def close(self, *, waits_for_cleanup: bool) -> None:
        """Cancel and await it; its ctx is dead from the moment this is called. A clean-up under way comes first."""
        self.life.end()
        if self.task.done():
            return
        if waits_for_cleanup and self._cleaning is not None:
            await asyncio.wait({self._cleaning}, timeout=self._actor.plan.stop_bound_s)
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=END_S)
        if not self.task.done():
            log.error("the activity %s did not end; it stays listed", self.task.get_name())
            self._actor.holdings.adopt(self.task)

    def _resume_at(self) -> int:
        """The first step that is not recorded, or that acquires what did not survive the restart."""
        for index, call in enumerate(self._plan.run):
            if index not in self._ran or call.must_run_again:
                return index
        return len(self._plan.run)

    async def _run(self) -> None:
        try:
            name, payload = await self._steps()
        except Exception:
            # A bug of ours: say so, and let the actor take its declared way out instead of standing still.
            log.exception("the activity %s failed in the engine", self.task.get_name())
            name, payload = "failed", {"error": {"handler": "engine", "code": "internal", "message": "", "ref": ""}}
        if not self.life.is_over:
            self._actor.activity_ended(Event(name, payload, origin="self", activation=self._activation))

    async def _steps(self) -> tuple[str, dict[str, Any]]:
        start, last = self._resume_at(), len(self._plan.run) - 1
        result = self._ran.get(start - 1)
        for index, call in enumerate(self._plan.run[start:], start=start):
            try:
                result = await self._step(call)
            except HandlerFailed as failure:
                return "failed", {"error": show_failure(failure), **self._with_report()}
            if self.life.is_over:
                raise asyncio.CancelledError  # the state was left while a clean-up was under way: no step of the next
            if index < last:
                self._actor.step_ran(index, result)  # after the last, `done` says so, in the same turn
        return "done", {"result": result, **self._with_report()}

    def _with_report(self) -> dict[str, Any]:
        return {"report": self.report} if self.report is not None else {}

    async def _step(self, call: Call) -> Any:
        if call.name == "cleanup" and call.bound is None:
            return await self._clean_up(call)
        value = await call_handler(self._actor, call, RunContext(self._actor, self._event, self.life))
        try:
            encode(value)
        except TypeError as error:
            raise as_failure(call.name, HandlerFailed(call.name, "nonsense", f"returned no JSON: {error}")) from error
        return value

    async def _clean_up(self, call: Call) -> Any:
        """Fails only if something leaked that nobody above takes over."""
        only: tuple[str, ...] = call.args.get("only", ())
        self._cleaning = asyncio.get_running_loop().create_future()
        try:
            report = await full_cleanup(self._actor, only)
        finally:
            self._cleaning.set_result(None)
            self._cleaning = None
        if not only:
            self.report = report.to_json()
        if report.leaked and (only or self._actor.parent is None):
            names = ", ".join(f"{item.kind} {item.name}" for item in report.leaked)
            raise HandlerFailed("cleanup", "leaked", f"still there: {names}", ref="report")
        return report.to_json()


def show_failure(failure: HandlerFailed) -> dict[str, str]:
    """What the log and clients get: never the handler's own text."""
    return {"handler": failure.handler, "code": failure.code, "ref": failure.ref, "message": failure.public}
