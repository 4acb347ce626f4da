"""The invariants of connections, by number, as questions to what people have heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from engine.simulation.checks import Broken, Evidence

from .person import Heard, Person, is_decided

Lives = Mapping[str, Evidence]  # by sid
Check = Callable[[Person, Lives], Iterator[str]]

FRAME: Final = b'{"t":"ev",'


def _dials(person: Person) -> Iterator[list[Heard]]:
    for _, heard in groupby(person.heard, key=lambda one: one.dial):
        yield list(heard)


def same_bytes(person: Person, lives: Lives) -> Iterator[str]:
    """L1: what it heard under a number is what the log has there, and the numbers have no holes."""
    for heard in _dials(person):
        last, sid = 0, ""
        for one in heard:
            kind = one.frame["t"]
            if kind == "welcome":
                sid = one.frame["sid"]
            elif kind == "snap":
                last = one.frame["seq"]
            elif kind == "ev":
                seq = one.frame["seq"]
                if last and seq != last + 1:
                    yield f"{person.name} heard {seq} after {last}"
                last = seq
                log = lives[sid].updates
                if seq <= len(log) and one.payload != FRAME + log[seq - 1][1:]:
                    yield f"{person.name} heard {one.payload!r}, and the log has {log[seq - 1]!r}"


def heard_is_durable(person: Person, lives: Lives) -> Iterator[str]:
    """M2, L2: nobody is told of what is not durable at that moment, an outcome without events neither."""
    for one in person.heard:
        kind = one.frame["t"]
        if kind in ("ev", "res") and one.frame.get("seq", 0) > one.seq:
            yield f"{person.name} heard of {one.frame['seq']} while only {one.seq} was durable"
        life = lives.get(person.sid) if is_decided(one.frame) else None
        rev = life.answered.get((person.name, one.frame["c"]), 0) if life is not None else 0
        if rev > one.rev:
            yield f"{person.name} was answered what is written at {rev} while only {one.rev} was durable"


def goes_on_where_it_was(person: Person, lives: Lives) -> Iterator[str]:
    """L3, L4: each connection goes on behind the cursor, or begins with a snapshot that was announced."""
    cursor, epoch = 0, ""
    for heard in _dials(person):
        owes_snap = False
        for one in heard:
            frame, kind = one.frame, one.frame["t"]
            if kind == "welcome":
                owes_snap = not frame["resumed"]
                if frame["epoch"] == epoch and frame["head"] < cursor:
                    yield f"{person.name} had seen {cursor}, and the log ends at {frame['head']}"
                epoch = frame["epoch"]
            elif kind == "snap":
                # A slow reader whose place was trimmed away gets one in the middle, which leads on (rule 7).
                if not owes_snap and frame["seq"] <= cursor:
                    yield f"{person.name} got a snapshot that nobody announced"
                owes_snap, cursor = False, frame["seq"]
            elif kind == "ev":
                if owes_snap:
                    yield f"{person.name} heard event {frame['seq']} before the snapshot that was announced"
                if frame["seq"] > cursor + 1:
                    yield f"{person.name} heard {frame['seq']} while its cursor was {cursor}"
                cursor = max(cursor, frame["seq"])


def outcomes_are_stable(person: Person, lives: Lives) -> Iterator[str]:
    """L5: a command's outcome is the same however often it is asked for, and never forgotten while it may be asked."""
    told: dict[int, dict[str, Any]] = {}
    for one in person.heard:
        frame = one.frame
        if not is_decided(frame):
            continue
        if (code := frame.get("err", {}).get("code")) in ("forgotten", "conflict"):
            yield f"command {frame['c']} of {person.name} is told to be in {code}"
        outcome = {name: value for name, value in frame.items() if name != "dup"}
        if told.setdefault(frame["c"], outcome) != outcome:
            yield f"command {frame['c']} of {person.name} was {told[frame['c']]} and is now {outcome}"


def nothing_after_the_end(person: Person, lives: Lives) -> Iterator[str]:
    """L9: session.ended is the last event that anybody hears."""
    for heard in _dials(person):
        kinds = [one.frame["kind"] for one in heard if one.frame["t"] == "ev"]
        if "session.ended" in kinds[:-1]:
            yield f"{person.name} heard {kinds[-1]} after session.ended"


def one_token_one_session(person: Person, lives: Lives) -> Iterator[str]:
    """L12: however often a welcome was lost, a token opens one session."""
    sids = {one.frame["sid"] for one in person.heard if one.frame["t"] == "welcome"}
    if len(sids) > 1:
        yield f"{person.name} was led to {len(sids)} sessions by one token"


CHECKS: Final[Mapping[str, tuple[Check, ...]]] = {
    "L1": (same_bytes,),
    "L2": (heard_is_durable,),
    "L3": (goes_on_where_it_was,),
    "L5": (outcomes_are_stable,),
    "L9": (nothing_after_the_end,),
    "L12": (one_token_one_session,),
}


def judge(people: Iterable[Person], lives: Lives) -> list[Broken]:
    """Every invariant that what people heard shows to be broken."""
    return [
        Broken(number, what)
        for person in people
        for number, all_of in CHECKS.items()
        for one in all_of
        for what in one(person, lives)
    ]


def outcomes_of(person: Person) -> dict[tuple[str, int], dict[str, Any]]:
    """What it was told of each of its commands, undecided answers left out."""
    return {(person.name, one.frame["c"]): one.frame for one in person.heard if is_decided(one.frame)}
