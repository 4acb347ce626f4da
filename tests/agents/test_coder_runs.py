"""The coder's team in real time, with real child processes: good code is mended, bad code is ended, nothing is left."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from desk import COMPILED
from fake_model import fake_model, last_words, say
from patience import until
from test_removal import nest

from engine.codec import decode
from engine.journal.memory import MemoryJournal
from engine.session import Session
from engine.sessions import SessionManager
from examples.cage.fence import HELD
from examples.coder import TEAM, make_team
from examples.coder.tasks import ASSIGNMENTS
from handlers.team import Team

WAIT_S = 30.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@dataclass
class Workshop:
    manager: SessionManager
    workspaces: Path

    async def create(self, **options: Any) -> Session:
        given = {"words_per_s": 0, "time_limit_s": 10, **options}
        session = await self.manager.create(data={"team": "coder", "options": given})
        session.attach("control")
        return session

    async def until(self, session: Session, holds: Callable[[list[dict[str, Any]]], Any]) -> list[dict[str, Any]]:
        """The data of all messages and tools, once it holds for them."""
        news = asyncio.Event()
        unwatch = session.log.watch(news.set)
        async with asyncio.timeout(WAIT_S):
            while not holds(found := await said(session)):
                news.clear()
                await news.wait()
        unwatch()
        return found

    async def done(self, session: Session) -> list[dict[str, Any]]:
        """The tester's reports, once the coder has said its last word."""
        found = await self.until(session, lambda rows: any("done" in row for row in rows))
        return [row for row in found if row.get("name") == "run_tests"]


async def said(session: Session) -> list[dict[str, Any]]:
    rows = [decode(text) for _, text in await session.log.read(0, 10_000)]
    return [row["data"] for row in rows if row["kind"] in ("agent.message", "agent.tool")]


@asynccontextmanager
async def workshop(workspaces: Path, team: Team = TEAM, may_break: bool = True) -> AsyncIterator[Workshop]:
    services = {"teams": {"coder": team}, "workspace_root": workspaces, "allow_breaking": may_break}
    manager = SessionManager(COMPILED, MemoryJournal(), services=services)
    await manager.start()
    try:
        yield Workshop(manager, workspaces)
    finally:
        await manager.shutdown(10)
    assert not running(workspaces), "processes are left"
    assert not [path for folder in workspaces.iterdir() for path in folder.iterdir()], "folders are left"


def running(workspaces: Path) -> set[int]:
    """Every process alive that was started for one of these workspaces, whoever its parent is now."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                is_alive = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
                marks = (entry / "cmdline").read_bytes() + (
                    entry / "environ"
                ).read_bytes()  # HOME, also of what it runs
                if is_alive and os.fsencode(f"{workspaces}{os.sep}") in marks:
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("task", ["roman", "brackets", "primes"])
async def test_wrong_code_is_mended(task: str, tmp_path: Path) -> None:
    """The tester's findings go back to the coder; the second attempt passes."""
    async with workshop(tmp_path) as shop:
        session = await shop.create(task=task)
        first, second = await shop.done(session)
        assert not first["ok"]
        assert first["failures"]
        assert (second["ok"], second["ran"], second["failures"], second["ended"]) == (True, 3, [], [])
        assert str(tmp_path) not in str(await said(session)), "where the server keeps its data is its own business"


async def test_a_person_names_the_task(tmp_path: Path) -> None:
    async with workshop(tmp_path) as shop:
        session = await shop.create(task="")
        await state(session, "/", "active")
        await shop.manager.send(session.sid, name="say", payload={"text": "please write primes"})
        assert [one["task"] for one in await shop.done(session)] == ["primes", "primes"]


async def test_hostile_programs_are_written_only_where_the_operator_breaks_things(tmp_path: Path) -> None:
    """Neither as an option nor by naming one to the coder."""
    async with workshop(tmp_path, may_break=False) as shop:
        refused = await shop.create(task="bomb")
        async with asyncio.timeout(WAIT_S):
            await asyncio.shield(refused.ended)
        last = [decode(text) for _, text in await refused.log.read(0, 100)][-1]
        assert "task: has to be '', 'roman', 'brackets' or 'primes'" in last["data"]["why"]
        session = await shop.create(task="")
        await state(session, "/", "active")
        await shop.manager.send(session.sid, name="say", payload={"text": "please write bomb"})
        await shop.until(session, lambda rows: any("I know roman" in row.get("text", "") for row in rows))


async def test_a_workspace_is_removed_whatever_is_in_it(tmp_path: Path) -> None:
    """C1: folders too deep for a path, or locked, do not keep a session from its end."""
    async with workshop(tmp_path) as shop:
        session = await shop.create(task="")
        await state(session, "/", "active")
        nest(tmp_path / session.sid, 50)
        await shop.manager.send(session.sid, name="terminate")
        async with asyncio.timeout(WAIT_S):
            await asyncio.shield(session.ended)
        assert (session.state, session.report and session.report["ok"]) == ("terminated", True)
        assert list(tmp_path.iterdir()) == []


# (task, what the report says, in failures or ended)
HOSTILE = [
    ("spins", "ran longer than 1 s"),
    ("stubborn", "did not care to be asked, and were killed"),
    ("forks", "left 4 processes running"),
    ("bomb", "8 are allowed"),
    ("escapes", "PermissionError"),
    ("floods", "wrote more than 64 KiB"),
    ("hoards", "MemoryError"),
    ("peeks", "tried to leave its folder: opened /etc/passwd"),
    ("peeks-by-cat", "returned non-zero exit status"),
    ("quits", "ended by itself with exit code 0 before all tests had run"),
    ("nests", "nested folders deeper than 32"),
    ("fills", "filled more than 32 MiB of disk"),
    ("meddles", "PermissionError"),
]


@pytest.mark.parametrize("task, named", HOSTILE)
async def test_a_hostile_program_is_ended_and_named(task: str, named: str, tmp_path: Path) -> None:
    """C4: within its limits, with its whole process group; workshop() looks for what is left."""
    async with workshop(tmp_path) as shop:
        # The stubborn one has to have come as far as ignoring the signal, on a busy machine too.
        session = await shop.create(task=task, time_limit_s={"spins": 1, "stubborn": 2}.get(task, 10))
        (report,) = await shop.done(session)
        assert not report["ok"]
        assert named in "; ".join([*report["failures"], *report["ended"]])
        assert len(report["output"]) <= 2000


def test_every_hostile_program_is_tried() -> None:
    assert {name for name, one in ASSIGNMENTS.items() if one.is_hostile} == {task for task, _ in HOSTILE}


@pytest.mark.parametrize("how", ["terminate", "interrupt"])
async def test_ending_the_work_ends_the_process_group(how: str, tmp_path: Path) -> None:
    """C2: grandchildren that ignore SIGTERM included; the report of the session names the process."""
    async with workshop(tmp_path) as shop:
        session = await shop.create(task="stubborn", time_limit_s=60)
        pid = await started(session, tmp_path)
        outcome = await shop.manager.send(session.sid, name=how)
        assert outcome.ok
        if how == "interrupt":
            # Taken only when the step that ends the work is over.
            await shop.manager.send(session.sid, to="/main/tester", name="interrupt")
            assert {view.path: view.state for view in session.tree()}["/main/tester"] == "ready"
        else:
            async with asyncio.timeout(WAIT_S):
                await asyncio.shield(session.ended)
            (item,) = processes(session.report)
            assert (item["verdict"], f"(pid {pid})" in item["name"]) == ("released", True)
        assert not running(tmp_path)


async def started(session: Session, workspaces: Path) -> int:
    """The pid of the tests' process, once it runs."""
    await state(session, "/main/tester", "busy")
    await until(lambda: bool(running(workspaces)))
    return min(running(workspaces))


async def state(session: Session, path: str, name: str) -> None:
    """Until the actor is in it."""
    news = asyncio.Event()
    unwatch = session.log.watch(news.set)
    async with asyncio.timeout(WAIT_S):
        while {view.path: view.state for view in session.tree()}.get(path) != name:
            await news.wait()
            news.clear()
    unwatch()


def processes(report: Any) -> list[dict[str, Any]]:
    found = [item for item in report["items"] if item["kind"] == "processes"]
    return found + [one for item in report["items"] if item.get("report") for one in processes(item["report"])]


async def test_the_program_gets_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of models live there; and a model's own code is run like any other."""
    monkeypatch.setenv("STEWARD_CODER_API_KEY", "sk-secret")
    code = "import os\n\nprint('here:', sorted(os.environ))\n\n\ndef primes(most):\n    return os.environ['X']\n"

    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        await say(response, "Here it is:\n```python\n", code, "```\nGood luck!")

    async with fake_model(answer) as model, workshop(tmp_path, make_team(model.endpoint())) as shop:
        session = await shop.create(task="primes", attempts=2)
        first, second = await shop.done(session)
        assert not second["ok"]
        assert "['HOME', 'LANG'" in first["output"]
        assert "STEWARD" not in first["output"]
        assert "It failed:" in last_words(model.requests[1])
        assert "KeyError" in last_words(model.requests[1])


async def test_the_network_is_out_of_reach(tmp_path: Path) -> None:
    if os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("no fence for this machine")
    code = "import socket\n\n\ndef primes(most):\n    socket.create_connection(('127.0.0.1', 9), 1)\n"

    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        await say(response, f"```python\n{code}```")

    async with fake_model(answer) as model, workshop(tmp_path, make_team(model.endpoint())) as shop:
        (report,) = await shop.done(await shop.create(task="primes", attempts=1))
        assert report["fence"] == ["limits", *HELD, "processes"]
        assert all("PermissionError" in one for one in report["failures"])


async def test_a_crowd_of_testers_stays_within_the_sessions_limits(tmp_path: Path) -> None:
    """Each run counts as one process of its session and is given back."""
    async with workshop(tmp_path) as shop:
        sessions = [await shop.create(task=task) for task in ("roman", "brackets", "primes", "forks") * 2]
        for session in sessions:
            await shop.done(session)
        for session in sessions:
            await shop.manager.send(session.sid, name="terminate")
        async with asyncio.timeout(WAIT_S):
            await asyncio.wait({session.ended for session in sessions})
        assert all(session.report is not None and session.report["ok"] for session in sessions)
