"""Letting go: the clean-up entries of a kind in order, whatever fails, and a report of what a look found."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from ..bounds import PROBE_TIMEOUT_S
from ..errors import HandlerFailed
from ..plan import Call, CleanupPlan
from ..resources import Holdings, Resource
from ..tasks import call_owned
from .probes import BUILT_IN_PROBES, FORCED_KILL_S, close_pipes, signal_group
from .scope import end_task, handler_failure, run_bounded

TASK_ROUNDS: Final = 3  # a task may start others while it is cancelled
GROUP_POLL_S: Final = 0.02  # nothing tells when the last of a process group is gone

Verdict = Literal["released", "forced", "leaked"]


@dataclass(frozen=True, slots=True)
class CleanupItem:
    """One resource: what became of it. age_s: how long it was held; seconds: how long its entry took."""

    kind: str
    name: str
    age_s: float
    verdict: Verdict
    seconds: float
    error: str = ""
    report: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "kind": self.kind,
            "name": self.name,
            "age_s": round(self.age_s, 3),
            "verdict": self.verdict,
            "seconds": round(self.seconds, 3),
        }
        if self.error:
            plain["error"] = self.error
        if self.report is not None:
            plain["report"] = self.report
        return plain


@dataclass(slots=True)
class CleanupReport:
    """Every resource that was held when the clean-up began, in the order of the entries."""

    items: list[CleanupItem] = field(default_factory=list)

    @property
    def leaked(self) -> tuple[CleanupItem, ...]:
        return tuple(item for item in self.items if item.verdict == "leaked")

    def to_json(self) -> dict[str, Any]:
        """released and forced count the children's reports too; what a child leaked is its parent's, and is counted
        by what became of it there."""
        counts = dict.fromkeys(("released", "forced", "leaked"), 0)
        for item in self.items:
            counts[item.verdict] += 1
            for verdict in ("released", "forced"):
                counts[verdict] += (item.report or {}).get(verdict, 0)
        return {**counts, "ok": not counts["leaked"], "items": [item.to_json() for item in self.items]}


class Cleanable(Protocol):
    """What clean_up() needs of an actor."""

    path: str
    holdings: Holdings

    def now(self) -> float: ...
    async def call_cleanup(self, call: Call, timeout_s: float) -> Any: ...
    async def stop_children(self, timeout_s: float) -> list[CleanupItem]: ...


async def clean_up(actor: Cleanable, entries: Iterable[CleanupPlan]) -> CleanupReport:
    """Walk the entries in order whatever fails. What the probe calls gone is struck from the actor's books."""
    report = CleanupReport()
    for entry in entries:
        if entry.kind == "children":
            report.items += await actor.stop_children(entry.timeout_s)
        else:
            report.items += await _let_go(actor, entry)
    return report


async def _let_go(actor: Cleanable, entry: CleanupPlan) -> list[CleanupItem]:
    held = actor.holdings.held(entry.kind)
    if not held:
        return []
    began = actor.now()
    error = await _attempt(entry.kind, _release(actor, entry, held))
    held = _with_new(actor, entry, held)
    left = await _still_there(actor, entry, held)
    was_left = set(left)
    if left:
        forced = await _attempt(entry.kind, _force(actor, entry, left))
        error = error or forced
        known, held = set(held), _with_new(actor, entry, held)
        left = await _still_there(actor, entry, [*left, *(one for one in held if one not in known)])
    seconds = actor.now() - began
    items = []
    for resource in held:
        verdict: Verdict = "leaked" if resource in left else "forced" if resource in was_left else "released"
        items.append(
            CleanupItem(entry.kind, resource.name, began - resource.since, verdict, seconds, error if error else "")
        )
        if verdict != "leaked":
            actor.holdings.drop(resource)
    return items


def _with_new(actor: Cleanable, entry: CleanupPlan, held: tuple[Resource, ...]) -> tuple[Resource, ...]:
    """Letting go may open more of a kind: what is there now is looked at like the rest."""
    return tuple(dict.fromkeys([*held, *actor.holdings.held(entry.kind)]))


async def _attempt(kind: str, work: Awaitable[None]) -> str:
    """Nothing ("") if work ended well, else what clients may know of its failure."""
    try:
        await work
    except Exception as error:
        return handler_failure(f"cleanup of {kind}", error).shown
    return ""


async def _release(actor: Cleanable, entry: CleanupPlan, held: tuple[Resource, ...]) -> None:
    if entry.do is not None:
        await actor.call_cleanup(entry.do, entry.do.timeout_s or entry.timeout_s)
    elif entry.kind in _BUILT_IN:
        await _BUILT_IN[entry.kind](actor.holdings, held, entry.timeout_s)


async def _force(actor: Cleanable, entry: CleanupPlan, left: list[Resource]) -> None:
    if entry.force is not None:
        await actor.call_cleanup(entry.force, entry.force.timeout_s or entry.timeout_s)
    elif entry.kind == "processes":
        for resource in left:
            signal_group(resource, signal.SIGKILL)
        await _wait_processes(left, FORCED_KILL_S)
    elif entry.kind in _BUILT_IN:
        await _BUILT_IN[entry.kind](actor.holdings, tuple(left), entry.timeout_s)


async def _still_there(actor: Cleanable, entry: CleanupPlan, held: Iterable[Resource]) -> list[Resource]:
    return [resource for resource in held if not await is_gone(actor, resource, entry)]


async def is_gone(actor: Cleanable, resource: Resource, entry: CleanupPlan | None) -> bool:
    """Look, do not believe. A probe that fails or hangs has seen nothing gone."""
    if resource.kind == "tasks" and resource.handle not in {one.handle for one in actor.holdings.held("tasks")}:
        return True
    if resource.kind in BUILT_IN_PROBES:
        return BUILT_IN_PROBES[resource.kind](resource)
    if entry is None or entry.probe is None:
        return False
    try:
        answer = call_owned(actor.holdings, entry.probe, resource)
        if inspect.iscoroutine(answer):
            name = f"{actor.path} probe {entry.kind}"
            answer = await run_bounded(answer, actor.holdings, name, PROBE_TIMEOUT_S)
    except Exception as error:
        handler_failure(f"probe of {entry.kind}", error)
        return False
    return answer is True


async def _release_files(holdings: Holdings, held: tuple[Resource, ...], timeout_s: float) -> None:
    """All of them, whatever one raises: a full disk fails the flush of one and must not keep the others open."""
    errors = []
    for resource in held:
        try:
            if resource.handle is not None:
                resource.handle.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


async def _release_processes(holdings: Holdings, held: tuple[Resource, ...], timeout_s: float) -> None:
    for resource in held:
        signal_group(resource, signal.SIGTERM)
    await _wait_processes(held, timeout_s)


async def _wait_processes(held: Iterable[Resource], timeout_s: float) -> None:
    """Until each child has ended and nobody of its group is left."""
    running = [resource for resource in held if resource.handle is not None]

    async def reap(resource: Resource) -> None:
        # Process.wait() would not return while a grandchild keeps the pipes open (cpython #119710).
        while not BUILT_IN_PROBES["processes"](resource):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(GROUP_POLL_S)
        close_pipes(resource)

    try:
        await asyncio.wait_for(asyncio.gather(*map(reap, running)), timeout_s)
    except TimeoutError as error:
        raise HandlerFailed("processes", "timeout", f"not all ended within {timeout_s:g} s") from error


async def _release_tasks(holdings: Holdings, held: tuple[Resource, ...], timeout_s: float) -> None:
    """All at once, so that the slowest alone costs time; several rounds, because tasks start tasks."""
    for _ in range(TASK_ROUNDS):
        tasks = [resource.handle for resource in holdings.held("tasks")]
        ended = await asyncio.gather(*map(end_task, tasks))
        for task, is_gone in zip(tasks, ended, strict=True):
            if is_gone:
                holdings.disown(task)
        if all(ended) and not holdings.held("tasks"):
            return


_BUILT_IN: Final[dict[str, Callable[[Holdings, tuple[Resource, ...], float], Awaitable[None]]]] = {
    "files": _release_files,
    "processes": _release_processes,
    "tasks": _release_tasks,
}
