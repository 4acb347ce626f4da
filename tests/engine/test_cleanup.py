"""Clean-up goes through all entries whatever fails, believes only what a look found, and reports every resource."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bounds import PROBE_TIMEOUT_S
from engine.codec import encode
from engine.plan import Call, CleanupPlan
from engine.registry import Bound, Registry, action, probe
from engine.resources import Holdings, Ledger, Resource, Resources
from engine.spec import Limits
from engine.steps.cleanup import CleanupItem, CleanupReport, clean_up
from engine.steps.scope import GRACE_S, run_bounded
from engine.tasks import handler_task, install_task_factory, owned_context
from engine.testing.virtual import in_virtual_time, run_virtual

GENTLE = 5.0
FORCE = 3.0


class Actor:
    """What clean_up() needs of an actor, and no more."""

    path = "/"

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        install_task_factory(loop)
        self.now: Callable[[], float] = loop.time
        self.holdings = Holdings("/", Ledger(Limits(), None, lambda what, is_over: None), self)
        self.called: list[str] = []
        self.children: list[CleanupItem] = []

    async def call_cleanup(self, call: Call, timeout_s: float) -> Any:
        assert call.bound is not None
        self.called.append(call.name)
        value = call.bound(self)
        return await run_bounded(value, self.holdings, call.name, timeout_s) if asyncio.iscoroutine(value) else value

    async def stop_children(self, timeout_s: float) -> list[CleanupItem]:
        self.called.append("children")
        return self.children

    def hold(self, kind: str, handle: Any = None, name: str = "x") -> Resource:
        return self.holdings.hold(Resource(kind, name, handle, "/", self.now()))


class Thing:
    """How it behaves is said by its name, so that hypothesis can choose."""

    def __init__(self, do: str, force: str, look: str) -> None:
        self.ways = {"do": do, "force": force}
        self.look = look
        self.is_open = True


async def behave(thing: Thing, step: str) -> None:
    way = thing.ways[step]
    if way == "raise":
        raise ValueError("on purpose")
    if way == "exit":
        sys.exit(1)
    if way == "hang":
        await asyncio.sleep(3600)
    while way == "swallow":
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue
    if way == "close":
        thing.is_open = False


@action()
async def do(ctx: Any) -> None:
    for resource in ctx.holdings.held("thing"):
        await behave(resource.handle, "do")


@action()
async def force(ctx: Any) -> None:
    for resource in ctx.holdings.held("thing"):
        await behave(resource.handle, "force")


@probe("thing")
async def thing_is_gone(resource: Resource) -> Any:
    look = resource.handle.look
    if look == "raise":
        raise ValueError("on purpose")
    if look == "exit":
        sys.exit(1)
    if look == "hang":
        await asyncio.sleep(3600)
    return {"look": not resource.handle.is_open, "nonsense": "yes", "lie": True}[look]


REGISTRY = Registry.of(do, force, thing_is_gone)


def call(name: str, timeout_s: float) -> Call:
    handler = REGISTRY.get("action", name)
    assert handler is not None
    return Call(name, Bound(handler), {}, timeout_s, None, frozenset(), survives=False)


def entry(kind: str = "thing", *, forced: bool = True) -> CleanupPlan:
    found = REGISTRY.get("probe", kind)
    is_thing = kind == "thing"
    return CleanupPlan(
        kind=kind,
        do=call("do", GENTLE) if is_thing else None,
        force=call("force", FORCE) if is_thing and forced else None,
        timeout_s=GENTLE,
        probe=Bound(found) if found else None,
    )


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


ENDS = ("close", "nothing", "raise", "exit", "hang", "swallow")
FAILURES = {"raise": "raised", "exit": "raised", "hang": "timeout", "swallow": "timeout"}
LOOKS = ("look", "raise", "exit", "hang", "nonsense")


@given(first=st.sampled_from(ENDS), second=st.sampled_from(ENDS), look=st.sampled_from(LOOKS), is_forced=st.booleans())
def test_the_verdict_is_what_the_probe_found(first: str, second: str, look: str, is_forced: bool) -> None:
    """C1, C4: for any behaviour of do, force and probe there is a verdict, in bounded time, and it is true."""

    async def play() -> None:
        actor, thing = Actor(), Thing(first, second, look)
        held = actor.hold("thing", thing)
        report = await clean_up(actor, [entry(forced=is_forced)])
        (item,) = report.items
        if look != "look":
            assert item.verdict == "leaked"
        elif first == "close":
            assert (item.verdict, item.error) == ("released", "")
        elif is_forced and second == "close":
            assert item.verdict == "forced"
        else:
            assert item.verdict == "leaked"
        assert bool(actor.holdings.held("thing")) == (item.verdict == "leaked") == (held in actor.holdings.all())
        bound = GENTLE + FORCE + 2 * GRACE_S + 2 * (PROBE_TIMEOUT_S + GRACE_S)
        assert item.seconds <= bound + 0.1
        was_left = look != "look" or first != "close"
        expected = FAILURES.get(first) or (FAILURES.get(second) if is_forced and was_left else None)
        assert item.error.partition(" ")[0] == (expected or "")
        assert "on purpose" not in json.dumps(report.to_json())
        await settle()
        assert len(asyncio.all_tasks()) == 1

    run_virtual(play())


@in_virtual_time
async def test_what_was_released_is_not_forced() -> None:
    """force is for what is left."""
    actor = Actor()
    actor.hold("thing", Thing("close", "raise", "look"))
    await clean_up(actor, [entry()])
    assert actor.called == ["do"]


@in_virtual_time
async def test_what_is_not_held_is_not_cleaned() -> None:
    """A handler for what was never opened would fail in ways nobody tested."""
    actor = Actor()
    report = await clean_up(actor, [entry(), entry("tasks"), entry("files"), entry("processes")])
    assert (report.items, actor.called) == ([], [])


@in_virtual_time
async def test_entries_go_in_order_whatever_fails() -> None:
    """C2, C4: a hostile entry costs its own bound and keeps none of the others from its turn."""
    actor = Actor()
    actor.children = [CleanupItem("children", "/a", 1.0, "released", 0.5)]
    actor.hold("thing", Thing("swallow", "raise", "hang"), name="hostile")
    task = handler_task(asyncio.sleep(3600), actor.holdings, "sleeper")
    actor.holdings.adopt(task)
    plans = [entry(), CleanupPlan("children", None, None, 5.0, None), entry("tasks")]
    report = await clean_up(actor, plans)
    assert actor.called == ["do", "force", "children"]
    assert [(item.kind, item.verdict) for item in report.items] == [
        ("thing", "leaked"),
        ("children", "released"),
        ("tasks", "released"),
    ]
    assert [item.name for item in report.leaked] == ["hostile"]


@in_virtual_time
async def test_a_kind_without_a_probe_is_never_believed_gone() -> None:
    """C1: "we called close" is no proof."""
    actor = Actor()
    actor.hold("thing", Thing("close", "close", "look"))
    plan = CleanupPlan("thing", call("do", 1), call("force", 1), 1.0, None)
    assert [item.verdict for item in (await clean_up(actor, [plan])).items] == ["leaked"]


@in_virtual_time
async def test_a_plain_probe_that_exits_has_seen_nothing() -> None:
    """C7: it is called in the engine's own task."""

    @probe("plain")
    def look(resource: Resource) -> bool:
        raise SystemExit(1)

    actor = Actor()
    actor.hold("plain")
    handler = Registry.of(look).get("probe", "plain")
    assert handler is not None
    plan = CleanupPlan("plain", None, None, 1.0, Bound(handler))
    assert [item.verdict for item in (await clean_up(actor, [plan])).items] == ["leaked"]


@in_virtual_time
async def test_one_of_several_that_leaks_is_named_and_the_others_are_gone() -> None:
    """Whoever has to look for it must not look for the others."""
    actor = Actor()
    for name, look in (("a", "look"), ("b", "raise"), ("c", "look")):
        actor.hold("thing", Thing("close", "close", look), name)
    report = await clean_up(actor, [entry()])
    assert [(item.name, item.verdict) for item in report.items] == [
        ("a", "released"),
        ("b", "leaked"),
        ("c", "released"),
    ]
    assert [one.name for one in actor.holdings.all()] == ["b"]


@in_virtual_time
async def test_the_report_is_json_and_counts() -> None:
    """It goes into the log, to the parent and to clients."""
    report = CleanupReport(
        [
            CleanupItem("thing", "x", 12.34567, "released", 0.12345),
            CleanupItem("thing", "y", 1.0, "leaked", 2.0, "timeout (ref 1)", {"ok": False}),
        ]
    )
    plain = report.to_json()
    assert encode(plain)
    assert {name: plain[name] for name in ("released", "forced", "leaked", "ok")} == {
        "released": 1,
        "forced": 0,
        "leaked": 1,
        "ok": False,
    }
    assert plain["items"][0] == {
        "kind": "thing",
        "name": "x",
        "age_s": 12.346,
        "verdict": "released",
        "seconds": 0.123,
    }
    assert plain["items"][1]["error"] == "timeout (ref 1)"
    assert plain["items"][1]["report"] == {"ok": False}
    assert CleanupReport().to_json()["ok"]


@in_virtual_time
async def test_the_report_says_how_long_it_was_held_and_how_long_it_took() -> None:
    """Seconds of clean-up are what an operator tunes time-outs by."""
    actor = Actor()
    actor.hold("thing", Thing("hang", "close", "look"))
    await asyncio.sleep(100)
    (item,) = (await clean_up(actor, [entry()])).items
    assert item.age_s == pytest.approx(100, abs=0.01)
    assert item.seconds == pytest.approx(GENTLE, abs=0.01)
    assert item.error.startswith("timeout (ref ")


# Built-in kinds


@in_virtual_time
async def test_tasks_end_all_at_once() -> None:
    """C4: the slowest alone costs time."""
    actor = Actor()

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    tasks = [owned_context(actor.holdings).run(asyncio.create_task, stubborn()) for _ in range(20)]
    await settle()
    report = await clean_up(actor, [entry("tasks")])
    assert [item.verdict for item in report.items] == ["released"] * 20
    assert report.items[0].seconds == pytest.approx(GRACE_S, abs=0.1)
    assert all(task.done() for task in tasks)
    assert actor.holdings.all() == ()


@in_virtual_time
async def test_tasks_that_start_tasks_while_they_end_are_ended_with_them() -> None:
    """C1: what a `finally` starts is the actor's as well."""
    actor = Actor()

    async def heirs(generations: int) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            if generations:
                asyncio.create_task(heirs(generations - 1))  # noqa: RUF006

    owned_context(actor.holdings).run(asyncio.create_task, heirs(2))
    await settle()
    report = await clean_up(actor, [entry("tasks")])
    assert not report.leaked
    assert actor.holdings.all() == ()
    await settle()
    assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_tasks_without_end_are_named() -> None:
    """C4: a task that always starts another cannot be ended, so it is leaked and listed."""
    actor, is_over = Actor(), False

    async def hydra() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            if not is_over:
                asyncio.create_task(hydra(), name="another head")  # noqa: RUF006

    owned_context(actor.holdings).run(asyncio.create_task, hydra())
    await settle()
    report = await clean_up(actor, [entry("tasks")])
    assert report.leaked
    assert {item.name for item in report.leaked} == {one.name for one in actor.holdings.held("tasks")}
    is_over = True
    assert not (await clean_up(actor, [entry("tasks")])).leaked


@in_virtual_time
async def test_a_task_that_nothing_ends_is_leaked_and_stays_listed() -> None:
    """C4."""

    class Opaque(asyncio.Future[None]):
        _callbacks = None

        def cancel(self, msg: Any = None) -> bool:
            return True

    actor, wait = Actor(), Opaque()

    async def unkillable() -> None:
        await wait

    owned_context(actor.holdings).run(asyncio.create_task, unkillable(), name="unkillable")
    await settle()
    report = await clean_up(actor, [entry("tasks")])
    assert [(item.name, item.verdict) for item in report.items] == [("unkillable", "leaked")]
    wait.set_result(None)
    await settle()
    assert actor.holdings.all() == ()


@in_virtual_time
async def test_files_are_closed_even_if_one_cannot_be_flushed(tmp_path: Path) -> None:
    """C3: a full disk must not keep the other files open."""
    actor = Actor()

    class Failing:
        closed = False

        def close(self) -> None:
            self.closed = True
            raise OSError("no space left on device")

    own = Resources(
        actor.holdings, lambda kind: None, lambda: None, name="x", acquires=frozenset(), releases=frozenset(),
        survives=False,
    )  # fmt: skip
    actor.hold("files", Failing(), "failing")
    file = own.open(tmp_path / "a", "w")
    report = await clean_up(actor, [entry("files")])
    assert file.closed
    assert [item.verdict for item in report.items] == ["released", "released"]
    assert report.items[0].error.startswith("raised")
    assert actor.holdings.ledger.counts["files"] == 0


FAMILY = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=sys.stdout)
time.sleep(60)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
MEEK = "import time; print('up', flush=True); time.sleep(60)"


@pytest.mark.parametrize("child, verdict", [(MEEK, "released"), (STUBBORN, "forced")])
async def test_a_process_is_ended_with_its_grandchildren(child: str, verdict: str) -> None:
    """C1, C2: also when the parent has gone first, and a grandchild keeps the pipe and ignores SIGTERM."""
    actor = Actor()
    own = Resources(
        actor.holdings, lambda kind: None, lambda: None, name="x", acquires=frozenset(), releases=frozenset(),
        survives=False,
    )  # fmt: skip
    process = await own.process(sys.executable, "-c", FAMILY, child, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    plan = CleanupPlan("processes", None, None, 0.5 if verdict == "forced" else 10.0, None)
    (item,) = (await clean_up(actor, [plan])).items
    assert item.verdict == verdict
    assert actor.holdings.all() == ()
    assert _living_members(process.pid) == []
    await process.wait()


def _living_members(group: int) -> list[str]:
    stats = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat")]
    return [fields[0] for fields in stats if int(fields[2]) == group and fields[0] not in "ZX"]
