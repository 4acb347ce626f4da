"""Questions that transitions ask: synchronous and pure."""

from __future__ import annotations

from engine.context import GuardContext
from engine.registry import guard

from . import turn


@guard()
def result(ctx: GuardContext, *, value: str) -> bool:
    """The activity that ended came out as value: `done` or `needs_input`."""
    outcome = (ctx.event.payload.get("result") or {}).get("outcome")
    return bool(outcome == value)


@guard()
def somewhere(ctx: GuardContext, *, kind: str, states: list[str]) -> bool:
    """An actor of this kind, somewhere below, is in one of these states."""
    return any(view.kind == kind and view.state in states for view in ctx.tree())


@guard()
def sender_has_role(ctx: GuardContext, *, role: str) -> bool:
    """Whoever sent the event has this role, by what authentication found."""
    return role in ctx.event.caller.roles


@guard()
def request_matches(ctx: GuardContext) -> bool:
    """The answer is to the question that is open, not to an older one."""
    request = ctx.data.get("request") or {}
    return bool(request) and bool(request["id"] == ctx.event.payload.get("request"))


@guard()
def has_work(ctx: GuardContext) -> bool:
    """A message that was taken and not finished, and that no interrupt has called off since."""
    work = ctx.data.get("work") or {}
    return bool(work) and not turn.is_called_off(ctx.data, work["id"])


@guard()
def is_asking(ctx: GuardContext) -> bool:
    """A question to a person is open."""
    return bool(ctx.data.get("request"))


@guard()
def is_called_off(ctx: GuardContext) -> bool:
    """The message is of a turn that was interrupted before the message came here."""
    return turn.is_called_off(ctx.data, ctx.event.payload["id"])


@guard()
def whole_team(ctx: GuardContext) -> bool:
    """The event names no single agent."""
    return ctx.event.payload.get("agent") is None


@guard()
def team_opens(ctx: GuardContext) -> bool:
    """The team has something to do by itself, and has not been told to begin yet."""
    return not ctx.data.get("opened") and bool(turn.opening(ctx))


@guard()
def work_is_open(ctx: GuardContext) -> bool:
    """An agent has a message whose reply is still to come."""
    return bool(ctx.data.get("open"))


@guard()
def turn_over(ctx: GuardContext) -> bool:
    """After this reply nobody has work any more, and it makes none."""
    return not turn.after_reply(ctx).open
