"""A session through JSON and back: what a snapshot holds is all that its log said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_properties import SMALL, finish

from engine.codec import decode, encode
from engine.log.state import CIDS_MAX, OUTCOMES_PER_CID, Outcomes, SessionImage, apply, fold
from engine.records import ROOT, Caller, Command, Event, Message, Outcome, Record
from engine.testing.strategies import events, waits
from engine.testing.virtual import run_virtual

OPS = st.lists(events(SMALL.spec, "session") | waits(SMALL.spec), max_size=25)


def through_json(image: SessionImage) -> SessionImage:
    return SessionImage.from_json(decode(encode(image.to_json())))


def snapshot(image: SessionImage) -> Record:
    record = Record("snapshot", ROOT, "session", 0.0, {"image": image.to_json()})
    return Record.decode(record.encode())


async def log_of(ops: list[Event | float]) -> list[Record]:
    async with SMALL.rig() as r:
        session = await r.create(user="u", is_connected=False)
        for c, op in enumerate(ops, start=1):
            if isinstance(op, Event):
                command = Command("c", c, op.name)
                await r.send(session, op.name, op.payload, origin=op.origin, command=command)
            else:
                await r.advance(op)
        unfinished = await r.records(session.sid)
        await finish(r, session)
        return unfinished + (await r.records(session.sid))[len(unfinished) :]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ops=OPS, share=st.floats(0, 1))
def test_a_log_that_begins_with_a_snapshot_tells_the_same(ops: list[Event | float], share: float) -> None:
    """M8: fold(all records) is fold(snapshot, later records), wherever the snapshot is taken."""
    records = run_virtual(log_of(ops))
    at = 1 + round(share * (len(records) - 1))
    early, late = records[:at], records[at:]
    taken = snapshot(fold(early))
    whole = fold([*early, taken, *late])
    assert fold([taken, *late]).to_json() == whole.to_json()
    assert whole.rev == len(records) + 1
    unbroken = fold(records).to_json()
    assert {**whole.to_json(), "rev": None} == {**unbroken, "rev": None}


def stored(cid: int, c: int) -> dict[str, Any]:
    outcome = Outcome(("done", "refused", "failed", "deferred")[c % 4], "code", "", {"n": [c]}, seq=c)  # type: ignore[arg-type]
    return {"outcome": [f"cid{cid}", c, f"digest{c}", outcome.to_json()]}


def busy_records(count: int) -> Iterator[Record]:
    """Everything a record may carry, of more clients than are kept, with more commands than are kept of each."""
    for n in range(count):
        event = Event("say", {"text": "x", "n": n}, "parent", ROOT, id=f"m{n}")
        command = Command("c", n + 1, "digest")
        body: dict[str, Any] = {
            **stored(n % (CIDS_MAX + 9), n // CIDS_MAX + 1),
            "sends": [Message(ROOT, event).to_json()],
            "event": "say",
            "deadlines": {"after 30s": n + 0.1},
            "holds": [["workspace", "w", f"/w/{n}"]],
            "data": {"n": n},
            "counted": 5,
            "taken": f"m{n - 5}",
        }
        moved = {"to": f"s{n % 4}", "by": event.to_json()} if n % 3 == 0 else {}
        yield Record("step", ROOT, "session", float(n), body | moved)
        late = replace(event, name="done", origin="self", activation=n + 1)
        yield Record("owed", ROOT, "session", 0.0, {"event": late.to_json(), "ends": n % 2 == 0})
        yield Record("ran", ROOT, "session", 0.0, {"index": n, "result": {"n": n}})
        caller = Caller("me", frozenset({"b", "a"}))
        kept = replace(event, id=f"d{n}", command=command, caller=caller)
        gone = {"undeferred": [f"d{n - 3}"]}
        yield Record("deferred", ROOT, "session", 0.0, {"event": kept.to_json(), **gone})


def test_all_that_is_kept_outlives_a_snapshot() -> None:
    """M8, L5, rule 4 of the protocol: 64 outcomes of 256 clients, and which of them is dropped next."""
    first = Record("created", ROOT, "session", 0.0, {"state": "s", "parent": None, "data": {}, "deadlines": {}})
    image = fold([first])
    for n in range(CIDS_MAX * OUTCOMES_PER_CID):
        apply(image, Record("taken", ROOT, "session", 0.0, stored(n % CIDS_MAX, n // CIDS_MAX + 1)))
    assert [len(known) for _, known in image.outcomes.to_json()] == [OUTCOMES_PER_CID] * CIDS_MAX
    records = list(busy_records(1000))
    for record in records[:2001]:
        apply(image, record)
    back = through_json(image)
    assert back.to_json() == image.to_json()
    assert back.actors == image.actors
    assert back.pending == image.pending
    assert len(back.actors[ROOT].owed) > 0
    for record in records[2001:]:
        apply(image, record)
        apply(back, record)
    assert back.to_json() == image.to_json()


def test_a_stored_outcome_is_found_after_a_snapshot() -> None:
    """L5: a command is a duplicate if and only if its outcome is stored."""
    outcomes = Outcomes.from_json([["tab", [[3, "digest", Outcome("done", value=[1], seq=4).to_json()]]]])
    assert outcomes.find("tab", 3) == ("digest", Outcome("done", value=[1], seq=4))
    assert outcomes.knows("tab")
    assert not outcomes.knows("other")
