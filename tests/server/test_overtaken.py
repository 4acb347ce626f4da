"""Clients of a log that is trimmed under them: whatever they miss they are told of, and they end where all others are.

The parts are the real ones, from the connection to the journal; only sockets and the process are not.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.codec import decode, encode
from engine.journal.base import Journal
from engine.journal.memory import MemoryJournal
from engine.journal.sqlite import SqliteJournal
from engine.log.kept import LogLimits
from engine.log.view import View
from engine.session import Session
from engine.testing.rig import machines
from engine.testing.virtual import run_virtual
from server.outbox import UNSENT_BYTES_MAX
from tests.server import wire_handlers
from tests.server.conftest import LIFECYCLE
from tests.server.simulated import Client, Server, Truth

MACHINES = machines(LIFECYCLE.read_text().replace("connections: 4", "connections: 16"), wire_handlers)
FEW = LogLimits(events=12)
FRAME = 2**18
BIG = UNSENT_BYTES_MAX // 3  # a frozen line takes a few of these, then its writer stands
QUIET_TURNS = 8

who = st.integers(0, 2)
OPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 12)),
        st.tuples(st.just("big"), st.integers(3, 8)),
        st.tuples(st.sampled_from(["dial", "read", "hang_up", "freeze", "thaw"]), who),
        st.tuples(st.just("dial_from"), st.tuples(who, st.sampled_from(["old", "none", "other", "ahead"]))),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)


class Follower(Client):
    """A client that builds what it is told of, and dials with any cursor one can think of."""

    def __init__(self, truth: Truth, token: str) -> None:
        super().__init__(truth, token, "", role="observe")
        self.built = View()
        self.snapped = 0  # also in the middle of a log
        self._saved: tuple[int, str, dict[str, Any]] = (0, "", self.built.to_json())

    def save(self) -> None:
        """Once, as a page does that is closed and comes back much later."""
        if not self._saved[0]:
            self._saved = (self.seq, self.epoch, decode(encode(self.built.to_json())))

    def stand(self, how: str) -> None:
        """Where it says it stands when it dials next."""
        self.hang_up()
        if how == "old":
            self.seq, self.epoch, saved = self._saved
            self.built = View.from_json(saved)
        elif how == "none":
            self.seq, self.built = 0, View()
        elif how == "other":
            self.seq, self.epoch = self.seq or 1, "another"
        else:
            self.seq += 10_000

    def _on_snap(self, frame: dict[str, Any], payload: bytes) -> None:
        assert len(payload) <= FRAME
        self._owes_snap = True  # announced by the frame itself
        super()._on_snap(frame, payload)
        self.snapped += 1
        self.built = View.from_json({"seq": frame["seq"], **frame["data"]})

    def _on_ev(self, frame: dict[str, Any], payload: bytes) -> None:
        before = self.seq
        super()._on_ev(frame, payload)
        if self.seq > before:
            self.built.apply(encode({name: value for name, value in frame.items() if name != "t"}))


class Play:
    """One session, three followers, and a record of everything that was ever in its log."""

    def __init__(self, journal: Journal, settle: Callable[[Server], Awaitable[None]]) -> None:
        self._journal = journal
        self._settle = settle
        self._token = secrets.token_urlsafe(32)
        truth = Truth()
        self.followers = [Follower(truth, self._token) for _ in range(3)]
        self.whole: dict[int, bytes] = {}
        self.overtaken = 0

    async def begin(self) -> None:
        await self._start()
        keeper = Client(Truth(), self._token, "keeper")
        keeper.dial(self._server.accept(), {})
        await self.settle()
        keeper.read()
        self._sid = keeper.sid
        await self._watch()
        keeper.hang_up()

    async def _start(self) -> None:
        self._server = Server(MACHINES, self._journal, Path(), FEW)
        await self._server.start()

    async def _watch(self) -> None:
        session = await self._session()
        session.attach("control")

        def note() -> None:
            self.whole.update(session.log._tail)

        note()
        session.log.watch(note)
        await self.settle()

    async def _session(self) -> Session:
        session = await self._server.manager.find(self._sid)
        assert session is not None
        return session

    async def settle(self) -> None:
        await self._settle(self._server)

    async def run(self, ops: list[tuple[str, Any]]) -> None:
        for op, argument in ops:
            await getattr(self, f"do_{op}")(argument)
            await self.settle()
        await self.judge()
        await self._server.stop_at_once()

    async def do_say(self, times: int) -> None:
        for number in range(times):
            await self._server.manager.send(self._sid, name="say", payload={"text": str(number)})

    async def do_big(self, times: int) -> None:
        for _ in range(times):
            await self._server.manager.send(self._sid, name="big", payload={"size": BIG})

    async def do_dial(self, number: int) -> None:
        follower = self.followers[number]
        follower.dial(self._server.accept())

    async def do_dial_from(self, argument: tuple[int, str]) -> None:
        number, how = argument
        follower = self.followers[number]
        follower.stand(how)
        snapped = follower.snapped
        await self.do_dial(number)
        await self.settle()
        follower.read()
        if how in ("other", "ahead"):
            assert follower.snapped > snapped, "L4"

    async def do_read(self, number: int) -> None:
        self.followers[number].read()
        self.followers[number].save()

    async def do_hang_up(self, number: int) -> None:
        self.followers[number].hang_up()

    async def do_freeze(self, number: int) -> None:
        line = self.followers[number].line
        if line is not None:
            line.is_frozen = True

    async def do_thaw(self, number: int) -> None:
        line = self.followers[number].line
        if line is not None:
            line.thaw()

    async def do_restart(self, _: int) -> None:
        for follower in self.followers:
            follower.hang_up()
        await self._server.stop_at_once()
        await self._start()
        await self._watch()

    async def judge(self) -> None:
        """Everyone catches up, over the connection they have or a new one, and stands where the log stands."""
        session = await self._session()
        for number, follower in enumerate(self.followers):
            await self.do_thaw(number)
            await self.settle()
            before = follower.snapped
            follower.read()
            self.overtaken += follower.snapped - before
            if follower.line is None:
                await self.do_dial(number)
                await self.settle()
                follower.read()
            assert follower.seq == session.log.head
            assert sorted(self.whole) == list(range(1, follower.seq + 1))
            self.compare(follower)

    def compare(self, follower: Follower) -> None:
        """L3: what it has applied is the log from its first event on, or a snapshot and what follows."""
        view = View()
        for seq in range(1, follower.seq + 1):
            view.apply(self.whole[seq])
        told, built = view.shown(FRAME), follower.built.shown(FRAME)
        assert built["messages"] == told["messages"][-len(built["messages"]) :]
        assert built["missing"]["messages"] + len(built["messages"]) == sum(
            not decode(text)["kind"].endswith(".state") for text in self.whole.values()
        )
        assert (built["actors"], built["requests"], built["state"]) == (told["actors"], told["requests"], told["state"])


async def virtually(server: Server) -> None:
    await server.settle()


async def really(server: Server) -> None:
    """Until the store and everyone who waits for it have nothing to do any more."""
    for _ in range(QUIET_TURNS):
        await server.manager.tokens("nobody")
        for _ in range(QUIET_TURNS):
            await asyncio.sleep(0)


async def play(journal: Journal, settle: Callable[[Server], Awaitable[None]], ops: list[tuple[str, Any]]) -> Play:
    one = Play(journal, settle)
    await one.begin()
    await one.run(ops)
    return one


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ops=OPS)
@example(ops=[("dial", 0), ("read", 0), ("freeze", 0), ("big", 8), ("big", 8), ("big", 8), ("thaw", 0), ("read", 0)])
def test_whoever_is_overtaken_is_told_and_stands_where_all_others_do(ops: list[tuple[str, Any]]) -> None:
    """L1, L3, L4 for cursors that are old, of another log, ahead, or none, and for readers that stand still."""
    run_virtual(play(MemoryJournal(), virtually, ops))


def test_a_frozen_reader_is_overtaken_in_the_middle_of_its_connection() -> None:
    """Rule 7 of the protocol: it costs nobody anything, and begins anew with a snapshot when it reads again."""
    ops = [("dial", 0), ("read", 0), ("freeze", 0), ("big", 8), ("big", 8), ("big", 8)]
    done = run_virtual(play(MemoryJournal(), virtually, ops))
    assert done.overtaken == 1


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ops=OPS)
def test_the_same_holds_on_a_disk(ops: list[tuple[str, Any]]) -> None:
    """L1, L3, L4 with the journal that servers use."""
    with TemporaryDirectory() as folder:
        asyncio.run(play(SqliteJournal(Path(folder) / "log"), really, ops))
