"""What a record of a step may say, read from the file and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ..log.state import ActorImage
from ..plan import TimerPlan
from ..records import Record
from ..spec import Machine, State, Timer
from ..steps.asked import seconds_of
from .table import listed

MOMENT_S: Final = 0.001  # a record is written in the instant in which its deadlines were reckoned


def broken_by(machine: Machine, before: ActorImage, record: Record) -> Iterator[str]:
    """What the file does not allow, each with its number. before: the actor as the log had it until then."""
    body = record.body
    rows = listed(machine, body["from"], body["event"]) or ()
    if before.state != body["from"]:
        yield f"M1: {record.actor} left {body['from']} and was in {before.state}"
    if body.get("to") not in {row.to for row in rows}:
        yield f"M1: the file has no transition {body['from']} --{body['event']}--> {body.get('to')}"
        return
    yield from _deadlines(machine, before, record)
    if "to" in body:
        yield from _end(machine, record)
    if "report" in body:
        yield from _report(machine, record)


def _deadlines(machine: Machine, before: ActorImage, record: Record) -> Iterator[str]:
    """Entering a state sets all its time limits; an event that is taken in it moves `idle`, and no other."""
    body = record.body
    here = machine.states[body.get("to") or body["from"]]
    is_timer = "fired" in body
    wanted = dict(_limits(here, before.data, is_idle=True)) if "to" in body or not is_timer else {}
    if "to" in body:
        wanted |= _limits(here, before.data, is_idle=False)
    found = {name: deadline - record.at for name, deadline in body["deadlines"].items()}
    if wanted.keys() != found.keys() or any(abs(found[name] - wanted[name]) > MOMENT_S for name in wanted):
        yield f"M7: {body['event']!r} set the time limits {found}, where the file says {wanted}"


def _limits(state: State, data: Any, *, is_idle: bool) -> dict[str, float]:
    word, timers = ("idle", state.idle) if is_idle else ("after", state.after)
    return {f"{word} {timer.text}": seconds_of(_plan(timer), data) for timer in timers}


def _plan(timer: Timer) -> TimerPlan:
    return TimerPlan("", timer.seconds, False, timer.option, max(timer.most_s, timer.seconds))


def _end(machine: Machine, record: Record) -> Iterator[str]:
    body, target = record.body, machine.states[record.body["to"]]
    if target.final and not body.get("ended"):
        yield "C1: the end is not recorded as the end"
    told = {send["event"]["name"] for send in body.get("sends", ())}
    if target.final and record.actor != "/" and "child_ended" not in told:
        yield f"C2: the parent of {record.actor} was not told of its end"


def _report(machine: Machine, record: Record) -> Iterator[str]:
    """Of a clean-up: in the order of the file; what leaked of a root leads to a person, and to nobody else."""
    items = record.body["report"]["items"]
    order = [entry.release for entry in machine.cleanup]
    places = [order.index(item["kind"]) for item in items if item["kind"] in order]
    if places != sorted(places):
        yield f"C2: let go in the order {[item['kind'] for item in items]}, the file says {order}"
    leaked = any(item["verdict"] == "leaked" for item in items)
    if record.actor == "/" and leaked != (record.body["event"] == "failed"):
        yield f"C1: {record.body['event']!r} came of the clean-up {items}"
