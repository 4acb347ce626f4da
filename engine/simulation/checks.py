"""The invariants, by number, as questions to what is left of a history: its logs, and what was counted meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from ..codec import decode
from ..journal.base import Append, SessionRow
from ..plan import KindPlan
from ..records import ROOT, Record
from ..state import SessionImage, apply, fold


@dataclass(frozen=True, slots=True)
class Broken:
    """An invariant that did not hold, by its number, and how."""

    number: str
    what: str

    def __str__(self) -> str:
        return f"{self.number}: {self.what}"


@dataclass
class Evidence:
    """What is left of one session. appends: every one that ever was durable, trimmed or not. kept: the records that
    are still stored. row: None if its log was dropped. closed: it had all the time and help it needs to end."""

    sid: str
    plans: Mapping[str, KindPlan]
    appends: list[Append]
    row: SessionRow | None
    kept: list[bytes]
    closed: bool = True
    outcomes: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)

    @cached_property
    def records(self) -> list[Record]:
        return [Record.decode(append.record) for append in self.appends]

    @cached_property
    def image(self) -> SessionImage:
        return fold(self.records)

    @cached_property
    def updates(self) -> list[bytes]:
        return [text for append in self.appends for text in append.updates]

    @cached_property
    def answered(self) -> dict[tuple[str, int], int]:
        """The revision at which the outcome of each numbered command is stored."""
        stored = ((append.rev, one.body.get("outcome")) for append, one in zip(self.appends, self.records, strict=True))
        return {(outcome[0], outcome[1]): rev for rev, outcome in stored if outcome is not None}

    @property
    def is_ended(self) -> bool:
        root = self.image.actors[ROOT]
        return self.plans[root.kind].states[root.state].is_final


Check = Callable[[Evidence], Iterator[str]]


def only_declared_transitions(life: Evidence) -> Iterator[str]:
    """M1: every step is a transition that the file declares where the actor was."""
    image = SessionImage()
    for record in life.records:
        actor = image.actors.get(record.actor)
        if record.op == "step" and record.body["event"] != "abandoned" and actor is not None:
            event, source, target = record.body["event"], record.body["from"], record.body.get("to")
            if source != actor.state:
                yield f"{record.actor} stepped from {source} while it was in {actor.state}"
            rows = life.plans[record.kind].states[source].rows.get(event, ())
            if target not in {row.to for row in rows}:
                yield f"{record.actor} went from {source} to {target} on {event}, which nothing declares"
        apply(image, record)


def nothing_after_leaving(life: Evidence) -> Iterator[str]:
    """M4: what an activity does counts only in the activation it belongs to, and nothing after the end."""
    image = SessionImage()
    for record in life.records:
        actor = image.actors.get(record.actor)
        if actor is None and record.op in ("step", "ran", "owed", "sent"):
            yield f"{record.actor} wrote {record.op} after it had ended"
        if actor is not None and record.op == "owed":
            activation = record.body["event"].get("activation", 0)
            if activation != actor.activation:
                yield f"{record.actor} owes {record.body['event']['name']} of activation {activation}"
        if actor is not None and record.op == "ran":
            steps = life.plans[record.kind].states[actor.state].run
            if record.body["index"] >= len(steps):
                yield f"{record.actor} finished a step that {actor.state} does not have"
        apply(image, record)


def messages_count_once(life: Evidence) -> Iterator[str]:
    """M5: what one actor sends another counts once, and is owed to nobody who is still there at the end."""
    taken = Counter(record.body["taken"] for record in life.records if record.body.get("taken"))
    yield from (f"message {one} was taken {count} times" for one, count in taken.items() if count > 1)
    if life.closed and life.row is not None and not life.is_ended:
        left = [message for message in life.image.pending.values() if message.to in life.image.actors]
        yield from (f"{one.event.name} is still owed to {one.to}" for one in left)


def waits_are_bounded(life: Evidence) -> Iterator[str]:
    """M7: time and one person bring every session to its end."""
    if life.closed and life.row is not None and not life.is_ended:
        root = life.image.actors[ROOT]
        yield f"it is still {root.state}, whatever time and an administrator did"


def log_tells_the_same(life: Evidence) -> Iterator[str]:
    """M8: what is kept after trimming says the same as all that ever was written."""
    if life.row is None or len(life.kept) == len(life.appends):
        return
    whole, kept = life.image, fold(map(Record.decode, life.kept))
    for name in ("actors", "pending", "cause"):
        if getattr(whole, name) != getattr(kept, name):
            yield f"{name} differ between the whole log and what trimming left of it"


def ends_clean(life: Evidence) -> Iterator[str]:
    """C1: whoever is at its end holds nothing, or a person wrote it off."""
    for record in life.records:
        is_end = record.op == "step" and record.body.get("ended") and record.actor == ROOT
        report = record.body.get("report") if is_end else None
        if report and report["leaked"] and record.body["event"] != "write_off":
            yield f"it ended with {report['leaked']} leaks"


def children_end_first(life: Evidence) -> Iterator[str]:
    """C2: nobody ends while something below it lives, but for what is struck with it."""
    image = SessionImage()
    for record in life.records:
        if record.op == "step" and record.body.get("ended") and record.body["event"] != "abandoned":
            below = [path for path in image.actors if path.startswith(f"{record.actor.rstrip('/')}/")]
            if record.actor in image.actors and below and below != [ROOT]:
                yield f"{record.actor} ended before {', '.join(below)}"
        apply(image, record)


def limits_of_children(life: Evidence) -> Iterator[str]:
    """C6: never more children than the file says."""
    image = SessionImage()
    for record in life.records:
        apply(image, record)
        if record.op == "created" and (parent := record.body["parent"]) is not None:
            count = sum(1 for one in image.actors.values() if one.parent == parent and one.kind == record.kind)
            if count > life.plans[image.actors[parent].kind].owns[record.kind]:
                yield f"{parent} has {count} of {record.kind}"


def begins_whole(life: Evidence) -> Iterator[str]:
    """C5: a session that is there at all begins with its creation."""
    if not life.records or life.records[0].op not in ("created", "snapshot"):
        yield "its log does not begin with its creation"


def numbers_are_contiguous(life: Evidence) -> Iterator[str]:
    """L1: seq is 1, 2, 3 … without holes, and revisions too (L6: nobody else wrote in between)."""
    numbers = [decode(text)["seq"] for text in life.updates]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the updates are numbered {numbers}"


def one_writer(life: Evidence) -> Iterator[str]:
    """L6: revisions follow each other, and who was fenced off writes nothing any more."""
    revs, fences = [one.rev for one in life.appends], [one.fence for one in life.appends]
    if revs != list(range(1, len(revs) + 1)):
        yield f"the revisions are {revs}"
    if fences != sorted(fences):
        yield f"an older writer wrote after a newer one: fences {fences}"


def commands_count_once(life: Evidence) -> Iterator[str]:
    """L5: each numbered command has one outcome in the log, the one its client was told."""
    stored: dict[tuple[str, int], dict[str, Any]] = {}
    for record in life.records:
        if (outcome := record.body.get("outcome")) is not None:
            cid, c, _, told = outcome
            if (cid, c) in stored:
                yield f"command {c} of {cid} took effect twice"
            stored[cid, c] = told
    for key, told in life.outcomes.items():
        kept = stored.get(key)
        if told["ok"] and kept is not None and kept["status"] not in ("done", "deferred"):
            yield f"command {key} was told as done and is stored as {kept['status']}"
        if kept is None and not life.is_ended:
            yield f"command {key} was answered, and nothing is stored of it"


def ends_with_session_ended(life: Evidence) -> Iterator[str]:
    """L9: session.ended is the last update, and there is exactly one."""
    kinds = [decode(text)["kind"] for text in life.updates]
    ends = [at for at, kind in enumerate(kinds, 1) if kind == "session.ended"]
    if ends != ([len(kinds)] if life.is_ended else []):
        yield f"session.ended is at {ends} of {len(kinds)}, and it is {life.image.actors[ROOT].state}"


CHECKS: Final[Mapping[str, tuple[Check, ...]]] = {
    "M1": (only_declared_transitions,),
    "M4": (nothing_after_leaving,),
    "M5": (messages_count_once,),
    "M7": (waits_are_bounded,),
    "M8": (log_tells_the_same,),
    "C1": (ends_clean,),
    "C2": (children_end_first,),
    "C5": (begins_whole,),
    "C6": (limits_of_children,),
    "L1": (numbers_are_contiguous,),
    "L5": (commands_count_once,),
    "L6": (one_writer,),
    "L9": (ends_with_session_ended,),
}


def judge(life: Evidence) -> list[Broken]:
    """Every invariant that the log of one session shows to be broken."""
    return [
        Broken(number, f"{life.sid}: {what}")
        for number, checks in CHECKS.items()
        for check in checks
        for what in check(life)
    ]
