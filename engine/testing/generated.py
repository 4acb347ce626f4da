"""Whole lifecycle files, drawn by hypothesis: for tests of the engine, and of whatever else reads such files."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from hypothesis import strategies as st

from ..context import Context, GuardContext, RunContext
from ..registry import Registry, action, guard
from .lifecycle import Lifecycle
from .rig import read_spec

STATES_MAX: Final = 4  # beside the way to the end, which every file has
EVENTS: Final = ("ask", "tell", "wait")
CHILD: Final = "helper"


@guard()
def yes(ctx: GuardContext) -> bool:
    return True


@guard()
def no(ctx: GuardContext) -> bool:
    return False


@action()
def note(ctx: Context) -> None:
    ctx.data["notes"] = ctx.data.get("notes", 0) + 1
    ctx.emit("noted", {"notes": ctx.data["notes"]})


@action()
async def work(ctx: RunContext) -> None:
    await asyncio.sleep(1)


@action()
async def start_helper(ctx: RunContext) -> None:
    await ctx.start_child(CHILD, "h", {})


HANDLERS: Final = Registry.of(yes, no, note, work, start_helper)
GUARDS: Final[Any] = st.sampled_from(["yes", "no", {"not": "yes"}, {"all": ["yes", "no"]}, {"any": ["no", "yes"]}])
SECONDS: Final = st.integers(2, 90).map(lambda seconds: f"{seconds}s")


@st.composite
def lifecycles(draw: st.DrawFn) -> Lifecycle:
    """A valid file with its handlers: guarded lists, work, time limits, deferred events, perhaps children, and always
    a way to the end, which time alone leads to."""
    has_children = draw(st.booleans())
    root = draw(_machines(is_root=True, has_children=has_children))
    machines = {"session": root} | ({CHILD: draw(_machines(is_root=False, has_children=False))} if has_children else {})
    # JSON is YAML, and needs no library for it.
    text = json.dumps({"lifecycle": 1, "name": "drawn", "machines": machines})
    return Lifecycle(read_spec(text, HANDLERS), HANDLERS)


@st.composite
def _machines(draw: st.DrawFn, *, is_root: bool, has_children: bool) -> dict[str, Any]:
    names = [f"s{number}" for number in range(draw(st.integers(1, STATES_MAX)))]
    states = {name: draw(_states(name, [*names, "ending"], is_first=name == "s0" and has_children)) for name in names}
    states |= {"ending": {"run": ["cleanup"], "transitions": {"done": "over"}}, "over": {"final": True}}
    everywhere = {"failed": "ending"} | ({} if is_root else {"stop": "ending"})
    if is_root:
        states["ending"]["transitions"]["failed"] = "stuck"
        states["stuck"] = {"quarantine": True, "transitions": {"again": "ending"}}
    senders = {"from": ["client", "admin"] if is_root else ["parent"]}
    events: dict[str, Any] = dict.fromkeys(EVENTS, senders) | ({"again": {"from": ["admin"]}} if is_root else {})
    owns = {"owns": {CHILD: 1}} if has_children else {}
    return {**owns, "initial": "s0", "events": events, "transitions": everywhere, "states": states}


@st.composite
def _states(draw: st.DrawFn, name: str, names: list[str], *, is_first: bool) -> dict[str, Any]:
    """One state; what its work leads to lies behind it, so that no work goes round for ever."""
    run = draw(st.lists(st.sampled_from(["work", "note"]), max_size=2)) + (["start_helper"] if is_first else [])
    deferred = draw(st.lists(st.sampled_from(EVENTS), max_size=1))
    taken = [event for event in EVENTS if event not in deferred and draw(st.booleans())]
    transitions = {event: draw(_choices(names)) for event in taken}
    if run:
        transitions["done"] = draw(st.sampled_from(names[names.index(name) + 1 :]))
    state = {"after": {draw(SECONDS): "ending"}, "transitions": transitions}
    return state | ({"run": run} if run else {}) | ({"defer": deferred} if deferred else {})


def _choices(names: list[str]) -> st.SearchStrategy[Any]:
    """What one event does: refused, a target, or a list of which the last entry has no guard."""
    target = st.sampled_from(names)
    guarded = st.fixed_dictionaries({"to": target, "when": GUARDS}, optional={"do": st.just("note")})
    plain = st.one_of(target, st.just({"do": "note"}), target.map(lambda to: {"to": to, "do": "note"}))
    return st.one_of(st.just([]), plain, st.tuples(guarded, plain).map(list))
