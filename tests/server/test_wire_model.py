"""Clients, connections, crashes and time in any order: what the protocol promises holds (L1 to L9, L12).

The parts are the real ones, from the connection's core to the journal; only sockets, time and the process are not.
The model is what each client has seen and was answered; simulated.py fails as soon as that breaks a promise.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.codec import encode
from engine.errors import JournalError
from engine.journal.memory import MemoryJournal
from engine.live.admission import SLOW_S
from engine.live.upkeep import QUIET_LOOK_S
from engine.log.kept import LogLimits
from engine.log.view import View
from engine.testing.rig import machines
from engine.testing.virtual import VirtualLoop
from server.auth import digest_of
from server.desk import Right
from server.outbox import SNAP_BYTES_MAX
from tests.server import wire_handlers
from tests.server.conftest import LIFECYCLE
from tests.server.long import size
from tests.server.simulated import Client, Line, Server, Truth, WholeStore

MACHINES = machines(LIFECYCLE.read_text().replace("connections: 4", "connections: 16"), wire_handlers)
DEAD_S = 25.0
LOG_LIMITS = LogLimits(events=24)
IDLE_MEMORY_S = 2.0
REBUILT_MAX = 2  # in the life of a process; more often it is done after longer and longer pauses
UP = ("initializing", "active", "reconnecting")
T = TypeVar("T")

who = st.integers(0, 2)


class Wire(RuleBasedStateMachine):
    """Two control clients and an observer of one session, and whatever happens to them."""

    def __init__(self) -> None:
        super().__init__()
        self.store = WholeStore()
        self.journal = MemoryJournal(self.store)
        self.truth = Truth()
        self.token = secrets.token_urlsafe(32)
        self.clients = [Client(self.truth, self.token, cid) for cid in ("a", "b")]
        self.clients.append(Client(self.truth, self.token, "", role="observe"))
        self.others: list[Line] = []
        self.is_held = False
        self.rebuilt = 0
        self.runner: Any = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        result: T = self.runner.run(work)
        return result

    def settle(self) -> None:
        self.run(self.server.settle())

    @initialize()
    def begin(self) -> None:
        self.open()
        self.dial(0, create=True)

    def open(self) -> None:
        self.rebuilt = 0
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.server = Server(MACHINES, self.journal, Path(), LOG_LIMITS, IDLE_MEMORY_S)
        self.run(self.server.start())

    # What clients do.

    def dial(self, number: int, *, create: bool = False, lies: bool = False) -> Client:
        client = self.clients[number]
        line = self.run(self._accept())
        client.dial(line, {} if create else None, lies=lies)
        self.settle()
        return client

    async def _accept(self) -> Line:
        return self.server.accept()

    @rule(number=who, reads=st.booleans())
    def dials_again(self, number: int, reads: bool) -> None:
        """L8, L12: a welcome, unless the store stalls or the log is gone. Without reading it: a lost welcome."""
        client = self.dial(number, create=number < 2)
        if not reads:
            client.hang_up()
            self.settle()
            return
        client.read()
        assert client.is_welcome or client.close in (4500,) or self.is_held, client.close

    @rule(number=who)
    def lies_about_its_cursor(self, number: int) -> None:
        """L4: what cannot go on begins with a snapshot."""
        if self.clients[number].seq:
            before = self.clients[number].snaps
            client = self.dial(number, lies=True)
            client.read()
            assert client.snaps == before + 1 or not client.is_welcome

    @rule(number=st.integers(0, 1), age=st.integers(0, 2))
    def a_copy_dials(self, number: int, age: int) -> None:
        """L7: a copied tab has the same cid and no newer n; it is turned away as long as the other is live."""
        client = self.clients[number]
        is_live = client.is_welcome and client.line is not None and not client.line.is_closing()
        copy = Client(self.truth, self.token, client.cid)
        copy.n = max(0, client.n - 1 - age)
        if not is_live or self.is_held:
            return
        copy.dial(self.run(self._accept()))
        self.settle()
        copy.read()
        assert copy.close == 4501 or client.is_over, copy.close
        client.read()
        assert client.close is None or client.is_over

    @rule(number=st.integers(0, 1), times=st.integers(1, 5))
    def speaks(self, number: int, times: int) -> None:
        client = self.clients[number]
        for _ in range(times):
            if len(client.unanswered) < 30:
                client.command("say", text=f"{client.cid} {client.c + 1}")
        self.settle()

    @rule(number=st.integers(0, 1))
    def repeats_itself(self, number: int) -> None:
        """L5: the same number again gets the same outcome, and nothing happens twice."""
        client = self.clients[number]
        if client.is_welcome and client.said:
            for c in list(client.said)[-3:]:
                client.send(client.said[c])
            self.settle()

    @rule(number=st.integers(0, 1))
    def asks_again(self, number: int) -> None:
        """L5: new commands may have gone out behind one that nothing was decided about; they wait for it."""
        client = self.clients[number]
        client.read()
        if client.is_welcome:
            client.send_unanswered()
            self.settle()

    @rule(number=who, most=st.integers(1, 4))
    def reads_some(self, number: int, most: int) -> None:
        """Connections are read in any order, so what one has seen is ahead of the other."""
        self.clients[number].read(most)
        self.settle()

    @rule(number=who)
    def hangs_up(self, number: int) -> None:
        self.clients[number].hang_up()
        self.settle()

    @rule(number=who)
    def freezes(self, number: int) -> None:
        """It reads nothing and answers no ping, and its connection stays."""
        client = self.clients[number]
        if client.line is not None:
            client.line.is_frozen = True
            self.others.append(client.line)
            client.line, client.is_welcome = None, False

    @rule(seconds=st.sampled_from([0.3, 5.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        for _ in range(int(seconds / 5) + 1):
            for client in self.clients:
                client.read()
            self.run(asyncio.sleep(min(seconds, 5.0)))
        self.settle()

    @rule()
    def dead_peers_are_found(self) -> None:
        """L10: 25 s after the last byte, and nobody else is."""
        for client in self.clients:
            client.read()
        living = [client for client in self.clients if client.is_welcome]
        for _ in range(6):
            self.run(asyncio.sleep((DEAD_S + 1) / 6))
            for client in self.clients:
                client.read()
            self.settle()
        assert all(line.is_closing() for line in self.others)
        assert all(client.is_welcome or client.is_over for client in living)
        self.others.clear()

    @precondition(lambda self: not self.is_held)
    @rule()
    def a_right_is_revoked(self) -> None:
        """L12: its socket is closed at once, and it never attaches again; nor does a foreign one."""
        session = self.run(self._find())
        if session is None or session.is_ended:
            return
        token_id, token = self.run(self.server.desk.grant(Right(session, "control"), "observe"))
        guest = Client(self.truth, token, "", role="observe")
        guest.dial(self.run(self._accept()))
        self.settle()
        guest.read()
        assert guest.is_welcome
        assert self.run(self.server.desk.revoke(session, token_id))
        self.server.pool.stop_token(token_id)
        self.settle()
        guest.read()
        assert guest.close == 4300
        for one in (guest, Client(self.truth, secrets.token_urlsafe(32), "x")):
            one.dial(self.run(self._accept()))
            self.settle()
            one.read()
            assert (one.close, one.is_welcome) == (4300, False), one.close

    @precondition(lambda self: not self.is_held)
    @rule(number=st.integers(0, 1), is_sure=st.integers(0, 3))
    def ends_it(self, number: int, is_sure: int) -> None:
        if is_sure == 0:
            self.clients[number].command("terminate")
            self.settle()

    # What happens to the server.

    @precondition(lambda self: not self.is_held)
    @rule()
    def the_store_stalls(self) -> None:
        self.journal.hold()
        self.is_held = True

    @precondition(lambda self: not self.is_held)
    @rule(number=st.integers(0, 1))
    def the_store_is_away_for_a_command(self, number: int) -> None:
        """L5: for so long that nothing is decided about it. The next finds the store well, and is not applied first."""
        self.dials_again(number, reads=True)
        self.the_store_stalls()
        self.speaks(number, 1)
        self.time_passes(SLOW_S + 1)
        self.speaks(number, 1)
        self.the_store_goes_on()
        self.speaks(number, 1)

    @precondition(lambda self: self.is_held)
    @rule()
    def the_store_goes_on(self) -> None:
        self.journal.release()
        self.is_held = False
        self.run(asyncio.sleep(1))
        self.settle()

    @precondition(lambda self: not self.is_held)
    @rule(number=st.integers(0, 1), times=st.integers(1, 3))
    def the_store_fails(self, number: int, times: int) -> None:
        """L5, M2: what was not written is asked for again until it is; nobody is told before."""
        client = self.dial(number, create=True)
        client.read()
        self.journal.fail_next(JournalError("the disk reports an error"), times)
        self.speaks(number, 2)
        self.run(asyncio.sleep(2))
        self.store.failures.clear()
        self.settle()

    @precondition(lambda self: not self.is_held and self.rebuilt < REBUILT_MAX)
    @rule()
    def a_session_is_rebuilt(self) -> None:
        """L3, L5: a fault of the engine costs its clients a dial."""
        self.rebuilt += 1
        self.run(self._fail())
        self.run(asyncio.sleep(1))
        self.settle()
        for client in self.clients:
            client.read()

    async def _fail(self) -> None:
        session = await self._find()
        if session is not None:
            session.fail(RuntimeError("a fault of the engine"))

    @precondition(lambda self: not self.is_held)
    @rule()
    def everybody_is_away_for_a_while(self) -> None:
        """L8: long enough for the session to leave memory, and too short for its window to end."""
        for number in range(len(self.clients)):
            self.hangs_up(number)
        self.run(self._leave_memory())
        self.settle()

    async def _leave_memory(self) -> None:
        await asyncio.sleep(IDLE_MEMORY_S)
        self.server.manager._upkeep.look_soon()
        await asyncio.sleep(QUIET_LOOK_S)

    @rule(number=st.integers(0, 1))
    def somebody_talks_much(self, number: int) -> None:
        """L4: more than the log keeps, so that who is behind has lost their place."""
        self.speaks(number, LOG_LIMITS.events)
        self.run(asyncio.sleep(1))
        self.clients[number].read()
        self.settle()

    @rule()
    def the_process_is_killed(self) -> None:
        """What was not on the disk is gone, and nobody has seen it (L2)."""
        self.journal.hold()
        for client in self.clients:
            client.read()
        self.runner.close()
        self.is_held = False
        self._all_are_cut()
        self.open()

    @precondition(lambda self: not self.is_held)
    @rule()
    def the_process_is_asked_to_leave(self) -> None:
        """L13: everybody who can read is told."""
        listening = [client for client in self.clients if client.is_welcome]
        told = [client.goaways for client in listening]
        self.run(self.server.stop())
        for client in listening:
            client.read()
        for client, before in zip(listening, told, strict=True):
            assert client.goaways == before + 1 or client.is_over or client.close == 4501
        self.runner.close()
        self._all_are_cut()
        self.open()

    def _all_are_cut(self) -> None:
        for client in self.clients:
            client.line, client.is_welcome = None, False
        self.others.clear()

    # What holds at any time.

    async def _find(self) -> Any:
        row = await self.server.manager.token(digest_of(self.token))
        return None if row is None else await self.server.manager.find(row.sid)

    @invariant()
    def one_live_socket_a_cid(self) -> None:
        """L7."""
        if self.runner is None:
            return
        live = Counter(
            one.key
            for one in self.server.pool.connections
            if one.key is not None and not one.is_stopped()  # type: ignore[attr-defined]
        )
        assert all(count == 1 for count in live.values())

    @invariant()
    def one_session(self) -> None:
        """L12: however often a welcome was lost."""
        if self.runner is not None:
            assert self.server.manager.live <= 1

    def teardown(self) -> None:
        try:
            if self.runner is not None:
                self._judge()
        finally:
            if self.runner is not None:
                self.runner.close()

    def _judge(self) -> None:
        """Everybody dials once more and reads all there is; then the log is what they saw, and says each thing once."""
        if self.is_held:
            self.the_store_goes_on()
        for number in range(len(self.clients)):
            client = self.dial(number, create=number < 2)
            client.read()
        self.run(asyncio.sleep(2))
        self.settle()
        session = self.run(self._find())
        log = self.store.told[session.sid]
        for client in self.clients:
            client.read()
            if not client.is_over:
                assert client.is_welcome, client.close
            assert client.seq == len(log), "L3: a prefix of the log, and here the whole"
            assert not client.unanswered, "every command is answered"
        for (_, _, seq), payload in self.truth.events.items():
            assert payload == b'{"t":"ev",' + log[seq - 1][1:], "L2: what anybody has seen is in the log"
        for seq, data in self.truth.snaps:
            assert data == seen_at(log, seq), "L3: a snapshot tells what the events before it come to"
        said = [event["data"]["text"] for event in map(json.loads, log) if event["kind"] == "agent.message"]
        assert len(said) == len(set(said)), "L5: nothing twice"
        for client in self.clients[:2]:
            mine = [int(text.split()[1]) for text in said if text.startswith(client.cid)]
            assert mine == sorted(mine), "L5: in order"
            done = {c for c, one in client.outcomes.items() if one["ok"] and client.said[c]["name"] == "say"}
            assert done == set(mine), "L5: each once, and no other"
        ends = [n for n, event in enumerate(map(json.loads, log), 1) if event["kind"] == "session.ended"]
        assert ends == ([len(log)] if session.is_ended else []), "L9"


def seen_at(log: list[bytes], seq: int) -> Any:
    """What a client sees that has applied all events up to a number."""
    view = View()
    for text in log[:seq]:
        view.apply(text)
    return json.loads(encode(view.shown(SNAP_BYTES_MAX)))


def test_a_lost_answer_is_given_again() -> None:
    """L5: the outcome is in the log, whatever becomes of connection and process before it is read."""
    wire = Wire()
    wire.begin()
    client = wire.clients[0]
    try:
        for lose in (client.hang_up, wire.the_process_is_killed, wire.a_session_is_rebuilt):
            client.read()
            wire.speaks(0, 3)
            assert client.line is not None
            client.line.to_client.clear()
            lose()
            wire.dials_again(0, reads=True)
            wire.settle()
            client.read()
            assert sorted(client.outcomes) == sorted(client.said)
    finally:
        wire.teardown()


def test_promises_hold_whatever_happens() -> None:
    """L1 to L9, L12, L13 over connections, crashes, stalls and time in any order."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Wire,
        settings=settings(
            max_examples=size(40, 2000),
            stateful_step_count=size(25, 60),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
