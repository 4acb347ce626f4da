"""Handlers of a session that lives long: it tells, asks, counts, and has a worker that comes and goes."""

from __future__ import annotations

from engine.context import Context, RunContext
from engine.registry import action

LONG = """
lifecycle: 1
name: long
machines:
  session:
    owns: {worker: 2}
    initial: up
    events:
      say: {from: [client], payload: {text: str}}
      ask: {from: [client], payload: {text: str}}
      count: {from: [client]}
      work: {from: [client]}
      close: {from: [client, admin]}
      retry: {from: [admin]}
    transitions: {close: ending, failed: ending}
    states:
      up:
        after: {300d: ending}
        transitions: {say: {do: tell}, ask: {do: ask}, count: {do: count}, work: working, restored: []}
      working:
        run: [begin_work]
        after: {300d: ending}
        defer: [say]
        transitions: {done: finishing, restored: up}
      finishing: {run: [{cleanup: {only: [children]}}], after: {1m: ending}, transitions: {done: up, failed: ending}}
      ending: {run: [cleanup], transitions: {done: over, failed: error}}
      over: {final: true}
      error: {quarantine: true, transitions: {retry: ending}}
  worker:
    initial: born
    transitions: {stop: gone, failed: gone}
    states:
      born: {run: [nothing], after: {5s: gone}, transitions: {done: ready}}
      ready: {description: it does what workers do}
      gone: {final: true}
"""


@action()
def tell(ctx: Context) -> None:
    ctx.emit("agent.message", {"agent": "a", "text": ctx.event.payload["text"]})


@action()
def ask(ctx: Context) -> None:
    """Every second question answers the one before it."""
    ctx.data["asked"] = ctx.data.get("asked", 0) + 1
    if ctx.data["asked"] % 2 == 0:
        ctx.emit("input.response", {"request": f"r{ctx.data['asked'] - 1}", "agent": "a", "how": "replaced"})
    else:
        ctx.emit("input.request", {"request": f"r{ctx.data['asked']}", "agent": "a", "prompt": "?"})


@action()
def count(ctx: Context) -> None:
    ctx.data["n"] = ctx.data.get("n", 0) + 1


@action()
async def begin_work(ctx: RunContext) -> None:
    await ctx.start_child("worker", "w", {})


@action()
def nothing(ctx: RunContext) -> None:
    """It is ready at once."""
