"""Properties over sequences of events: whatever comes in whatever order, the invariants of the design hold."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import small_handlers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from small_handlers import Thing

from engine.codec import encode
from engine.log.state import fold
from engine.log.view import View
from engine.records import Command, Record
from engine.session import Session
from engine.testing.lifecycle import read
from engine.testing.properties import lifecycle_state_machine
from engine.testing.rig import Rig
from engine.testing.virtual import run_virtual

SMALL = read(Path(__file__).parent / "files" / "small.yaml", small_handlers)


class Sessions(lifecycle_state_machine(SMALL)):  # type: ignore[misc]
    """M1-M8, C2, C3, L1, L5, L9 after whatever happens to a session, and here: everything ends, clean or named."""

    def __init__(self) -> None:
        Thing.alive.clear()
        super().__init__()

    @precondition(lambda self: not self.session.is_ended)
    @rule()
    def crash(self) -> None:
        super().crash()
        Thing.alive.clear()  # what a process had in memory is gone with it

    def teardown(self) -> None:
        self.trouble.clear()
        self.run(self.finish())
        super().teardown()
        gc.collect()
        named = len(self.rig.manager.written_off_list)  # also what is gone, where its probe did not see it
        assert len([thing for thing in Thing.alive if thing.is_open]) <= named, "C1: gone, or named and kept track of"

    async def finish(self) -> None:
        """Whatever happened: time and one person bring every session to its end (M7, C1)."""
        await finish(self.rig, self.session)
        records = await self.rig.records(self.session.sid)
        assert_clients_see_what_is(records, await self.rig.updates(self.session))
        assert set(fold(records).actors) == {"/"}, "C2: children end before their parent"
        assert len(self.rig.manager.clock) <= 1, "only the sweep of old logs is armed"


TestSessions = Sessions.TestCase
TestSessions.settings = settings(TestSessions.settings, max_examples=50, stateful_step_count=25)


class Workers(lifecycle_state_machine(SMALL, "worker")):  # type: ignore[misc]
    """The same, sent to the children."""


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(TestWorkers.settings, max_examples=15, stateful_step_count=25)


async def finish(r: Rig, session: Session) -> None:
    await r.send(session, "terminate", origin="admin")
    await r.advance(60)
    if r.manager.live and session.state == "error":
        await r.send(session, "retry_cleanup", origin="admin")
        await r.advance(60)
    assert session.state == "terminated"


def assert_clients_see_what_is(records: list[Record], updates: list[dict[str, Any]]) -> None:
    """L3: by its updates alone a client knows of no actor that is gone, and the states of the others."""
    view = View()
    for update in updates:
        view.apply(encode(update))
    seen = {actor["actor"]: actor["state"] for actor in view.shown(2**18)["actors"]}
    assert seen.items() <= {path: actor.state for path, actor in fold(records).actors.items()}.items()


NAMES = st.sampled_from(["say", "slow", "boom", "secret", "pass_on", "terminate", "nonsense"])


class Player:
    """Sends one sequence of events to one session."""

    def __init__(self, rig: Rig, session: Session) -> None:
        self._rig = rig
        self._session = session
        self._c = 0

    async def play(self, names: list[str]) -> None:
        for name in names:
            self._c += 1
            payload = {"text": f"t{self._c}"} if name in ("say", "pass_on") else {}
            command = Command("c", self._c, name)
            await self._rig.manager.send(self._session.sid, name=name, payload=payload, command=command)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(many=st.lists(st.lists(NAMES, max_size=15), min_size=2, max_size=4))
def test_sessions_do_not_see_each_other(many: list[list[str]]) -> None:
    """C7: what is done to one session leaves the log of a neighbour as if it were alone."""

    async def alone_and_together() -> None:
        assert await _log_of([]) == await _log_of(many)

    run_virtual(alone_and_together())


async def _log_of(others: list[list[str]]) -> list[Any]:
    async with SMALL.rig() as r:
        session = await r.create(user="us")
        neighbours = [await r.create(user=f"n{index}", is_connected=False) for index in range(len(others))]
        plays = [Player(r, one).play(names) for one, names in zip(neighbours, others, strict=True)]
        await asyncio.gather(_ours(r, session), *plays)
        result = [(one["seq"], one["kind"], one["data"]) for one in await r.updates(session)]
        for neighbour in (*neighbours, session):
            await finish(r, neighbour)
        return result


async def _ours(r: Rig, session: Session) -> None:
    player = Player(r, session)
    for name, seconds in (("say", 1.0), ("pass_on", 3.0), ("say", 0.0)):
        await player.play([name])
        await r.advance(seconds)
