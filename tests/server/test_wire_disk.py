"""A disk that fails at any one operation of two sessions' lives, or from there on: whoever asked is told, the sessions
go on, and nothing anybody saw or was answered is lost. The parts are real, from the connection's core to SQLite on a
file; only sockets, time and the disk below SQLite are not."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from engine.errors import JournalError, Refused
from engine.journal import schema
from engine.journal.memory import MemoryJournal
from engine.journal.queued import Job, QueuedJournal, run_changes, run_reads
from engine.journal.sqlite import SqliteStore
from engine.live.admission import SLOW_S
from engine.testing.rig import machines
from engine.testing.virtual import in_virtual_time, run_virtual
from server.auth import digest_of
from server.desk import Right
from tests.journal.faulty_disk import FaultyDisk
from tests.server import wire_handlers
from tests.server.conftest import LIFECYCLE
from tests.server.long import size
from tests.server.simulated import Client, Server, Truth

STEP = size(31, 1)  # every operation in the long form, every 31st in the suite
ERRORS = [apsw.IOError("injected"), apsw.FullError("injected"), apsw.ReadOnlyError("injected")]
MACHINES = machines(LIFECYCLE, wire_handlers)
PATIENCE_S = 60  # of virtual time; whoever has got no answer by then never gets one
TRIES = 5
GRACE_S = 10.0  # of the simulated server


class FileJournal(QueuedJournal):
    """A journal in a file whose thread is the loop itself: what is queued in one turn is on the disk in the next."""

    def __init__(self, path: Path) -> None:
        super().__init__(SqliteStore(str(path)))
        self._jobs: list[Job] = []

    async def open(self) -> None:
        self._store.open()
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        self._run()
        self._loop = None
        self._store.close()

    def _put(self, job: Job) -> None:
        if not self._jobs:
            asyncio.get_running_loop().call_soon(self._run)
        self._jobs.append(job)

    def _run(self) -> None:
        jobs, self._jobs = self._jobs, []
        self._settle(run_changes(self._store, jobs))
        self._settle(run_reads(jobs))


class Life:
    """Two sessions through two lives of a server. told: how somebody was told that the disk had failed, each time; it
    is mended then."""

    def __init__(self, folder: Path, disk: FaultyDisk) -> None:
        self.folder = folder
        self.disk = disk
        self.truth = Truth()
        self.told: list[str] = []
        self.tokens = [secrets.token_urlsafe(32) for _ in range(2)]
        one, other = self.tokens
        self.anna, self.bert = Client(self.truth, one, "anna"), Client(self.truth, one, "bert")
        self.neighbour = Client(self.truth, other, "neighbour")
        self.clients = (self.anna, self.bert, self.neighbour)

    async def run(self) -> None:
        await self.start()
        for client in self.clients:
            await self.come(client)
        await self.say(*self.clients)
        self.anna.hang_up()
        await self.grant()
        await self.come(self.anna)
        await self.say(self.anna, self.neighbour)
        await self.sleep_and_wake()
        await self.server.stop()
        await self.start()
        for client in self.clients:
            await self.come(client)
        await self.say(*self.clients)
        self.neighbour.command("terminate")
        await self.answers(self.neighbour)
        await self.say(self.bert)
        self.disk.recover()
        await self.judge()
        await self.server.stop()

    def tell(self, how: str) -> None:
        """Somebody is told, and mends the disk."""
        self.told.append(how)
        self.disk.recover()

    async def start(self) -> None:
        for _ in range(TRIES):
            self.server = Server(MACHINES, FileJournal(self.folder / "journal.db"), self.folder)
            try:
                return await self.server.start()
            except JournalError as error:
                self.tell(f"start: {error}")
                await self.server.manager.shutdown(1)
        raise AssertionError(f"it does not start: {self.told}")

    async def come(self, client: Client) -> None:
        """Dial until there is a welcome; each time there is none, a close says that it is worth to come again."""
        for _ in range(TRIES):
            client.dial(self.server.accept(), {} if client is not self.bert else None)
            for _ in range(PATIENCE_S):
                await self.server.settle()
                client.read()
                if client.is_welcome:
                    return
                if client.line is None:
                    break
                await self.server.advance(1)
            assert client.close is not None, f"{client.cid} waits for ever"
            assert 4100 <= client.close < 4200, f"{client.cid} was closed with {client.close}"
            self.tell(f"hello: {client.close}")
            await self.server.advance(1)
        raise AssertionError(f"{client.cid} does not come in: {self.told}")

    async def say(self, *clients: Client) -> None:
        for client in clients:
            for _ in range(2):
                client.command("say", text=f"{client.cid} {client.c + 1}")
        await self.answers(*clients)

    async def answers(self, *clients: Client) -> None:
        """Until every command is answered; meanwhile the clients keep the rules."""
        for _ in range(PATIENCE_S):
            await self.server.settle()
            for client in clients:
                client.read()
                if client.told:
                    self.tell(client.told.pop())
                if client.line is None or client.line.is_closing():
                    await self.come(client)
            if not any(client.unanswered for client in clients):
                return
            await self.server.advance(1)
            for client in clients:
                if client.is_welcome:
                    client.send_unanswered()
        raise AssertionError(f"no answer; told: {self.told}")

    async def grant(self) -> None:
        """What HTTP asks: one more right, and to have it revoked."""
        for _ in range(TRIES):
            try:
                row = await self.server.manager.token(digest_of(self.anna.token))
                assert row is not None
                session = await self.server.manager.find(row.sid)
                assert session is not None
                async with asyncio.timeout(self.server.timing.answer_s):
                    token_id, _ = await self.server.desk.grant(Right(session, "control", row.id), "observe")
                    assert await self.server.desk.revoke(session, token_id)
                return
            except (JournalError, Refused, TimeoutError) as error:
                self.tell(f"grant: {error!r}")
                await self.server.advance(3)
        raise AssertionError(f"nothing is granted: {self.told}")

    async def sleep_and_wake(self) -> None:
        """The neighbour's session leaves memory, and comes back for the next hello."""
        self.neighbour.hang_up()
        await self.server.advance(10)
        (session,) = [one for one in self.server.manager.sessions() if one.sid == self.neighbour.sid]
        self.server.manager._rest.leave(session.sid)
        await self.come(self.neighbour)

    async def judge(self) -> None:
        """L1 to L5, L9: the simulated clients have judged all they saw; here it is held against the log."""
        for _ in range(3):  # a service that needs longer to come back than that comes back too late
            await self.server.advance(5)
            for client in self.clients:
                client.read()
        assert not self.server.manager.admission.is_degraded, "service again"
        assert (self.server.manager.unreadable, self.server.manager.live) == ({}, 1)
        for client, others in ((self.anna, (self.anna, self.bert)), (self.neighbour, (self.neighbour,))):
            log = await self.log(client.token)
            said = [event["data"]["text"] for event in log if event["kind"] == "agent.message"]
            for one in others:
                assert one.seq == len(log), "L3"
                assert one.snaps == 0, "L4: no cursor was lost"
                assert not one.unanswered
                assert all(outcome["ok"] for outcome in one.outcomes.values()), one.outcomes
                mine = [text for text in said if text.startswith(one.cid)]
                assert mine == [frame["args"]["text"] for frame in one.said.values() if frame["args"]], "L5"

    async def log(self, token: str) -> list[Any]:
        row = await self.server.manager.token(digest_of(token))
        assert row is not None
        session = await self.server.manager.find(row.sid)
        assert session is not None
        found = await session.log.read(0, 1000)
        for seq, update in found:
            seen = self.truth.events.get((session.sid, session.epoch, seq))
            assert seen == b'{"t":"ev",' + update[1:], "L1, L2"
        return [json.loads(update) for _, update in found]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyDisk]:
    """With checkpoints all the time, so that they fail as well."""
    monkeypatch.setattr(schema, "WAL_PAGES", 4)
    made = FaultyDisk()
    made.is_hurried = True
    yield made
    made.unregister()


def live(folder: Path, disk: FaultyDisk) -> Life:
    folder.mkdir()
    life = Life(folder, disk)
    run_virtual(life.run())
    return life


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("is_lasting", [False, True], ids=["once", "until it is mended"])
def test_whatever_the_disk_refuses_is_told_and_mended(
    tmp_path: Path, disk: FaultyDisk, error: apsw.Error, is_lasting: bool
) -> None:
    """L1 to L5, C5, M2: an error to whoever asked, every session as it was, and service again when the disk is."""
    disk.error, disk.is_lasting = error, is_lasting
    assert live(tmp_path / "count", disk).told == []
    total, told = disk.count, 0
    for at in range(1 + ERRORS.index(error), total, STEP):
        disk.count, disk.fails_at = 0, at
        life = live(tmp_path / str(at), disk)
        told += bool(life.told)
    assert told > 0


async def served(journal: MemoryJournal, *clients: Client) -> Server:
    server = Server(MACHINES, journal, Path())
    await server.start()
    for client in clients:
        client.dial(server.accept(), {})
        await server.settle()
        client.read()
        assert client.is_welcome
    return server


async def wait(server: Server, seconds: float, *clients: Client) -> None:
    for _ in range(round(seconds * 2)):
        await server.advance(0.5)
        for client in clients:
            client.read()


@in_virtual_time
async def test_a_disk_that_hangs_takes_nothing_new_and_gives_no_verdict() -> None:
    """L5, L10, C7: after SLOW_S what comes may come again; of what the disk has in hand nobody knows what becomes, so
    nobody is told before it answers. Connections live all the while, and then everything is answered once."""
    journal = MemoryJournal()
    anna = Client(Truth(), secrets.token_urlsafe(32), "anna")
    server = await served(journal, anna)
    journal.hold()
    anna.command("say", text="in hand")
    await wait(server, SLOW_S - 1, anna)
    anna.command("say", text="in hand, too")
    await wait(server, 0.5, anna)
    assert anna.told == []
    await wait(server, 0.5, anna)
    assert anna.told == ["note: degraded"]
    anna.command("say", text="later")
    stranger = Client(Truth(), secrets.token_urlsafe(32), "stranger")
    stranger.dial(server.accept(), {})
    await wait(server, 300, anna, stranger)
    assert anna.told == ["note: degraded", "res: store_unavailable"]
    assert (anna.outcomes, anna.is_welcome, stranger.close) == ({}, True, 4104)
    journal.release()
    await wait(server, 1, anna)
    assert sorted(anna.outcomes) == [1, 2]
    anna.send_unanswered()
    await wait(server, 1, anna)
    assert [(c, outcome["ok"]) for c, outcome in sorted(anna.outcomes.items())] == [(1, True), (2, True), (3, True)]
    assert server.manager.live == 1
    await server.stop()


@in_virtual_time
async def test_leaving_a_disk_that_hangs_tells_nobody_more_than_is_known() -> None:
    """L5, L13: within the grace; what was in hand was written after all, which the next process finds."""
    journal = MemoryJournal()
    anna = Client(Truth(), secrets.token_urlsafe(32), "anna")
    server = await served(journal, anna)
    journal.hold()
    anna.command("say", text="in hand")
    await wait(server, 60, anna)
    began = asyncio.get_running_loop().time()
    await server.stop()
    anna.read()
    assert asyncio.get_running_loop().time() - began <= GRACE_S
    assert (anna.outcomes, anna.goaways, anna.close) == ({}, 1, 4000)
    server = await served(journal, anna)
    await wait(server, 1, anna)
    assert anna.outcomes[1]["ok"]
    assert [one["re"]["c"] for one in await said(server, anna)] == [1]
    await server.stop()


async def said(server: Server, client: Client) -> list[Any]:
    session = await server.manager.find(client.sid)
    assert session is not None
    found = [json.loads(update) for _, update in await session.log.read(0, 1000)]
    return [event for event in found if event["kind"] == "agent.message"]
