"""Breaking an agent on purpose, to see it noticed, ended and cleaned up. Off unless the server allows it.

What goes wrong goes wrong in the activity of a real agent actor: the same time-outs, limits, interrupts and clean-up
end it that would end an agent's own mistakes. services["allow_breaking"]: whether clients may.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.context import Context, GuardContext, RunContext
from engine.errors import Refused, ScopeClosed
from engine.registry import action, guard

from .session import find_receiver
from .team import may_break

STUCK_S: Final = 4.0  # from the first attempt to close it: no clean-up waits that long, a person does
TASKS_OVER: Final = 1000  # more than any agent's limit allows; starting them stops at the first that is too many


@guard()
def breaking_allowed(ctx: GuardContext) -> bool:
    """The operator started the server for this."""
    return may_break(ctx.services)


@action()
def break_agent(ctx: Context) -> None:
    """Pass it on to the orchestrator whose agent is meant."""
    payload = ctx.event.payload
    if payload["how"] not in WAYS:
        raise Refused("bad_payload", f"how: there is no {payload['how']!r}; there is: {', '.join(WAYS)}")
    orchestrator, agent = find_receiver(ctx, payload["agent"])
    ctx.send(orchestrator, "fall_ill", {"how": payload["how"], "agent": agent})


@action()
def make_agent_ill(ctx: Context) -> None:
    """The agent named, else the first."""
    payload = ctx.event.payload
    agent: str = payload["agent"] or next(iter(ctx.children), "")
    if agent not in ctx.children:
        raise Refused("unknown_actor", f"there is no agent {agent!r} to break")
    ctx.send(agent, "fall_ill", {"how": payload["how"]})


class StuckFile:
    """An open file that will not be closed for a while, as one on a drive that does not answer."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._until: float | None = None

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        """Raises OSError until STUCK_S have passed since it was called first."""
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + STUCK_S
        if now < self._until:
            raise OSError("the drive does not answer")
        self._file.close()

    def __del__(self) -> None:
        self._file.close()


@action(acquires="files")
async def misbehave(ctx: RunContext) -> None:
    """Do it. What is told on the way is durable, so that a page shows it in its order."""
    how = ctx.event.payload["how"]
    _tell(ctx, "begun", _STORIES[how])
    await WAYS[how](ctx)


@action()
def report_illness(ctx: Context) -> None:
    """What was noticed, as clients may know it: who noticed, and the reference into the server's log."""
    error = ctx.event.payload.get("error") or {"handler": ctx.event.name, "code": "timeout", "ref": ""}
    ctx.emit("agent.broken", {"agent": _name(ctx), "step": "noticed", **error})


async def _hang(ctx: RunContext) -> None:
    await asyncio.Event().wait()


async def _swallow(ctx: RunContext) -> None:
    try:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                _tell(ctx, "defied", "It was cancelled, and went on.")
    except GeneratorExit:
        _tell(ctx, "forced", "Its coroutine was closed under it.")
        raise


async def _raise(ctx: RunContext) -> None:
    raise RuntimeError("broken on purpose")


async def _leak(ctx: RunContext) -> None:
    path = _in_workspace(ctx, "left-open-by")
    file = ctx.resources.open(path, "a")
    file.write("Nobody closes this.\n")
    task = ctx.spawn(_forever(), f"left running by {_name(ctx)}")
    _tell(ctx, "held", "Nobody closes these; the agent's clean-up has to.", held=[path.name, task.get_name()])


async def _stick(ctx: RunContext) -> None:
    path = _in_workspace(ctx, "stuck-open-by")
    ctx.resources.hold("files", path.name, StuckFile(path))
    _tell(ctx, "held", "It will not close when the clean-up wants it to.", held=[path.name])


def _in_workspace(ctx: RunContext, what: str) -> Path:
    workspace = ctx.find("workspace")
    return Path(workspace.handle) / f"{what}-{_name(ctx)}" if workspace is not None else Path(os.devnull)


async def _exceed(ctx: RunContext) -> None:
    before = ctx.counts()["tasks"]
    for number in range(TASKS_OVER):
        asyncio.get_running_loop().create_task(_forever(), name=f"one task too many {number}")
        if "limit_exceeded" in ctx.conditions:
            break
    _tell(ctx, "over", f"{ctx.counts()['tasks'] - before} tasks were started in one go.")
    await asyncio.Event().wait()


async def _forever() -> None:
    await asyncio.Event().wait()


WAYS: Final[Mapping[str, Callable[[RunContext], Awaitable[None]]]] = {
    "hang": _hang,
    "swallow": _swallow,
    "raise": _raise,
    "leak": _leak,
    "stick": _stick,
    "limit": _exceed,
}
_STORIES: Final[Mapping[str, str]] = {
    "hang": "Its handler waits for something that never comes.",
    "swallow": "Its handler hangs, and will not be cancelled.",
    "raise": "Its handler raises.",
    "leak": "Its handler opens a file and starts a task, and forgets both.",
    "stick": "Its handler opens a file on a drive that stops answering.",
    "limit": "Its handler starts tasks without end.",
}


def _name(ctx: GuardContext) -> str:
    return str(ctx.data["agent"])


def _tell(ctx: RunContext, step: str, text: str, **more: object) -> None:
    """Nothing once the activity is over: its state was left, and what it says no longer counts."""
    with suppress(ScopeClosed):
        ctx.emit("agent.broken", {"agent": _name(ctx), "step": step, "text": text, **more})
