"""Files of sessions that somebody altered, with checksums that fit: refused by line, or a session like any other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from altering import COMPILED, PLANS, Plain, altered, closed, opened, whole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.codec import encode
from engine.errors import Refused
from engine.journal.memory import MemoryJournal
from engine.live.upkeep import RECONCILE_S
from engine.log.archive import RETENTION_S
from engine.log.founding import imported
from engine.log.parcel import ParcelError, unpack
from engine.records import Command
from engine.session import Session
from engine.testing.rig import Rig
from engine.testing.virtual import in_virtual_time, run_virtual
from tests.server.long import size


async def is_like_any_other(r: Rig, session: Session) -> None:
    """It is read whole, takes what its state takes, and time passes for it."""
    updates = await r.updates(session)
    assert [one["seq"] for one in updates] == list(range(session.log.trimmed + 1, session.log.head + 1))
    seq, shown = await session.snap(2**18)
    assert (seq, bool(encode(shown))) == (session.log.head, True)
    await session.snap(2**18, is_first=True)
    if not session.is_ended:
        session.attach("control")
    await r.settle()
    assert (await r.send(session, "count", command=Command("new", 1, "d"))).code != "internal"
    await r.advance(400)
    assert not session.is_failed


async def is_well(r: Rig, neighbour: Session) -> None:
    assert (await r.send(neighbour, "say", {"text": "as ever"})).ok
    assert (neighbour.state, neighbour.is_failed) == ("up", False)


async def taken_in(r: Rig, text: bytes) -> Session | None:
    """None if it is refused, by line, and nothing of it is left."""
    before = (r.manager.counts(), await r.journal.sessions())
    (found,) = await asyncio.gather(r.manager.transfer.take_in(text), return_exceptions=True)
    if isinstance(found, Session):
        return found
    assert isinstance(found, Refused), found
    assert found.code == "lost_states" or re.match(r"line \d+: ", found.message), found
    assert (r.manager.counts(), await r.journal.sessions()) == before
    return None


async def play(text: bytes) -> bool:
    """Whether it was taken in; then it lives, and lives on after a restart."""
    journal = MemoryJournal()
    async with Rig(COMPILED, journal=journal) as r:
        neighbour = await r.create()
        session = await taken_in(r, text)
        await is_well(r, neighbour)
        if session is not None:
            await is_like_any_other(r, session)
            await is_well(r, neighbour)
    async with Rig(COMPILED, journal=journal) as r:
        assert r.manager.unreadable == {}
        found = await r.manager.find(neighbour.sid)
        assert found is not None
        await is_well(r, found)
        if session is not None:
            back = await r.manager.find(session.sid)
            assert back is not None
            await is_like_any_other(r, back)
    return session is not None


@settings(max_examples=size(150, 5_000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dice=st.integers(0, 2**64).map(Random), times=st.sampled_from([1, 1, 2, 3]))
def test_an_altered_file_is_refused_or_a_session_like_any_other(dice: Random, times: int) -> None:
    """C5, C7, L1: whatever was removed, retyped, renumbered, doubled or borrowed from elsewhere: it is refused by line
    and nothing is left, or it lives, is read and comes back; no neighbour and no start ever meets it."""
    run_virtual(play(altered(dice.choice(whole()), dice, times)))


def test_what_was_not_altered_is_taken_in() -> None:
    """Or the test before this one would show nothing."""
    for parcel in whole():
        assert run_virtual(play(closed(opened(parcel))))


def at_work() -> Plain:
    """One record: a session that waits for its worker, with an event that is deferred until then."""
    return next(
        plain
        for plain in map(opened, whole())
        if plain["records"][0]["op"] == "snapshot" and plain["records"][0]["image"]["actors"][0]["deferred"]
    )


def trimmed() -> Plain:
    return opened(whole()[-3])


def ended() -> Plain:
    return opened(whole()[-2])


def actor(plain: Plain, number: int = 0) -> Plain:
    found: Plain = plain["records"][0]["image"]["actors"][number]
    return found


def image(plain: Plain) -> Plain:
    found: Plain = plain["records"][0]["image"]
    return found


def view(plain: Plain) -> Plain:
    found: Plain = plain["records"][0]["view"]
    return found


def raw(plain: Plain, change: Callable[[bytes], bytes]) -> None:
    plain["updates"][0] = change(encode(plain["updates"][0]))


def three_workers(plain: Plain) -> None:
    image(plain)["actors"] += [actor(plain, 1) | {"path": f"/{name}"} for name in "xy"]


def deep(levels: int) -> Any:
    inner: Any = 1
    for _ in range(levels):
        inner = [inner]
    return inner


FAILED = {"name": "failed", "payload": {"error": {}}, "origin": "self", "sender": "", "id": "", "activation": 2}
MAIL = {"to": "/w", "event": {"name": "stop", "payload": {}, "origin": "parent", "sender": "/", "id": "m1.0"}}
Alter = Callable[[Plain], Any]
ALTERED: dict[str, tuple[Callable[[], Plain], Alter, str]] = {
    "a deadline that is no time": (at_work, lambda p: actor(p)["deadlines"].update({"after 1h": "soon"}), "deadlines"),
    "a timer of the engine's name": (at_work, lambda p: actor(p)["deadlines"].update(restored=1.0), "deadlines"),
    "a parent that is not there": (at_work, lambda p: actor(p, 1).update(parent="/v"), "parent of /w is not there"),
    "two roots": (at_work, lambda p: actor(p, 1).update(parent=None), "/w .worker. is nobody's"),
    "a root that is a worker": (at_work, lambda p: actor(p).update(kind="worker", state="ready"), "is nobody's"),
    "a child before its parent": (at_work, lambda p: image(p)["actors"].reverse(), "comes later"),
    "a child of another name": (at_work, lambda p: actor(p, 1).update(path="/a/b"), "no name of a child of /"),
    "a child that leaves its folder": (at_work, lambda p: actor(p, 1).update(path="/.."), "no name of a child"),
    "a child that nobody owns": (at_work, lambda p: actor(p, 1).update(kind="session", state="up"), "owns no session"),
    "too many children": (at_work, three_workers, "owns 3 of worker"),
    "a child that has ended": (at_work, lambda p: actor(p, 1).update(state="gone"), "/w is in gone"),
    "a root that has ended": (at_work, lambda p: actor(p).update(state="over"), "/ is in over"),
    "data that is no object": (at_work, lambda p: actor(p).update(data=[1]), "data: "),
    "data that nobody could be sent": (at_work, lambda p: actor(p)["data"].update(a=deep(230)), "passed on"),
    "a deferred event without an id": (at_work, lambda p: actor(p)["deferred"][0].update(id=""), "id of its own"),
    "a deferred event twice": (at_work, lambda p: actor(p).update(deferred=actor(p)["deferred"] * 2), "id of its own"),
    "a deferred restored": (at_work, lambda p: actor(p)["deferred"][0].update(name="restored"), "would not be taken"),
    "a deferred event of no client": (at_work, lambda p: actor(p)["deferred"][0].update(origin="engine"), "come from"),
    "mail that nobody could send": (at_work, lambda p: image(p)["pending"].append(MAIL), "not be taken"),
    "a failure without a word": (at_work, lambda p: actor(p)["owed"].append(FAILED), "owed"),
    "a cause of its own": (at_work, lambda p: image(p).update(cause={"code": "x", "why": ""}), "cause.code"),
    "an outcome with more": (at_work, lambda p: image(p)["outcomes"][0][1][0][2].update(t=1), "outcomes"),
    "a view of another number": (trimmed, lambda p: view(p).update(seq=1), "view is that of update 1"),
    "a view of what comes": (trimmed, lambda p: view(p)["messages"][0].update(seq=9), "shows what came later"),
    "a view of the end": (trimmed, lambda p: view(p).update(ended={}), "ended: Extra"),
    "a view with more": (trimmed, lambda p: view(p)["messages"][0].update(t="welcome"), "messages.0.t: Extra"),
    "a view with a hole": (trimmed, lambda p: view(p)["missing"].update(actors=2), "not as a log keeps it"),
    "a view that is gone": (trimmed, lambda p: p["records"][0].pop("view"), "Input should be"),
    "an update with more": (at_work, lambda p: p["updates"][0].update(t="welcome"), "t: Extra"),
    "an update without a kind": (at_work, lambda p: p["updates"][0].pop("kind"), "kind: Field required"),
    "an update of two lines": (at_work, lambda p: raw(p, lambda text: text.replace(b",", b",\n", 1)), "not as the log"),
    "an update with a space": (at_work, lambda p: raw(p, lambda text: b" " + text), "not as the log writes it"),
    "an update with a field twice": (at_work, lambda p: raw(p, lambda text: text[:-1] + b',"seq":1}'), "not as"),
    "an end that is none": (at_work, lambda p: p["updates"][-1].update(kind="session.ended"), "its updates differ"),
    "an end in the middle": (ended, lambda p: p["updates"][0].update(kind="session.ended"), "comes after the end"),
    "no end": (ended, lambda p: p["row"].update(ended_at=None), "its updates differ"),
    "a log without a beginning": (ended, lambda p: p["records"][0].update(actor="/w"), "how a log begins"),
    "the last number there is": (at_work, lambda p: p["row"].update(seq=2**32 - 1), "seq: Input should be less"),
    "a user of two lines": (at_work, lambda p: p["row"].update(user="a\nb"), "user: String should match"),
    "a row with more": (at_work, lambda p: p["row"].update(role="admin"), "role: Extra"),
    "a token without an id": (at_work, lambda p: p["tokens"][0].update(id=""), "no token: id"),
    "a token of the same id": (at_work, lambda p: p["tokens"][0].update(id=p["tokens"][1]["id"]), "is there already"),
    "a token twice": (at_work, lambda p: p["tokens"][0].update(digest=p["tokens"][1]["digest"]), "is there already"),
    "a digest with spaces": (at_work, lambda p: p["tokens"][0].update(digest="00 " * 31 + "00"), "no token: digest"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_what_could_not_have_been_written_here_is_refused_by_line(name: str) -> None:
    """L1, C7, rule 9: each of these would be met later, by clients, by a neighbour, or by the next start."""
    base, alter, says = ALTERED[name]
    plain = base()
    alter(plain)
    with pytest.raises(Refused, match=rf"^line \d+: .*{says}"):
        imported(unpack(closed(plain)), PLANS, 1e9, "ab" * 6)


def test_the_line_is_that_of_the_mistake() -> None:
    """Also of one that only shows in what the record makes of the session."""
    plain = opened(whole()[10])
    at = next(n for n, record in enumerate(plain["records"]) if n > 0 and "data" in record)
    plain["records"][at]["data"] = [1]
    with pytest.raises(ParcelError, match="data") as told:
        imported(unpack(closed(plain)), PLANS, 1e9, "ab" * 6)
    assert told.value.line == at + 2


@in_virtual_time
async def test_an_end_of_long_ago_is_kept_from_now_on() -> None:
    """L9: it is brought in to be read, not to be dropped with the next round."""
    plain = ended()
    plain["row"]["ended_at"] -= 90 * RETENTION_S
    async with Rig(COMPILED) as r:
        session = await r.manager.transfer.take_in(closed(plain))
        await r.advance(RETENTION_S - 2 * RECONCILE_S)
        assert await r.manager.find(session.sid) is session
        await r.advance(4 * RECONCILE_S)
        assert await r.manager.find(session.sid) is None


@in_virtual_time
async def test_a_token_opens_one_session_also_if_two_come_at_once() -> None:
    """L12: the second is refused for what it is, and not as if the store were away."""
    one, other = at_work(), at_work()
    other["row"]["sid"] = "s.other"
    async with Rig(COMPILED) as r:
        take_in = r.manager.transfer.take_in
        found = await asyncio.gather(take_in(closed(one)), take_in(closed(other)), return_exceptions=True)
        refused = [result for result in found if isinstance(result, Refused)]
        assert ([one.code for one in refused], r.manager.live) == (["exists"], 1)
