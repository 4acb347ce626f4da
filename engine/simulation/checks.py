"""The invariants, by number, as questions to what is left of a history: its logs, and what was counted meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from ..codec import decode
from ..journal.base import Append, SessionRow
from ..log.state import ActorImage, SessionImage, apply, fold
from ..plan import KindPlan
from ..records import ROOT, Record


@dataclass(frozen=True, slots=True)
class Broken:
    """An invariant that did not hold, by its number, and how."""

    number: str
    what: str

    def __str__(self) -> str:
        return f"{self.number}: {self.what}"


@dataclass
class Evidence:
    """What is left of one session, which had all the time and help that it needs to end.

    appends: every one that ever was durable, trimmed or not. kept: the records that are still stored. row: None if its
    log was dropped. outcomes: what its clients were told of their commands. image: the session after all of it.
    """

    sid: str
    plans: Mapping[str, KindPlan]
    appends: list[Append]
    row: SessionRow | None
    kept: list[bytes]
    outcomes: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    image: SessionImage = field(default_factory=SessionImage)

    @cached_property
    def records(self) -> list[Record]:
        return [Record.decode(append.record) for append in self.appends]

    @cached_property
    def told(self) -> list[dict[str, Any]]:
        return [decode(text) for text in self.updates]

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


# Of one record: image is the session before it, actor who wrote it (None: it has ended, or is only being created).
RecordCheck = Callable[[Evidence, SessionImage, ActorImage | None, Record], Iterator[str]]
LifeCheck = Callable[[Evidence], Iterator[str]]


def only_declared_transitions(
    life: Evidence, image: SessionImage, actor: ActorImage | None, record: Record
) -> Iterator[str]:
    """M1: every step is a transition that the file declares where the actor was."""
    if record.op != "step" or actor is None or record.body["event"] == "abandoned":
        return
    event, source, target = record.body["event"], record.body["from"], record.body.get("to")
    if source != actor.state:
        yield f"{actor.path} stepped from {source} while it was in {actor.state}"
    if all(target != row.to for row in life.plans[record.kind].states[source].rows.get(event, ())):
        yield f"{actor.path} went from {source} to {target} on {event}, which nothing declares"


def nothing_after_leaving(
    life: Evidence, image: SessionImage, actor: ActorImage | None, record: Record
) -> Iterator[str]:
    """M4: what an activity does counts only in the activation it belongs to, and nothing after the end."""
    if actor is None:
        if record.op in ("step", "ran", "owed", "sent"):
            yield f"{record.actor} wrote {record.op} after it had ended"
    elif record.op == "owed":
        activation = record.body["event"].get("activation", 0)
        if activation != actor.activation:
            yield f"{actor.path} owes {record.body['event']['name']} of activation {activation}"
    elif record.op == "ran" and record.body.get("activation", actor.activation) != actor.activation:
        yield f"{actor.path} finished a step of activation {record.body['activation']}"
    elif record.op == "ran" and record.body["index"] >= len(life.plans[record.kind].states[actor.state].run):
        yield f"{actor.path} finished a step that {actor.state} does not have"


def children_end_first(life: Evidence, image: SessionImage, actor: ActorImage | None, record: Record) -> Iterator[str]:
    """C2: nobody ends while something below it lives, but for what is struck with it."""
    if record.op == "step" and record.body.get("ended") and record.body["event"] != "abandoned":
        above = f"{record.actor.rstrip('/')}/"
        if below := [path for path in image.actors if path.startswith(above) and path != record.actor]:
            yield f"{record.actor} ended before {', '.join(below)}"


def limits_of_children(life: Evidence, image: SessionImage, actor: ActorImage | None, record: Record) -> Iterator[str]:
    """C6: never more children than the file says."""
    if record.op != "created" or (parent := record.body["parent"]) is None:
        return
    count = 1 + sum(1 for one in image.actors.values() if one.parent == parent and one.kind == record.kind)
    if count > life.plans[image.actors[parent].kind].owns[record.kind]:
        yield f"{parent} has {count} of {record.kind}"


def ends_clean(life: Evidence, image: SessionImage, actor: ActorImage | None, record: Record) -> Iterator[str]:
    """C1: a session that ends holds nothing, or a person wrote it off."""
    if record.op == "step" and record.body.get("ended") and record.actor == ROOT:
        leaked = (record.body.get("report") or {}).get("leaked")
        if leaked and record.body["event"] != "write_off":
            yield f"it ended with {leaked} leaks"


def quarantine_waits(life: Evidence, image: SessionImage, actor: ActorImage | None, record: Record) -> Iterator[str]:
    """R3: nothing but what an administrator asks for leads out of quarantine."""
    if record.op != "step" or actor is None or "to" not in record.body:
        return
    plan = life.plans[actor.kind]
    event = plan.events.get(record.body["event"])
    if plan.states[actor.state].is_quarantine and (event is None or "admin" not in event.senders):
        yield f"{actor.path} left {actor.state} on {record.body['event']}"


def messages_count_once(life: Evidence) -> Iterator[str]:
    """M5: what one actor sends another counts once, and is owed to nobody who is still there at the end."""
    taken = Counter(record.body["taken"] for record in life.records if record.body.get("taken"))
    yield from (f"message {one} was taken {count} times" for one, count in taken.items() if count > 1)
    if life.row is not None and not life.is_ended:
        left = [message for message in life.image.pending.values() if message.to in life.image.actors]
        yield from (f"{one.event.name} is still owed to {one.to}" for one in left)


def waits_are_bounded(life: Evidence) -> Iterator[str]:
    """M7: time and one person bring every session to its end."""
    if life.row is not None and not life.is_ended:
        yield f"it is still {life.image.actors[ROOT].state}, whatever time and an administrator did"


def log_tells_the_same(life: Evidence) -> Iterator[str]:
    """M8: what is kept after trimming says the same as all that ever was written."""
    if life.row is None or len(life.kept) == len(life.appends):
        return
    kept = fold(map(Record.decode, life.kept))
    for name in ("actors", "pending", "cause"):
        if getattr(life.image, name) != getattr(kept, name):
            yield f"{name} differ between the whole log and what trimming left of it"


def begins_whole(life: Evidence) -> Iterator[str]:
    """C5: a session that is there at all begins with its creation."""
    if not life.records or life.records[0].op not in ("created", "snapshot"):
        yield "its log does not begin with its creation"


def numbers_are_contiguous(life: Evidence) -> Iterator[str]:
    """L1: seq is 1, 2, 3 … without holes."""
    numbers = [update["seq"] for update in life.told]
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
    outcomes = [outcome for record in life.records if (outcome := record.body.get("outcome")) is not None]
    stored = {(cid, c): outcome for cid, c, _, outcome in outcomes}
    if len(stored) < len(outcomes):
        yield f"a command took effect twice; the outcomes are of {[(one[0], one[1]) for one in outcomes]}"
    for key, told in life.outcomes.items():
        kept = stored.get(key)
        if told["ok"] and kept is not None and kept["status"] not in ("done", "deferred"):
            yield f"command {key} was told as done and is stored as {kept['status']}"
        if kept is None and not life.is_ended:
            yield f"command {key} was answered, and nothing is stored of it"


def ends_with_session_ended(life: Evidence) -> Iterator[str]:
    """L9: session.ended is the last update, and there is exactly one."""
    ends = [at for at, update in enumerate(life.told, 1) if update["kind"] == "session.ended"]
    if ends != ([len(life.told)] if life.is_ended else []):
        yield f"session.ended is at {ends} of {len(life.told)}, and it is {life.image.actors[ROOT].state}"


OF_RECORDS: Final[Mapping[str, RecordCheck]] = {
    "M1": only_declared_transitions,
    "M4": nothing_after_leaving,
    "C1": ends_clean,
    "C2": children_end_first,
    "C6": limits_of_children,
    "R3": quarantine_waits,
}
OF_LIVES: Final[Mapping[str, LifeCheck]] = {
    "M5": messages_count_once,
    "M7": waits_are_bounded,
    "M8": log_tells_the_same,
    "C5": begins_whole,
    "L1": numbers_are_contiguous,
    "L5": commands_count_once,
    "L6": one_writer,
    "L9": ends_with_session_ended,
}


def judge(life: Evidence) -> list[Broken]:
    """Every invariant that the log of one session shows to be broken."""
    found = [Broken(number, f"{life.sid}: {what}") for number, what in _walk(life)]
    return found + [Broken(number, f"{life.sid}: {what}") for number, check in OF_LIVES.items() for what in check(life)]


def _walk(life: Evidence) -> Iterator[tuple[str, str]]:
    """Go through the log once, as a restart would."""
    image = SessionImage()
    for record in life.records:
        actor = image.actors.get(record.actor)
        for number, check in OF_RECORDS.items():
            for what in check(life, image, actor, record):
                yield number, what
        apply(image, record)
    life.image = image
