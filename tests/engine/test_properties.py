"""Properties over sequences of events: whatever comes in whatever order, the invariants of the design hold."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import small_handlers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_handlers import Thing

from engine.attachments import Attachment
from engine.codec import encode
from engine.loader import load_spec
from engine.records import Command, Record
from engine.registry import Registry
from engine.session import Session
from engine.state import fold
from engine.testing.rig import Rig, machines
from engine.testing.virtual import run_virtual
from engine.view import View

SMALL = Path(__file__).parent / "files" / "small.yaml"
COMPILED = machines(SMALL, small_handlers)
SPEC = load_spec(SMALL, Registry.of(small_handlers))

EVENTS = st.sampled_from(["say", "slow", "boom", "secret", "pass_on", "terminate", "nonsense"])
OPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), EVENTS),
        st.tuples(st.just("twice"), EVENTS),
        st.tuples(st.just("burst"), EVENTS),
        st.tuples(st.just("admin"), st.sampled_from(["retry_cleanup", "write_off", "terminate"])),
        st.tuples(st.just("time"), st.sampled_from([0.1, 1.0, 5.0, 31.0])),
        st.tuples(st.just("switch"), st.sampled_from(["raise", "hang", "swallow", "well"])),
        st.tuples(st.just("thing"), st.sampled_from(["stuck_thing", "unkillable_thing", "fine"])),
        st.tuples(st.just("attach"), st.just("")),
        st.tuples(st.just("detach"), st.just("")),
    ),
    max_size=25,
)


class Player:
    """Plays one sequence on one session and keeps what a test needs to judge it."""

    def __init__(self, rig: Rig, session: Session, *, settles: bool = True) -> None:
        self.rig = rig
        self.session = session
        self._settles = settles
        self.outcomes: list[Any] = []
        self._attachments: list[Attachment] = []
        self._c = 0

    async def play(self, ops: list[tuple[str, Any]]) -> None:
        for op, argument in ops:
            await getattr(self, f"do_{op}")(argument)
            if self._settles:
                await self.rig.settle()

    async def do_send(self, name: str) -> None:
        self._c += 1
        self.outcomes.append(await self._send(name, Command("c", self._c, name)))

    async def do_twice(self, name: str) -> None:
        await self.do_send(name)
        again = await self._send(name, Command("c", self._c, name))
        first = self.outcomes[-1]
        assert (again.status, again.code, again.seq) == (first.status, first.code, first.seq), "L5: it is stable"

    async def do_burst(self, name: str) -> None:
        sent = []
        for _ in range(5):
            self._c += 1
            sent.append(self._send(name, Command("c", self._c, name)))
        self.outcomes += await asyncio.gather(*sent)

    async def do_admin(self, name: str) -> None:
        payload = {"reason": "test"} if name == "write_off" else {}
        self.outcomes.append(await self.rig.send(self.session, name, payload, origin="admin"))

    async def do_time(self, seconds: float) -> None:
        await self.rig.advance(seconds)

    async def do_switch(self, way: str) -> None:
        self.rig.services["work"] = way

    async def do_thing(self, way: str) -> None:
        self.rig.services.pop("stuck_thing", None)
        self.rig.services.pop("unkillable_thing", None)
        if way != "fine":
            self.rig.services["stuck_thing"] = True
            self.rig.services[way] = True

    async def do_attach(self, _: str) -> None:
        self._attachments.append(self.session.attach("control"))

    async def do_detach(self, _: str) -> None:
        if self._attachments:
            self._attachments.pop().detach()

    async def _send(self, name: str, command: Command) -> Any:
        payload = {"text": f"t{command.c}"} if name in ("say", "pass_on") else {}
        return await self.rig.manager.send(self.session.sid, name=name, payload=payload, command=command)


def assert_only_declared_transitions(records: list[Record]) -> None:
    """M1: every step in the log is a transition that the file declares there."""
    for record in records:
        if record.op != "step" or "to" not in record.body:
            continue
        machine = SPEC.machines[record.kind]
        source, event = record.body["from"], record.body["event"]
        here = machine.states[source]
        timers = {f"{word} {one.text}": one for word in ("after", "idle") for one in getattr(here, word)}
        rows = timers[event].transitions if event in timers else machine.rows(source, event)
        assert rows is not None, (source, event)
        assert record.body["to"] in {row.to for row in rows}, (source, event, record.body["to"])


async def finish(r: Rig, session: Session) -> None:
    """Whatever happened: time and one person bring every session to its end (M7, C1)."""
    r.services.clear()
    await r.send(session, "terminate", origin="admin")
    await r.advance(60)
    if session.state == "error":
        await r.send(session, "retry_cleanup", origin="admin")
        await r.advance(60)
    assert session.state == "terminated"


def assert_clients_see_what_is(records: list[Record], updates: list[dict[str, Any]]) -> None:
    """L3: by its updates alone a client knows of no actor that is gone, and the states of the others.

    By the log, not by memory: an actor whose activity swallows its end is still closing what the log has it out of.
    """
    view = View()
    for update in updates:
        view.apply(encode(update))
    seen = {actor["actor"]: actor["state"] for actor in view.shown(2**18)["actors"]}
    assert seen.items() <= {path: actor.state for path, actor in fold(records).actors.items()}.items()


async def history(ops: list[tuple[str, Any]]) -> None:
    Thing.alive.clear()
    async with Rig(COMPILED) as r:
        session = await r.create(user="u", is_connected=False)
        player = Player(r, session)
        await player.play(ops)
        allowed = {"done", "refused", "failed", "deferred"}
        assert {one.status for one in player.outcomes} <= allowed, "M5: each has its outcome, none is a bare no"
        assert all(one.code and one.message for one in player.outcomes if one.status in ("refused", "failed"))
        assert_clients_see_what_is(await r.records(session.sid), await r.updates(session))
        await finish(r, session)
        records = await r.records(session.sid)
        assert_only_declared_transitions(records)
        image = fold(records)
        assert image.actors["/"].state == session.state, "M2, M8"
        assert set(image.actors) == {"/"}, "C2: children end before their parent"
        assert not [m for m in image.pending.values() if m.to in image.actors], "nothing is owed to anybody alive"
        updates = await r.updates(session)
        assert [one["seq"] for one in updates] == list(range(1, len(updates) + 1)), "L1"
        assert updates[-1]["kind"] == "session.ended", "L9"
        assert r.manager.created == r.manager.finished + r.manager.live == 1, "C3"
        assert len(r.manager.clock) <= 1, "only the sweep of old logs is armed"
    gc.collect()
    named = len(r.manager.written_off_list)
    assert len([thing for thing in Thing.alive if thing.is_open]) == named, "C1: gone, or named and kept track of"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ops=OPS)
def test_any_sequence_of_events_keeps_the_invariants(ops: list[tuple[str, Any]]) -> None:
    """M1, M2, M3, M5, M7, M8, C1, C2, C3, L1, L5, L9 over arbitrary events, time, connections and sabotage."""
    run_virtual(history(ops))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(many=st.lists(OPS, min_size=2, max_size=4))
def test_sessions_do_not_see_each_other(many: list[list[tuple[str, Any]]]) -> None:
    """C7: what is done to one session leaves the log of a neighbour as if it were alone."""

    async def alone_and_together() -> None:
        ours = [("send", "say"), ("time", 1.0), ("send", "pass_on"), ("time", 3.0), ("send", "say")]
        alone = await _log_of(ours, [])
        together = await _log_of(ours, many)
        assert alone == together

    run_virtual(alone_and_together())


async def _log_of(ops: list[tuple[str, Any]], others: list[list[tuple[str, Any]]]) -> list[Any]:
    async with Rig(COMPILED) as r:
        session = await r.create(user="us")
        neighbours = [await r.create(user=f"n{index}", is_connected=False) for index in range(len(others))]
        shared = {"switch", "thing", "time", "admin"}  # switches and time are everybody's
        plays = [
            Player(r, one, settles=False).play([op for op in theirs if op[0] not in shared])
            for one, theirs in zip(neighbours, others, strict=True)
        ]
        await asyncio.gather(Player(r, session).play(ops), *plays)
        result = [(one["seq"], one["kind"], one["data"]) for one in await r.updates(session)]
        for neighbour in neighbours:
            await finish(r, neighbour)
        await finish(r, session)
        return result
