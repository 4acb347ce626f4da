"""Sentences of the contract that are easy to break: each test holds one of them."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, cast

import pytest

from engine.actor import Actor
from engine.context import Context, GuardContext, RunContext
from engine.errors import Corrupt, JournalError
from engine.journal.memory import MemoryJournal
from engine.log.state import fold
from engine.records import Command, Record
from engine.registry import action, check, guard, probe
from engine.resources import Resource
from engine.session import Session
from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time, run_virtual

HERE = sys.modules[__name__]
TICKETS: set[str] = set()  # what outlives a process: somebody else's host, as it were


def services(ctx: GuardContext) -> dict[str, Any]:
    """The rig's own, which tests look into."""
    return cast(dict[str, Any], ctx.services)


class Box:
    def __init__(self) -> None:
        self.is_open = True


@probe("box")
def box_is_gone(resource: Resource) -> bool:
    return not resource.handle.is_open


@probe("ticket")
def ticket_is_gone(resource: Resource) -> bool:
    return resource.handle not in TICKETS


@action(acquires="box")
def open_box(ctx: RunContext) -> None:
    box = Box()
    ctx.services["boxes"].append(box)
    ctx.resources.hold("box", "the box", box)


@action()
async def close_box(ctx: Context) -> None:
    if ctx.services.get("unclosable"):
        raise RuntimeError("it does not close")
    services(ctx).setdefault("log", []).append("close begins")
    await asyncio.sleep(ctx.services.get("close_s", 0.0))
    for resource in ctx.resources.held("box"):
        resource.handle.is_open = False
    ctx.services["log"].append("close is over")


@action()
async def close_box_with_a_task(ctx: Context) -> None:
    async def close() -> None:
        for resource in ctx.resources.held("box"):
            resource.handle.is_open = False

    await ctx.spawn(close(), "closing")


@action()
def spawn_one(ctx: RunContext) -> None:
    ctx.spawn(forever(), "the one task")


@action()
def emit_nonsense(ctx: Context) -> None:
    ctx.emit("agent.message", {"what": object()})


@action()
async def close_box_loudly(ctx: Context) -> None:
    ctx.emit("box.closed", {})
    for resource in ctx.resources.held("box"):
        resource.handle.is_open = False


@action(acquires="ticket", survives=True)
def take_ticket(ctx: RunContext) -> None:
    TICKETS.add("t1")
    ctx.resources.hold("ticket", "t1", "t1")


@action(acquires="ticket", survives=True)
def take_ticket_and_fail(ctx: RunContext) -> None:
    TICKETS.add("t1")
    ctx.resources.hold("ticket", "t1", "t1")
    raise RuntimeError("after it was taken")


@action(acquires="ticket", survives=True)
def take_nonsense(ctx: RunContext) -> None:
    ctx.resources.hold("ticket", "t1", object())


@action()
def return_ticket(ctx: Context) -> None:
    if not ctx.services.get("unclosable"):
        for resource in ctx.resources.held("ticket"):
            TICKETS.discard(resource.handle)


@action()
async def start_kids(ctx: RunContext) -> None:
    for name in ctx.services.get("kids", ("k",)):
        await ctx.start_child("kid", name, {})
    services(ctx).setdefault("log", []).append("kids are there")


@action()
async def start_grandkids(ctx: RunContext) -> None:
    await ctx.start_child("grandkid", "g", {})


@action()
def tell_kid(ctx: Context) -> None:
    ctx.send("k", "work", {"text": str(ctx.event.payload.get("text", ""))})


@action()
async def wait_long(ctx: RunContext) -> None:
    await asyncio.sleep(3600)


@action()
async def wait_5s(ctx: RunContext) -> None:
    await asyncio.sleep(5)


@action()
def nothing(ctx: Context) -> None:
    return None


@action()
async def slowly(ctx: Context) -> None:
    await asyncio.sleep(1)
    ctx.data.setdefault("did", []).append(ctx.event.payload.get("text", ctx.event.name))


@action()
async def for_5m(ctx: Context) -> None:
    await asyncio.sleep(300)


@action()
async def slowly_first(ctx: Context) -> None:
    if ctx.event.payload["text"] == "0":
        await asyncio.sleep(3600)
    ctx.data.setdefault("did", []).append(ctx.event.payload["text"])


@action()
async def for_an_hour(ctx: Context) -> None:
    await asyncio.sleep(3600)


@action()
def write_down(ctx: Context) -> None:
    ctx.data.setdefault("did", []).append(ctx.event.payload.get("text", ctx.event.name))


@action()
def write_event(ctx: Context) -> None:
    ctx.data.setdefault("events", []).append([ctx.event.name, dict(ctx.event.payload)])


@action()
def raise_error(ctx: Context) -> None:
    raise ValueError("no")


@action()
def flaky(ctx: Context) -> None:
    ctx.data["count"] = ctx.data.get("count", 0) + 1
    ctx.emit("agent.message", {"count": ctx.data["count"]})
    services(ctx)["tries"] = ctx.services.get("tries", 0) + 1
    if services(ctx)["tries"] == 1:
        raise RuntimeError("the first time it fails")


@action()
def change_secretly(ctx: RunContext) -> None:
    ctx.data["did"].append("not in the log")


@action()
def heal(ctx: RunContext) -> None:
    services(ctx)["ill"] = False


@check()
def is_well(ctx: GuardContext) -> str | None:
    return "ill" if ctx.services.get("ill") else None


@guard()
def broken(ctx: GuardContext) -> bool:
    raise RuntimeError("no")


async def forever() -> None:
    await asyncio.sleep(1_000_000)


@action()
def leave_a_timer(ctx: RunContext) -> None:
    loop = asyncio.get_running_loop()

    def later() -> None:
        services(ctx)["late"] = loop.create_task(forever(), name="late")

    loop.call_later(5, later)


def rig(text: str, journal: MemoryJournal | None = None, **services: Any) -> Rig:
    return Rig(machines(text, HERE), journal=journal, services={"boxes": [], **services})


async def stop_hard(r: Rig) -> None:
    """The process dies: what was committed is in the journal, nothing after."""
    await r.settle()
    r.journal.hold()  # type: ignore[attr-defined]


def lives(text: str, *parts: Callable[[Rig], Coroutine[Any, Any, Any]], **services: Any) -> Any:
    """Each part plays in a process of its own, on one journal; all but the last die by power failure."""
    journal = MemoryJournal()
    result = None

    async def play(part: Any, *, is_last: bool) -> Any:
        r = rig(text, journal, **services)
        if not is_last:
            await r.manager.start()
            await r.settle()
            got = await part(r)
            await stop_hard(r)
            return got
        async with r:
            return await part(r)

    for number, part in enumerate(parts, start=1):
        result = run_virtual(play(part, is_last=number == len(parts)))
    return result


def impatient(r: Rig) -> None:
    """Bound the entry `children` as if it were computed too short: what force is for."""
    for plan in r.manager.plans.values():
        entries = [replace(one, timeout_s=5.0) if one.kind == "children" else one for one in plan.cleanup]
        object.__setattr__(plan, "cleanup", tuple(entries))


def only(r: Rig) -> Session:
    (session,) = r.manager.sessions()
    return session


ROOT_AND_KID = """
lifecycle: 1
name: t
machines:
  session:
    owns: {{kid: 2}}
    initial: up
    events:
      say: {{from: [client], payload: {{text: str}}}}
      close: {{from: [client]}}
      let_go: {{from: [client]}}
      again: {{from: [client]}}
      retry: {{from: [admin]}}
    transitions: {{close: ending, failed: ending{machine}}}
    {session}
    states:
      up: {{run: [start_kids], after: {{1h: ending}}, transitions: {{done: active}}}}
      active:
        {active}
      letting: {{run: [{{cleanup: {{only: [children]}}}}], after: {{10m: ending}}, transitions: {{done: active}}}}
      ending: {{run: [cleanup], transitions: {{done: over, failed: error}}}}
      over: {{final: true}}
      error: {{quarantine: true, transitions: {{retry: ending}}}}
  kid:
    initial: starting
    events: {{work: {{from: [parent], payload: {{text: str}}}}, poke: {{from: [client]}}}}
    {kid}
    states:
      starting: {{run: [nothing], after: {{5s: stopping}}, transitions: {{done: ready}}}}
      ready: {{transitions: {{work: {work}}}}}
      stopping: {{run: [cleanup], transitions: {{stop: [], done: stopped}}}}
      stopped: {{final: true}}
"""


def family(**parts: str) -> str:
    given = {
        "session": "description: x",
        "active": "after: {8h: ending}\n        transitions: {say: {do: tell_kid}, let_go: letting, again: up}",
        "machine": "",
        "work": "{do: slowly}",
        "kid": "transitions: {stop: stopping, failed: stopping}",
        **parts,
    }
    return ROOT_AND_KID.format(**given)


def test_mail_that_waits_for_a_child_at_its_end_does_not_make_the_log_unreadable() -> None:
    """M8, C5: a child that ended with mail in its box; the next process reads the session."""
    text = family(kid="transitions: {stop: stopped, failed: stopping}")

    async def first(r: Rig) -> None:
        session = await r.create()
        await asyncio.gather(*(r.manager.send(session.sid, name="say", payload={"text": str(n)}) for n in range(3)))
        await r.settle()
        await r.send(session, "let_go")
        await r.advance(5)
        assert [view.path for view in session.tree()] == ["/"]

    async def second(r: Rig) -> None:
        assert only(r).state == "active"

    lives(text, first, second)


THREE = """
lifecycle: 1
name: t
machines:
  session:
    owns: {kid: 1}
    initial: up
    events: {close: {from: [client]}, let_go: {from: [client]}, say: {from: [client]}, retry: {from: [admin]}}
    transitions: {close: ending, failed: ending}
    states:
      up: {run: [start_kids], after: {1h: ending}, transitions: {done: active}}
      active: {after: {8h: ending}, transitions: {let_go: letting, say: {do: tell_kid}}}
      letting: {run: [{cleanup: {only: [children]}}], after: {1h: ending}, transitions: {done: active}}
      ending: {run: [cleanup], transitions: {done: over, failed: error}}
      over: {final: true}
      error: {quarantine: true, transitions: {retry: ending}}
  kid:
    owns: {grandkid: 1}
    initial: starting
    events: {work: {from: [parent], payload: {text: str}}}
    transitions: {stop: stopping, failed: stopping}
    states:
      starting: {run: [start_grandkids], after: {1h: stopping}, transitions: {done: ready}}
      ready: {transitions: {work: {do: {do: for_an_hour, timeout: 2h}}}}
      stopping: {run: [cleanup], transitions: {done: stopped}}
      stopped: {final: true}
  grandkid:
    initial: born
    transitions: {stop: gone, failed: gone}
    states:
      born: {run: [nothing], after: {5s: gone}, transitions: {done: there}}
      there: {description: x}
      gone: {final: true}
"""


def test_a_child_dissolved_by_force_takes_its_children_out_of_the_log() -> None:
    """C2, M8: whoever is struck is struck with all below; the next process finds no orphan."""

    async def first(r: Rig) -> None:
        impatient(r)
        session = await r.create()
        assert [view.path for view in session.tree()] == ["/", "/k", "/k/g"]
        await r.send(session, "say")  # from here on the kid is deaf: it works off one event for an hour
        await r.send(session, "let_go")
        await r.advance(300)
        assert [view.path for view in session.tree()] == ["/"]
        told = (await r.updates(session, "kid.state"))[-1]["data"]
        assert (told["actor"], told["event"], told["final"]) == ("/k", "abandoned", True)

    async def second(r: Rig) -> None:
        assert [view.path for view in only(r).tree()] == ["/"]

    lives(THREE, first, second)


HELD = """
lifecycle: 1
name: t
machines:
  session:
    owns: {kid: 2}
    initial: up
    events: {close: {from: [client]}, retry: {from: [admin]}}
    transitions: {close: ending, failed: ending}
    states:
      up: {run: [start_kids], after: {1h: ending}, transitions: {done: active}}
      active: {after: {1h: ending}}
      ending: {run: [cleanup], transitions: {done: over, failed: error}}
      over: {final: true}
      error: {quarantine: true, transitions: {retry: ending}}
  kid:
    initial: starting
    cleanup: [{release: box, do: close_box, timeout: 2s}]
    transitions: {stop: stopping, failed: stopped}
    states:
      starting: {run: [open_box, nothing], after: {5s: stopping}, transitions: {done: ready}}
      ready: {run: [raise_error], after: {5s: stopping}}
      stopping: {run: [cleanup], transitions: {done: stopped}}
      stopped: {final: true}
"""


@in_virtual_time
async def test_a_child_that_fails_into_its_end_still_holding_something_passes_it_up() -> None:
    """C1: before a final state every probe is clean; what is not passes to the parent, who lets it go or names it."""
    async with rig(HELD) as r:
        session = await r.create()
        await r.advance(1)
        await r.send(session, "close")
        await r.advance(10)
        is_open = r.services["boxes"][0].is_open
        assert (session.state, is_open) in {("over", False), ("error", True)}


ORPHANS = """
lifecycle: 1
name: t
machines:
  session:
    owns: {kid: 2}
    initial: up
    events: {close: {from: [client]}}
    transitions: {close: ending, failed: over}
    states:
      up: {run: [start_kids, raise_error], after: {1h: ending}, transitions: {done: active}}
      active: {after: {1h: ending}}
      ending: {run: [cleanup], transitions: {done: over, failed: over}}
      over: {final: true}
  kid:
    initial: starting
    transitions: {stop: stopping, failed: stopping}
    states:
      starting: {run: [nothing], after: {5s: stopping}, transitions: {done: ready}}
      ready: {run: [wait_long], after: {2h: stopping}}
      stopping: {run: [cleanup], transitions: {done: stopped}}
      stopped: {final: true}
"""


@in_virtual_time
async def test_a_root_that_fails_into_its_end_leaves_no_child_running() -> None:
    """C2, L9: a parent in a final state has no live child, and session.ended is the last event."""
    before = asyncio.all_tasks()
    async with rig(ORPHANS) as r:
        session = await r.create()
        await r.advance(1)
        await r.send(session, "close")
        await r.advance(7300)
        kinds = [one["kind"] for one in await r.updates(session)]
        assert kinds[-1] == "session.ended"
    assert asyncio.all_tasks() == before


@in_virtual_time
async def test_two_refusals_of_the_store_in_a_row_do_not_lose_the_session() -> None:
    """Rebuilding is tried again while the store needs a while, also when it refuses the claim."""
    journal = MemoryJournal()
    async with rig(family(), journal) as r:
        session = await r.create()
        journal.fail_next(Corrupt("", "it is damaged"))
        journal.fail_next(JournalError("not now"))
        await r.send(session, "say", {"text": "x"})
        await r.advance(30)
        assert await r.manager.find(session.sid) is not None
        assert not r.manager.unreadable


class Full(MemoryJournal):
    """Takes no append, lastingly, but reads and claims."""

    claims = 0
    is_full = False

    def append(self, append: Any) -> Any:
        if self.is_full:
            self.fail_next(Corrupt("", "it is damaged"))
        return super().append(append)

    async def claim(self, sid: str) -> Any:
        self.claims += 1
        return await super().claim(sid)


@in_virtual_time
async def test_a_session_whose_commits_are_refused_is_not_rebuilt_in_a_hot_loop() -> None:
    """R2: recovery is bounded, also when it fails right behind its beginning."""
    journal = Full()
    text = alone("after: {1h: ending}, transitions: {go: other, restored: other}")
    async with rig(text, journal) as r:
        session = await r.create()
        journal.is_full = True
        await r.manager.send(session.sid, name="go")
        for _ in range(1000):
            await asyncio.sleep(0)
        rebuilt = journal.claims
        journal.is_full = False
        await r.advance(60)
        assert rebuilt < 10


@in_virtual_time
async def test_a_refused_last_commit_is_not_an_end() -> None:
    """M2, L9: the session has ended when the log says so; if the store refuses that commit it is rebuilt and ends."""
    journal = LastCommitFails()
    async with rig(family(), journal) as r:
        session = await r.create()
        await r.send(session, "close")
        await r.advance(60)
        row = await journal.session(session.sid)
        assert row is not None
        assert row.ended_at is not None
        found = await r.manager.find(session.sid)
        assert found is not None
        assert (await r.updates(found))[-1]["kind"] == "session.ended"


class LastCommitFails(MemoryJournal):
    has_failed = False

    def append(self, append: Any) -> Any:
        if append.ended_at is not None and not self.has_failed:
            self.has_failed = True
            self.fail_next(JournalError("the disk says no"))
        return super().append(append)


HEALTH = """
lifecycle: 1
name: t
machines:
  session:
    initial: active
    events: {close: {from: [client]}}
    transitions: {close: ending, failed: ending}
    health: {every: 10s, checks: [is_well], unhealthy_after: 2}
    states:
      active:
        after: {1h: ending}
        transitions:
          unhealthy:
            - {when: {entered_below: {state: recovering, count: 3, within: 10m}}, to: recovering}
            - ending
      recovering: {run: [heal], after: {40s: ending}, transitions: {done: active}}
      ending: {run: [cleanup], transitions: {done: over, failed: over}}
      over: {final: true}
"""


@in_virtual_time
async def test_one_illness_that_recovery_heals_costs_one_recovery() -> None:
    """R1, R2: what was found before the recovery says nothing about after it."""
    async with rig(HEALTH) as r:
        session = await r.create()
        r.services["ill"] = True
        await r.advance(60)
        assert await r.states(session) == ["recovering", "active"]


@in_virtual_time
async def test_a_duplicate_is_answered_when_the_first_is_durable() -> None:
    """M2, L5: no outcome leaves before its commit is on the disk, a repeated command's neither."""
    journal = MemoryJournal()
    async with rig(family(), journal) as r:
        session = await r.create()
        journal.hold()
        sends = [
            asyncio.ensure_future(
                r.manager.send(session.sid, name="say", payload={"text": "x"}, command=Command("c", 1, "x"))
            )
        ]
        await r.settle()
        sends.append(
            asyncio.ensure_future(
                r.manager.send(session.sid, name="say", payload={"text": "x"}, command=Command("c", 1, "x"))
            )
        )
        await r.settle()
        told = [one.done() for one in sends]
        journal.release()
        await asyncio.gather(*sends)
        assert told == [False, False]


@in_virtual_time
async def test_already_is_told_when_what_is_already_so_is_durable() -> None:
    """M2: the second terminate says `already` only if the first is on the disk."""
    journal = MemoryJournal()
    async with rig(family(), journal) as r:
        session = await r.create()
        journal.hold()
        sends = [asyncio.ensure_future(r.manager.send(session.sid, name="close")) for _ in range(2)]
        await r.settle()
        told = [one.done() for one in sends]
        journal.release()
        await asyncio.gather(*sends)
        assert told == [False, False]


DEFER = """
lifecycle: 1
name: t
machines:
  session:
    initial: up
    events: {say: {from: [client], payload: {text: str}}, close: {from: [client]}, go: {from: [client]}}
    transitions: {close: over, failed: over}
    states:
      up: {after: {1h: over}, defer: [say], transitions: {go: active}}
      active: {after: {1h: over}, transitions: {say: {do: slowly}}}
      over: {final: true}
"""


@in_virtual_time
async def test_what_is_on_offer_when_the_session_ends_is_refused_once_and_before_the_end() -> None:
    """L9, M5: session.ended is the last event, and each deferred command gets one outcome."""
    async with rig(DEFER) as r:
        session = await r.create()
        for n in (1, 2, 3):
            await r.send(session, "say", {"text": str(n)}, command=Command("c", n, str(n)))
        await r.send(session, "go")
        await r.send(session, "close")
        await r.advance(10)
        updates = await r.updates(session)
        assert updates[-1]["kind"] == "session.ended"
        late = [one["re"]["c"] for one in updates if one["kind"] == "command.outcome"]
        assert late == [2, 3]


CUT = """
lifecycle: 1
name: t
machines:
  session:
    initial: up
    events: {close: {from: [client]}}
    transitions: {close: ending, failed: ending}
    cleanup: [{release: box, do: close_box, timeout: 8s}]
    states:
      up: {run: [open_box], after: {1h: ending}, transitions: {done: letting}}
      letting: {run: [{cleanup: {only: [box]}}], after: {1h: ending}, transitions: {done: idle}}
      idle: {after: {1h: ending}}
      ending: {run: [cleanup], transitions: {done: over, failed: over}}
      over: {final: true}
"""


@in_virtual_time
async def test_leaving_a_state_waits_for_its_partial_cleanup() -> None:
    """`cleanup: {only: …}`: leaving its state waits for it; it is not cut half-way."""
    async with rig(CUT, close_s=2.0) as r:
        session = await r.create()
        await r.advance(1)
        await r.send(session, "close")
        await r.advance(5)
        assert r.services["log"] == ["close begins", "close is over"]
        assert session.state == "over"


@in_virtual_time
async def test_an_event_for_an_actor_that_is_being_dissolved_is_answered() -> None:
    """M5: whoever sends an event gets its outcome, also while the session leaves."""
    r = rig(CUT, close_s=2.0)
    await r.manager.start()
    session = await r.create()
    await r.advance(0.5)
    leaving = asyncio.ensure_future(r.manager.shutdown(30))
    await r.advance(0.5)
    sent = asyncio.ensure_future(r.manager.send(session.sid, name="close"))
    await leaving
    await asyncio.sleep(100)
    is_answered = sent.done()
    sent.cancel()
    assert is_answered


RETRY = """
lifecycle: 1
name: t
machines:
  session:
    initial: active
    events: {say: {from: [client], payload: {text: str}}, close: {from: [client]}}
    transitions: {close: over, failed: over}
    states:
      active: {after: {1h: over}, transitions: {say: {do: {do: flaky, retry: {attempts: 2}}}}}
      over: {final: true}
"""


@in_virtual_time
async def test_a_failed_attempt_of_a_do_leaves_nothing_in_the_step() -> None:
    """M3: what an attempt that failed emitted and changed is not committed with the one that worked."""
    async with rig(RETRY) as r:
        session = await r.create()
        assert (await r.send(session, "say", {"text": "x"})).status == "done"
        assert session.data["count"] == 1
        assert len(await r.updates(session, "agent.message")) == 1


ALONE = """
lifecycle: 1
name: t
machines:
  session:
    initial: up
    events:
      say: {{from: [client], payload: {{text: str}}}}
      close: {{from: [client]}}
      go: {{from: [client]}}
      retry: {{from: [admin]}}
    transitions: {{close: ending, failed: ending}}
    limits: {{tasks: 1}}
    cleanup: [{cleanup}]
    states:
      up: {{{up}}}
      other: {{{other}}}
      ending: {{run: [cleanup], transitions: {{done: over, failed: error}}}}
      over: {{final: true}}
      error: {{quarantine: true, transitions: {{retry: ending}}}}
"""


def alone(up: str, other: str = "after: {1h: ending}", cleanup: str = "files") -> str:
    return ALONE.format(up=up, other=other, cleanup=cleanup)


BOX = "{release: box, do: close_box, timeout: 2s}"
TICKET = "{release: ticket, do: return_ticket, timeout: 2s}"


@in_virtual_time
async def test_a_failed_whose_guard_raises_is_still_handled() -> None:
    """M3, M7: every `failed` is handled; one whose guard raises takes the next row, it does not strand the actor."""
    text = alone("run: [{do: raise_error, timeout: 5s}], transitions: {failed: [{when: broken, to: other}, ending]}")
    async with rig(text) as r:
        session = await r.create()
        await r.advance(60)
        assert session.state in ("other", "over")


@in_virtual_time
async def test_a_surviving_handle_that_is_no_json_fails_its_handler_only() -> None:
    """M3: a nonsense handle is refused where it is given; the session still ends."""
    async with rig(
        alone(
            "run: [{do: take_nonsense, timeout: 5s}], after: {1h: ending}, transitions: {done: other}", cleanup=TICKET
        )
    ) as r:
        session = await r.create()
        await r.advance(1)
        await r.send(session, "close")
        await r.advance(30)
        assert session.state == "over"


@in_virtual_time
async def test_a_condition_that_becomes_true_on_the_way_is_taken_once() -> None:
    """Raised when it becomes true and on entering a state that lists it: one condition, one event."""
    text = alone(
        "after: {1h: ending}, transitions: {say: {do: slowly, to: other}}",
        "after: {1h: ending}, transitions: {last_connection_lost: {do: write_event}}",
    )
    async with rig(text) as r:
        session = await r.create()
        sent = asyncio.ensure_future(r.manager.send(session.sid, name="say", payload={"text": "x"}))
        await r.advance(0.5)
        r.attachment.detach()
        await sent
        await r.settle()
        assert len(session.data["events"]) == 1


def test_after_a_restart_a_condition_is_taken_once() -> None:
    """The same after a restart: `last_connection_lost` holds and is raised for the restored state, once."""
    text = alone("after: {1h: ending}, transitions: {last_connection_lost: {do: write_event}}")

    async def first(r: Rig) -> None:
        session = await r.create(is_connected=False)
        assert len(session.data["events"]) == 1

    async def second(r: Rig) -> None:
        assert len(only(r).data.get("events", [])) == 2

    lives(text, first, second)


def test_a_timer_whose_do_failed_does_not_fire_again_after_a_restart() -> None:
    """A timer fires once: what a record has handled is not handled by the next process."""
    text = alone("after: {2s: {do: raise_error}, 1h: ending}, transitions: {failed: {do: write_event}}")

    async def first(r: Rig) -> None:
        session = await r.create()
        await r.advance(5)
        assert len(session.data["events"]) == 1

    async def second(r: Rig) -> None:
        await r.advance(5)
        assert len(only(r).data["events"]) == 1

    lives(text, first, second)


class DiesAt(MemoryJournal):
    """Takes nothing any more once `should_die` says so of an append."""

    should_die: Callable[[Record], bool] = staticmethod(lambda record: False)

    def append(self, append: Any) -> Any:
        if not self._is_held and self.should_die(Record.decode(append.record)):
            self._run()
            self.hold()
        return super().append(append)


def test_an_activity_goes_on_after_a_crash_with_a_failed_of_another_event_owed() -> None:
    """After a crash `run` goes on: only its own end, `done` or `failed`, takes its place."""
    text = alone(
        "run: [wait_5s], after: {2s: {do: raise_error}, 1h: ending},"
        " transitions: {failed: {do: write_event}, done: other}"
    )
    journal = DiesAt()
    journal.should_die = lambda record: record.op == "step"

    async def first() -> None:
        r = rig(text, journal)
        await r.manager.start()
        await r.create()
        await r.advance(3)

    async def second() -> None:
        journal.should_die = lambda record: False
        async with rig(text, journal) as r:
            await r.advance(20)
            assert only(r).state == "other"

    run_virtual(first())
    run_virtual(second())


KID_STARTS_AGAIN = family(
    kid="transitions: {stop: stopping, failed: stopping}",
).replace(
    "starting: {run: [nothing], after: {5s: stopping}, transitions: {done: ready}}",
    "starting: {run: [wait_5s], after: {20s: stopping}, transitions: {done: ready, restored: starting}}",
)


def test_start_child_waits_for_a_child_that_restored_sends_back_to_its_beginning() -> None:
    """`start_child` returns when the child has left its initial state, also one that began anew."""

    async def first(r: Rig) -> None:
        await r.create()
        await r.advance(2)

    async def second(r: Rig) -> None:
        await r.advance(1)
        states = {view.path: view.state for view in only(r).tree()}
        assert states == {"/": "up", "/k": "starting"}
        await r.advance(5)
        assert {view.path: view.state for view in only(r).tree()} == {"/": "active", "/k": "ready"}

    lives(KID_STARTS_AGAIN, first, second)


def test_mail_of_a_child_that_was_struck_is_not_delivered_to_its_successor() -> None:
    """M5, M8: a live process and one that crashed do the same with what was sent to a child that is gone."""
    text = family(work="{do: {do: slowly_first, timeout: 2h}}")

    async def first(r: Rig) -> None:
        impatient(r)
        session = await r.create()
        # The kid is busy with one when it is struck; the others wait in its box.
        for n in range(3):
            await r.send(session, "say", {"text": str(n)})
        await r.send(session, "let_go")
        await r.advance(120)
        assert [view.path for view in session.tree()] == ["/"]
        assert session.state == "active"
        await r.send(session, "again")
        await r.advance(1)
        assert [view.path for view in session.tree()] == ["/", "/k"]
        assert session.actors["/k"].data == {}

    async def second(r: Rig) -> None:
        await r.advance(4000)
        assert only(r).actors["/k"].data == {}

    lives(text, first, second)


def test_counts_add_up_after_a_restart() -> None:
    """C3: created = final + live."""

    async def first(r: Rig) -> None:
        await r.create()

    async def second(r: Rig) -> None:
        await r.send(only(r), "close")
        await r.advance(5)
        counts = r.manager.counts()
        assert counts["created"] == counts["final"] + counts["live"]

    lives(family(), first, second)


@in_virtual_time
async def test_child_ended_carries_the_report() -> None:
    """`child_ended` (kind, id, state, report)."""
    text = family(machine=", child_ended: {do: write_event}")
    async with rig(text) as r:
        session = await r.create()
        await r.send(session, "let_go")
        await r.advance(1)
        ((name, payload),) = session.data["events"]
        assert (name, payload["id"], payload["state"]) == ("child_ended", "k", "stopped")
        assert payload["report"] is not None
        assert payload["report"]["ok"]


@in_virtual_time
async def test_a_full_cleanup_is_not_left_because_another_events_do_failed() -> None:
    """The full `cleanup` fails only if something leaked, and nothing else cuts it off."""
    text = family(
        session="cleanup: [children, {release: box, do: close_box, timeout: 8s}]",
        machine=", child_ended: {do: raise_error}",
    ).replace("up: {run: [start_kids]", "up: {run: [open_box, start_kids]")
    async with rig(text, close_s=2.0) as r:
        session = await r.create()
        await r.send(session, "close")
        await r.advance(10)
        assert session.state == "over"


LATE = """
lifecycle: 1
name: t
machines:
  session:
    owns: {kid: 2}
    initial: up
    events: {close: {from: [client]}}
    transitions: {close: ending, failed: ending}
    states:
      up: {run: [start_kids], after: {1h: ending}, transitions: {done: active}}
      active: {after: {1h: ending}}
      ending: {run: [cleanup], transitions: {done: over, failed: over}}
      over: {final: true}
  kid:
    initial: starting
    transitions: {stop: stopping, failed: stopping}
    states:
      starting: {run: [nothing], after: {5s: stopping}, transitions: {done: ready}}
      ready: {run: [leave_a_timer], after: {10s: stopping}, transitions: {done: stopping}}
      stopping: {run: [cleanup], transitions: {done: stopped}}
      stopped: {final: true}
"""


@in_virtual_time
async def test_a_task_that_starts_after_its_child_ended_is_the_parents_to_end() -> None:
    """C1, C3: no task without an owner; a timer that a handler left behind starts one later."""
    async with rig(LATE) as r:
        session = await r.create()
        await r.advance(6)
        assert [view.path for view in session.tree()] == ["/"]
        assert not r.services["late"].done()
        await r.send(session, "close")
        await r.advance(5)
        assert session.state == "over"
        assert r.services["late"].done()


@in_virtual_time
async def test_a_task_that_starts_after_its_session_ended_is_ended_at_once() -> None:
    """C1, C3: the same when nobody is left to own it."""
    async with rig(LATE) as r:
        session = await r.create()
        await r.send(session, "close")
        await r.advance(1)
        assert session.state == "over"
        await r.advance(6)
        assert r.services["late"].done()


@in_virtual_time
async def test_what_could_not_be_let_go_is_not_forgotten_by_a_rebuild() -> None:
    """C1, C4: what cannot be let go is named and kept track of, also when the store made us begin anew."""
    journal = MemoryJournal()
    text = alone("run: [open_box], after: {1h: ending}, transitions: {done: other}", cleanup=BOX)
    async with rig(text, journal) as r:
        session = await r.create()
        r.services["unclosable"] = True
        journal.fail_next(Corrupt("", "it is damaged"))
        await r.send(session, "go")
        await r.send(session, "close")
        await r.advance(30)
        again = await r.manager.find(session.sid)
        assert again is not None
        if again.state != "error":
            await r.send(again, "close")
            await r.advance(30)
        assert again.state == "error"
        for box in r.services["boxes"]:
            box.is_open = False


SURVIVOR = """
lifecycle: 1
name: t
machines:
  session:
    owns: {kid: 2}
    initial: up
    events: {close: {from: [client]}, say: {from: [client]}, retry: {from: [admin]}}
    transitions: {close: ending, failed: ending}
    states:
      up: {run: [start_kids], after: {1h: ending}, transitions: {done: active}}
      active: {after: {8h: ending}, transitions: {say: {do: tell_kid}}}
      ending: {run: [cleanup], transitions: {done: over, failed: error}}
      over: {final: true}
      error: {quarantine: true, transitions: {retry: ending}}
  kid:
    initial: starting
    events: {work: {from: [parent], payload: {text: str}}}
    cleanup: [{release: ticket, do: return_ticket, timeout: 2s}]
    transitions: {stop: stopping, failed: stopping}
    states:
      starting: {run: [take_ticket], after: {1h: stopping}, transitions: {done: ready}}
      ready: {transitions: {work: {do: {do: for_an_hour, timeout: 2h}}}}
      stopping: {run: [cleanup], transitions: {done: stopped}}
      stopped: {final: true}
"""


@in_virtual_time
async def test_what_survives_a_restart_is_let_go_when_its_child_is_struck() -> None:
    """C1: a child dissolved by its parent's clean-up ends here and for ever; its survivors are let go or passed up."""
    TICKETS.clear()
    async with rig(SURVIVOR) as r:
        impatient(r)
        session = await r.create()
        assert TICKETS
        await r.send(session, "say")  # the kid is deaf from here on
        await r.send(session, "close")
        await r.advance(300)
        assert session.state in ("over", "error")
        assert not TICKETS or session.state == "error"


def test_a_survivor_that_was_passed_up_is_the_parents_also_after_a_crash() -> None:
    """C1: from the record of the child's end on, it is in the parent's books."""
    TICKETS.clear()
    text = SURVIVOR.replace(
        "ready: {transitions", "ready: {run: [{do: wait_5s, timeout: 6s}, {do: raise_error, timeout: 1s}], transitions"
    )

    async def first(r: Rig) -> None:
        await r.create()
        await r.advance(60)
        assert [view.path for view in only(r).tree()] == ["/"]

    async def second(r: Rig) -> None:
        session = only(r)
        root = session.root
        assert root is not None
        assert [one.name for one in root.holdings.held("ticket")] == ["t1"]
        await r.send(session, "close")
        await r.advance(10)
        assert session.state == "error"

    lives(text, first, second, unclosable=True)


def test_a_survivor_of_a_step_that_failed_is_known_after_a_crash() -> None:
    """C1: what a step took before it failed is in the record that says so."""
    TICKETS.clear()
    text = alone(
        "run: [{do: take_ticket_and_fail, timeout: 5s}], after: {1h: ending}, transitions: {failed: other}",
        cleanup=TICKET,
    )
    journal = DiesAt()
    journal.should_die = lambda record: record.op == "step"

    async def first() -> None:
        r = rig(text, journal)
        await r.manager.start()
        await r.create()

    async def second() -> None:
        journal.should_die = lambda record: False
        async with rig(text, journal) as r:
            session = only(r)
            await r.send(session, "close")
            await r.advance(5)
            assert session.state == "over"
            assert not TICKETS

    run_virtual(first())
    assert TICKETS
    run_virtual(second())


@in_virtual_time
async def test_a_session_that_stops_here_is_let_go_without_records() -> None:
    """Released through `cleanup` without records: what a clean-up handler emits then is no event of the log."""
    text = alone(
        "run: [open_box], after: {1h: ending}, transitions: {done: other}",
        cleanup=BOX.replace("close_box", "close_box_loudly"),
    )
    journal = MemoryJournal()
    r = rig(text, journal)
    await r.manager.start()
    session = await r.create()
    before = len(await r.updates(session))
    await r.manager.shutdown(10)
    async with rig(text, journal) as again:
        kinds = [one["kind"] for one in await again.updates(only(again))]
        assert len([kind for kind in kinds if kind == "box.closed"]) == 0
        assert before <= len(kinds)


@pytest.mark.parametrize("turn", range(1, 5))
def test_shutdown_at_any_turn_of_a_creation_leaves_nothing_running(turn: int) -> None:
    """C5, L13: what is created while the server leaves is whole and let go of, or none."""

    async def play() -> None:
        before = asyncio.all_tasks()
        r = rig(CUT.replace("done: letting", "done: idle"), close_s=2.0)
        await r.manager.start()
        await r.create()  # takes two seconds to let go
        making = asyncio.ensure_future(r.manager.create())
        for _ in range(turn):
            await asyncio.sleep(0)
        await r.manager.shutdown(30)
        await asyncio.wait({making})
        await r.settle()
        left = asyncio.all_tasks() - before
        assert not left
        assert not [box for box in r.services["boxes"] if box.is_open]

    run_virtual(play())


@in_virtual_time
async def test_shutdown_while_a_session_is_rebuilt_leaves_nothing_running() -> None:
    """L13: what comes back while the server leaves is let go of like the rest."""
    before = asyncio.all_tasks()
    journal = MemoryJournal()
    text = alone(
        "run: [open_box], after: {1h: ending}, transitions: {done: other}",
        "run: [wait_long], after: {2h: ending}, transitions: {go: {do: nothing}}",
        cleanup="{release: box, do: close_box, timeout: 5s}",
    )
    r = rig(text, journal)
    await r.manager.start()
    first, second = await r.create(), await r.create()
    assert (first.state, second.state) == ("other", "other")
    r.services["close_s"] = 2.0
    journal.fail_next(Corrupt("", "it is damaged"))
    sent = asyncio.ensure_future(r.manager.send(first.sid, name="go", command=Command("c", 1, "x")))
    await asyncio.sleep(1.9)
    leaving = asyncio.ensure_future(r.manager.shutdown(30))
    await asyncio.wait({leaving, sent})
    await r.settle()
    left = asyncio.all_tasks() - before
    names = sorted(task.get_name() for task in left)
    for task in left:
        task.cancel()
    assert not names


SECRET = alone("run: [change_secretly], after: {1h: ending}, transitions: {done: other}")


@in_virtual_time
async def test_an_activity_changes_no_data_behind_the_logs_back() -> None:
    """M8: an activity changes data only through the result of `done`; deep down too."""
    async with rig(SECRET) as r:
        session = await r.create(data={"did": []})
        image = fold(await r.records(session.sid))
        assert image.actors["/"].data == session.data


@in_virtual_time
async def test_mail_between_actors_is_bounded() -> None:
    """L11: the mailbox is bounded for everyone; an actor that sends more than is taken hears `Busy`."""
    async with rig(family()) as r:
        session = await r.create()
        for n in range(400):
            await r.manager.send(session.sid, name="say", payload={"text": str(n)})
        assert len(session.actors["/k"].mailbox) <= 257


@in_virtual_time
async def test_clean_up_is_outside_the_limits() -> None:
    """A clean-up handler may start a task when all places are taken: that is when it is needed most."""
    text = alone(
        "run: [open_box, spawn_one], after: {1h: ending}, transitions: {done: other}",
        cleanup="{release: box, do: close_box_with_a_task, timeout: 2s}",
    )
    async with rig(text) as r:
        session = await r.create()
        await r.send(session, "close")
        await r.advance(10)
        assert session.state == "over"
        assert session.report is not None
        assert {item["kind"]: item["verdict"] for item in session.report["items"]}["box"] == "released"
        r.services["boxes"][0].is_open = False


@in_virtual_time
async def test_a_child_in_the_middle_of_a_long_do_is_waited_for() -> None:
    """The bound of the entry `children` is computed from theirs: a step may take what its time-out says."""
    text = family(work="{do: {do: for_5m, timeout: 10m}}")
    async with rig(text) as r:
        session = await r.create()
        await r.send(session, "say", {"text": "x"})
        await r.send(session, "close")
        await r.advance(500)
        assert session.report is not None
        assert [item["verdict"] for item in session.report["items"]] == ["released"]


@in_virtual_time
async def test_a_write_off_that_is_not_taken_forgets_nothing() -> None:
    """If one action of a `do` fails, nothing has changed: the leak is still in the books."""
    text = alone("run: [open_box], after: {1h: ending}, transitions: {done: other}", cleanup=BOX).replace(
        "retry: ending}", "retry: {do: [write_off, raise_error], to: over}}"
    )
    async with rig(text, unclosable=True) as r:
        session = await r.create()
        await r.send(session, "close")
        assert session.state == "error"
        assert (await r.send(session, "retry", origin="admin")).status == "failed"
        assert session.root is not None
        assert [one.kind for one in session.root.holdings.all()] == ["box"]
        assert not r.manager.written_off_list
        r.services["boxes"][0].is_open = False


@in_virtual_time
async def test_a_step_that_was_not_taken_is_no_cause_of_the_end() -> None:
    """`session.ended` says why: the event that took it there, not one whose `do` came to nothing."""
    async with rig(alone("after: {1h: ending}, transitions: {go: {do: emit_nonsense, to: ending}}")) as r:
        session = await r.create()
        assert (await r.send(session, "go")).status == "failed"
        await r.send(session, "close")
        assert "close" in (await r.updates(session))[-1]["data"]["why"]


@in_virtual_time
async def test_what_a_struck_child_had_deferred_is_answered() -> None:
    """M5: deferred, and later what came of it: also when the child is dissolved by force."""
    text = family(work="{do: {do: for_an_hour, timeout: 2h}}", kid="transitions: {stop: stopping, failed: stopping}")
    text = text.replace("ready: {transitions: {", "ready: {defer: [poke], transitions: {")
    async with rig(text) as r:
        impatient(r)
        session = await r.create()
        deferred = await r.send(session, "poke", to="/k", command=Command("c", 1, "x"))
        assert deferred.status == "deferred"
        await r.send(session, "say", {"text": "x"})
        await r.send(session, "let_go")
        await r.advance(500)
        assert [view.path for view in session.tree()] == ["/"]
        assert [one["re"] for one in await r.updates(session, "command.outcome")] == [{"cid": "c", "c": 1}]


def test_memory_is_accounted_after_a_restart() -> None:
    """C3: the counters of what an actor's data takes are the same in the next process."""
    text = alone("after: {1h: ending}, transitions: {say: {do: write_down}}")

    async def first(r: Rig) -> None:
        session = await r.create()
        await r.send(session, "say", {"text": "x" * 1000})
        assert session.root is not None
        r.services["memory"] = session.root.holdings.ledger.counts["memory"]
        assert r.services["memory"] > 1000

    async def second(r: Rig) -> None:
        root = only(r).root
        assert root is not None
        assert root.holdings.ledger.counts["memory"] > 1000

    lives(text, first, second)


@in_virtual_time
async def test_a_condition_that_flaps_waits_once() -> None:
    """L11: dialling and hanging up a thousand times while a step runs leaves no thousand events behind."""
    async with rig(alone("after: {1h: ending}, transitions: {say: {do: slowly}}")) as r:
        session = await r.create()
        sent = asyncio.ensure_future(r.manager.send(session.sid, name="say", payload={"text": "x"}))
        await r.advance(0.5)
        r.attachment.detach()
        for _ in range(1000):
            session.attach("control").detach()
        assert session.root is not None
        assert len(session.root.mailbox) < 10
        await sent


@in_virtual_time
async def test_an_ended_session_lets_its_actors_go() -> None:
    """L11: of a session that has ended nothing stays but what its log needs."""
    async with rig(family()) as r:
        session = await r.create()
        sid = session.sid
        await r.send(session, "close")
        await r.advance(1)
        gc.collect()
        alive = [one for one in gc.get_objects() if isinstance(one, Actor) and one.session.sid == sid]
        assert not alive


@in_virtual_time
async def test_a_clean_up_step_keeps_its_own_time_out() -> None:
    """A step's long form says its time-out, in `cleanup` too."""
    text = alone(
        "run: [open_box], after: {1h: ending}, transitions: {done: other}",
        cleanup="{release: box, do: {do: close_box, timeout: 1s}, timeout: 60s}",
    )
    async with rig(text, close_s=30.0) as r:
        session = await r.create()
        await r.send(session, "close")
        await r.advance(5)
        assert session.state == "error"
        r.services["boxes"][0].is_open = False


def test_a_store_that_hiccups_at_the_start_costs_no_session() -> None:
    """A stored session that could not be claimed at first is brought back when the store is well again."""
    journal = MemoryJournal()

    async def first() -> None:
        r = rig(family(), journal)
        await r.manager.start()
        await r.create()
        await r.manager.shutdown(5)

    async def second() -> None:
        journal.fail_next(JournalError("not now"))
        async with rig(family(), journal) as r:
            await r.advance(60)
            assert len(r.manager.sessions()) == 1

    run_virtual(first())
    run_virtual(second())
