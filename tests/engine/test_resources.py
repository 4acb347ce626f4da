"""The books: exact, hierarchical, and about what is really there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from engine.errors import LimitExceeded, RegistryError, ScopeClosed
from engine.resources import LIMITED, Holdings, Ledger, Resource, Resources
from engine.spec import Limits
from engine.steps.probes import BUILT_IN_PROBES, signal_group
from engine.tasks import install_task_factory, owned_context
from engine.testing.virtual import in_virtual_time


class AtZero:
    def now(self) -> float:
        return 0.0


def ledger(parent: Ledger | None = None, on_over: Any = lambda what, is_over: None, **limits: int) -> Ledger:
    return Ledger(Limits(**limits), parent, on_over)


def holdings(given: Ledger | None = None, **limits: int) -> Holdings:
    return Holdings("/", given or ledger(**limits), AtZero())


def resources(of: Holdings, *acquires: str, releases: tuple[str, ...] = (), once: bool = False) -> Resources:
    return Resources(
        of,
        lambda kind: next(iter(of.held(kind)), None),
        lambda: None,
        name="the action",
        acquires=frozenset(acquires),
        releases=frozenset(releases),
        survives=False,
        once=once,
    )


def thing(kind: str = "thing", name: str = "x", size: int = 0) -> Resource:
    return Resource(kind, name, object(), "/", 0.0, size)


# Limits


class LedgerTree(RuleBasedStateMachine):
    """C6: any tree of actors, any order of reservations; a model counts by hand."""

    actors = Bundle("actors")

    def __init__(self) -> None:
        super().__init__()
        self.parents: dict[Ledger, Ledger | None] = {}
        self.most: dict[Ledger, dict[str, int | None]] = {}
        self.own: dict[Ledger, dict[str, int]] = {}
        self.told: dict[Ledger, set[str]] = {}

    def grow(self, parent: Ledger | None, limits: dict[str, int | None]) -> Ledger:
        told: set[str] = set()

        def on_over(what: str, is_over: bool) -> None:
            assert is_over != (what in told), "told twice of the same"
            (told.add if is_over else told.discard)(what)

        grown = Ledger(Limits(**limits), parent, on_over)
        self.parents[grown], self.told[grown] = parent, told
        self.most[grown] = {what: limits.get(what) for what in LIMITED}
        self.own[grown] = dict.fromkeys(LIMITED, 0)
        return grown

    limits = st.dictionaries(st.sampled_from(LIMITED), st.integers(0, 6))

    @initialize(target=actors, limits=limits)
    def plant(self, limits: Any) -> Ledger:
        return self.grow(None, limits)

    @rule(target=actors, parent=actors, limits=limits)
    def add_child(self, parent: Ledger, limits: Any) -> Any:
        return self.grow(parent, limits) if len(self.parents) < 8 else multiple()

    @rule(actor=actors, what=st.sampled_from(LIMITED), count=st.integers(1, 4))
    def reserve(self, actor: Ledger, what: str, count: int) -> None:
        fits = all(self.room(one, what) >= count for one in self.chain(actor))
        if fits:
            actor.reserve(what, count)
            self.own[actor][what] += count
        else:
            with pytest.raises(LimitExceeded, match=what):
                actor.reserve(what, count)

    @rule(actor=actors, what=st.sampled_from(LIMITED), count=st.integers(1, 4))
    def take_without_asking(self, actor: Ledger, what: str, count: int) -> None:
        actor.add(what, count)
        self.own[actor][what] += count

    @rule(actor=actors, what=st.sampled_from(LIMITED), data=st.data())
    def give_back(self, actor: Ledger, what: str, data: Any) -> None:
        count = data.draw(st.integers(0, self.own[actor][what]))
        actor.give_back(what, count)
        self.own[actor][what] -= count

    def chain(self, actor: Ledger | None) -> Any:
        while actor is not None:
            yield actor
            actor = self.parents[actor]

    def total(self, actor: Ledger, what: str) -> int:
        below = [one for one in self.parents if actor in self.chain(one)]
        return sum(self.own[one][what] for one in below)

    def room(self, actor: Ledger, what: str) -> float:
        most = self.most[actor][what]
        return float("inf") if most is None else most - self.total(actor, what)

    @invariant()
    def counts_are_exact(self) -> None:
        for actor in self.parents:
            assert actor.counts == {what: self.total(actor, what) for what in LIMITED}

    @invariant()
    def who_is_over_a_limit_has_been_told(self) -> None:
        for actor in self.parents:
            assert self.told[actor] == {what for what in LIMITED if self.room(actor, what) < 0}


TestLedgerTree = LedgerTree.TestCase


@given(data=st.lists(st.tuples(st.sampled_from(["thing", "files", "processes"]), st.integers(0, 5)), max_size=20))
def test_holding_and_dropping_anything_leaves_no_count(data: list[tuple[str, int]]) -> None:
    """C3, C6: also where the bytes did not fit and the place had been taken before."""
    books = holdings(memory=20, files=4, processes=3)
    held = []
    for kind, size in data:
        before = dict(books.ledger.counts)
        try:
            held.append(books.hold(thing(kind, size=size)))
        except LimitExceeded:
            assert books.ledger.counts == before
    assert books.ledger.counts["memory"] == sum(one.size for one in held) <= 20
    assert set(books.all()) == set(held)
    for one in [*held, *held]:
        books.drop(one)
    assert set(books.ledger.counts.values()) == {0}
    assert books.all() == ()


def test_two_resources_that_look_alike_are_two() -> None:
    """Dropping one must not strike the other."""
    books = holdings()
    first, second = books.hold(thing()), books.hold(thing())
    books.drop(first)
    assert books.held("thing") == (second,)


def test_what_exists_already_is_held_above_the_limit() -> None:
    """What a child could not let go passes to its parent, limit or not: it is there."""
    over: list[tuple[str, bool]] = []
    books = holdings(ledger(on_over=lambda *told: over.append(told), files=1))
    books.hold(thing("files"))
    left = books.hold(thing("files"), reserve=False)
    assert over == [("files", True)]
    books.drop(left)
    assert over == [("files", True), ("files", False)]


# What handlers get


def test_a_kind_that_is_not_declared_is_refused() -> None:
    """C1: `check` proved that what is declared is let go; anything else would be outside of the proof."""
    own = resources(holdings(), "thing")
    own.hold("thing", "x", object())
    with pytest.raises(RegistryError, match="acquires='other'"):
        own.hold("other", "x", object())


def test_an_action_that_keeps_what_is_held_takes_no_second_one() -> None:
    """C1: `check` proved that no circle of states adds to it."""
    own = resources(holdings(), "thing", once=True)
    own.hold("thing", "x", object())
    with pytest.raises(RegistryError, match="a second 'thing'"):
        own.hold("thing", "y", object())


def test_only_a_declared_release_may_strike_a_resource() -> None:
    """C1: else a handler could empty the books and keep the thing."""
    books = holdings()
    held = resources(books, "thing").hold("thing", "x", object())
    with pytest.raises(RegistryError, match="not declared to release"):
        resources(books).drop(held)
    resources(books, releases=("thing",)).drop(held)
    assert books.all() == ()


def test_find_and_held_show_what_is_there() -> None:
    """How clean-up reaches what it must let go."""
    own = resources(holdings(), "thing")
    held = own.hold("thing", "x", object(), size=3)
    assert own.held("thing") == (held,)
    assert own.find("thing") is held
    assert own.find("other") is None


def test_a_ctx_that_is_over_opens_nothing(tmp_path: Path) -> None:
    """M4: a late call of an old activity has no effect."""

    def over() -> None:
        raise ScopeClosed("over")

    late = Resources(
        holdings(), lambda kind: None, over, name="x", acquires=frozenset({"thing"}), releases=frozenset({"thing"}),
        survives=False,
    )  # fmt: skip
    for call in (
        lambda: late.hold("thing", "x", 1),
        lambda: late.drop(thing()),
        lambda: late.open(tmp_path / "x", "w"),
    ):
        with pytest.raises(ScopeClosed):
            call()
    assert not (tmp_path / "x").exists()


def test_what_survives_a_restart_is_listed_for_the_log() -> None:
    """Its handle is JSON; the rest is gone with the process."""
    books = holdings()
    books.hold(Resource("volume", "v", {"id": 7}, "/", 0.0, survives=True))
    books.hold(thing())
    assert books.surviving() == [["volume", "v", {"id": 7}]]


# Files


def test_files_are_counted_and_a_closed_one_frees_its_place(tmp_path: Path) -> None:
    """C6: a handler that closes its files can open as many as it likes, one after another."""
    books = holdings(files=2)
    own = resources(books)
    for number in range(10):
        with own.open(tmp_path / f"{number}", "w") as file:
            file.write("x")
    first, second = own.open(tmp_path / "a", "w"), own.open(tmp_path / "b", "w")
    with pytest.raises(LimitExceeded):
        own.open(tmp_path / "c", "w")
    assert not (tmp_path / "c").exists()
    first.close()
    own.open(tmp_path / "c", "w").close()
    second.close()
    books.sweep()
    assert books.ledger.counts["files"] == 0


def test_a_file_that_does_not_open_takes_no_place(tmp_path: Path) -> None:
    """C6."""
    books = holdings(files=1)
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            resources(books).open(tmp_path / "none" / "x")
    assert books.ledger.counts["files"] == 0


# Tasks


@in_virtual_time
async def test_tasks_are_held_until_they_are_done() -> None:
    """C3."""
    books = holdings(tasks=5)
    install_task_factory(asyncio.get_running_loop())
    task = owned_context(books).run(asyncio.create_task, asyncio.sleep(5), name="sleeper")
    (held,) = books.held("tasks")
    assert (held.name, held.handle) == ("sleeper", task)
    assert not BUILT_IN_PROBES["tasks"](held)
    books.adopt(task)
    assert books.ledger.counts["tasks"] == 1
    await task
    await asyncio.sleep(0)
    assert BUILT_IN_PROBES["tasks"](held)
    assert books.ledger.counts["tasks"] == 0
    books.adopt(task)
    assert books.all() == ()


@in_virtual_time
async def test_more_tasks_than_declared_are_told() -> None:
    """A library's create_task cannot be refused; the machine's limit_exceeded answers for it."""
    over: list[tuple[str, bool]] = []
    books = holdings(ledger(on_over=lambda *told: over.append(told), tasks=2))
    install_task_factory(asyncio.get_running_loop())
    tasks = [owned_context(books).run(asyncio.create_task, asyncio.sleep(5)) for _ in range(3)]
    assert over == [("tasks", True)]
    await asyncio.gather(*tasks)
    await asyncio.sleep(0)
    assert over == [("tasks", True), ("tasks", False)]


@in_virtual_time
async def test_the_error_of_a_task_nobody_awaits_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Being in the books must not make a failure silent."""
    import gc

    books = holdings()
    install_task_factory(asyncio.get_running_loop())

    async def fail() -> None:
        raise ValueError("on purpose")

    task = owned_context(books).run(asyncio.create_task, fail(), name="failing")
    await asyncio.sleep(1)
    del task
    gc.collect()
    assert "on purpose" in caplog.text


# Processes

PARENT_AND_CHILD = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=sys.stdout)
print(child.pid, flush=True)
time.sleep(60)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
MEEK = "import time; print('up', flush=True); time.sleep(60)"


async def start_family(own: Resources, child: str) -> tuple[asyncio.subprocess.Process, int]:
    process = await own.process(sys.executable, "-c", PARENT_AND_CHILD, child, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    lines = [await process.stdout.readline(), await process.stdout.readline()]
    (pid,) = [int(line) for line in lines if line.strip().isdigit()]
    return process, pid


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the kernel tells no event
        await asyncio.sleep(0)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def test_a_process_heads_a_group_of_its_own() -> None:
    """So that what it starts can be ended with it, and our own terminal's signals do not reach it."""
    books = holdings(processes=1)
    own = resources(books)
    process, child = await start_family(own, MEEK)
    (held,) = books.held("processes")
    assert held.name == f"{Path(sys.executable).name} (pid {process.pid})"
    assert os.getpgid(child) == process.pid != os.getpgid(0)
    with pytest.raises(LimitExceeded):
        await own.process("true")
    assert not BUILT_IN_PROBES["processes"](held)
    signal_group(held, signal.SIGKILL)
    await process.wait()
    await until(lambda: BUILT_IN_PROBES["processes"](held))
    assert not is_running(child)
    signal_group(held, signal.SIGKILL)
    books.sweep()
    assert books.ledger.counts["processes"] == 0


async def test_a_process_is_not_gone_while_its_children_run() -> None:
    """C1: the probe looks, and a dead parent does not hide what it left."""
    books = holdings()
    process, child = await start_family(resources(books), STUBBORN)
    (held,) = books.held("processes")
    process.terminate()
    await until(lambda: process.returncode is not None)
    assert is_running(child)
    assert not BUILT_IN_PROBES["processes"](held)
    books.sweep()
    assert books.held("processes") == (held,)
    signal_group(held, signal.SIGKILL)
    await until(lambda: BUILT_IN_PROBES["processes"](held))
    assert not is_running(child)
    await process.wait()


async def test_a_process_that_does_not_start_takes_no_place() -> None:
    """C6."""
    books = holdings(processes=1)
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            await resources(books).process("/does/not/exist")
    assert books.ledger.counts["processes"] == 0


async def test_a_start_that_is_cancelled_leaves_no_process_and_no_place() -> None:
    """C3, C6: at whichever of its awaits."""
    books = holdings(processes=1)
    for turns in range(6):
        task = asyncio.create_task(resources(books).process("sleep", "60", stdout=asyncio.subprocess.PIPE))
        for _ in range(turns):
            await asyncio.sleep(0)
        was_done = task.done()
        task.cancel()
        if was_done:
            process = await task
            process.kill()
            await process.communicate()
            books.sweep()
        else:
            with pytest.raises(asyncio.CancelledError):
                await task
        assert books.ledger.counts["processes"] == 0, turns
