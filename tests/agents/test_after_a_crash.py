"""Work that was in flight when the process died goes on, or ends with a reason; nothing is busy for ever."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from engine.records import Record
from engine.session import Session
from engine.testing.dying import DyingJournal, live_until_dead
from engine.testing.rig import Rig, machines
from engine.testing.virtual import run_virtual
from examples.chess import TEAM
from server.config import HANDLER_MODULES
from tests.agents.dying_match import MATCH, SHUTDOWN_S, manager_on, moves, until_ply

ROOT: Final = Path(__file__).parents[2]
SHIPPED: Final = (ROOT / "lifecycle.yaml").read_text()
PLIES: Final[int] = MATCH["options"]["plies"]  # type: ignore[index]
ANSWER_S: Final = 60.0


async def played_on(file: Path) -> tuple[int, list[dict[str, Any]]]:
    """(plies that were there, the whole match) once the journal's file is served again."""
    manager = manager_on(file)
    await manager.start()
    try:
        (session,) = manager.sessions()
        session.attach("control")
        before = len(await moves(session))
        async with asyncio.timeout(ANSWER_S):
            return before, await until_ply(session, PLIES)
    finally:
        await manager.shutdown(SHUTDOWN_S)


def undisturbed() -> list[dict[str, Any]]:
    async def play() -> list[dict[str, Any]]:
        async with rig() as r:
            session = await r.create(data=MATCH)
            await r.advance(60)
            return await moves(session)

    return run_virtual(play())


async def test_a_match_killed_at_a_ply_goes_on_there_and_ends_in_the_same_position(tmp_path: Path) -> None:
    """L2, M5, M8: on a real file, with real agents, by a real SIGKILL: the same moves, positions and end."""
    ply = random.randrange(1, PLIES // 2)
    file = tmp_path / "log.sqlite"
    dying = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.agents.dying_match", str(file), str(ply), cwd=ROOT
    )
    assert await asyncio.wait_for(dying.wait(), ANSWER_S) == -signal.SIGKILL
    before, match = await played_on(file)
    assert ply <= before, f"killed at ply {ply}"
    expected = await asyncio.to_thread(undisturbed)
    assert [(one["ply"], one["uci"], one["fen"]) for one in match] == [
        (one["ply"], one["uci"], one["fen"]) for one in expected
    ], f"killed at ply {ply}"


# Dying in every state that the shipped file has

TEXT: Final = {
    "shipped": SHIPPED,
    # A recovery that is not enough, so that the second rung of the ladder is reached.
    "rebuilt": SHIPPED.replace("transitions: {done: active, failed: rebuilding}", "transitions: {done: rebuilding}"),
}
COMPILED: Final = {name: machines(text, *HANDLER_MODULES) for name, text in TEXT.items()}
# What an actor may be in when nothing has happened for minutes: none of these is work.
AT_REST: Final = {
    "session": {"active", "terminated"},
    "orchestrator": {"ready"},
    "agent": {"ready", "awaiting_input"},
}
STATES: Final = {
    "shipped": {"initializing", "active", "reconnecting", "recovering", "terminating", "terminated"},
    "rebuilt": {"rebuilding"},
}
QUIET_S: Final = 400.0  # longer than any activity of the file may take


def rig(journal: Any = None, text: str = "shipped") -> Rig:
    return Rig(COMPILED[text], journal=journal, services={"teams": {"chess": TEAM}, "allow_breaking": True})


async def eventful(r: Rig) -> None:
    """A life that goes through nearly every state of the file."""
    session = await r.create(data={"team": "chess", "options": {"white": "human", "plies": 40}})
    await r.send(session, "say", {"text": "e2e4"})
    gate = next(one for one in session.actors["/main"].holdings.all() if one.kind == "gate")
    gate.handle.close_gate()
    await r.advance(45)
    await r.send(session, "break_it", {"how": "raise", "agent": "black"})
    await r.advance(20)
    await r.send(session, "break_it", {"how": "limit", "agent": "black"})
    await r.advance(20)
    r.attachment.detach()
    await r.advance(20)
    session.attach("control")
    await r.send(session, "terminate")
    await r.advance(20)


async def after_dying(journal: DyingJournal, text: str) -> tuple[dict[str, str], bool]:
    """(the states in which it came to rest, whether it still plays). A client comes back, and waits."""
    journal.left = -1
    async with rig(journal, text) as r:
        (row,) = await journal.sessions()
        session = await r.manager.find(row.sid)
        assert session is not None
        session.attach("control")
        await r.advance(QUIET_S)
        states = {view.path: view.state for view in session.tree()}
        is_playing = await plays(r, session)
        kinds = {view.path: view.kind for view in session.tree()}
        for path, state in states.items():
            assert state in AT_REST[kinds[path]], states
        await r.send(session, "terminate")
        await r.advance(60)
        assert session.is_ended
        assert session.report is not None
        assert session.report["leaked"] == 0
        assert (await r.updates(session))[-1]["kind"] == "session.ended"
        return states, is_playing


async def plays(r: Rig, session: Session) -> bool:
    """Whether a legal first or second move of white is taken; an ended session says so."""
    if session.is_ended:
        return False
    before = len(await moves(session))
    for text in ("e2e4", "d2d4"):
        await r.send(session, "say", {"text": text})
        await r.advance(5)
    return len(await moves(session)) > before


async def positions(text: str) -> dict[tuple[str, str], int]:
    """After which record an actor of a kind is in a state for the first time."""
    journal = DyingJournal(1_000_000)
    await live_until_dead(journal, rig(journal, text), eventful)
    journal.release()
    (row,) = await journal.sessions()
    found: dict[tuple[str, str], int] = {}
    for rev, encoded in enumerate(await journal.records(row.sid), start=1):
        record = Record.decode(encoded)
        state = record.body.get("to") or record.body.get("state")
        if state is not None:
            found.setdefault((record.kind, state), rev)
    return found


@pytest.mark.parametrize("text", ["shipped", "rebuilt"])
def test_dying_in_any_state_leaves_nothing_busy(text: str) -> None:
    """M7, R1: it goes on and plays, or was beginning or ending, and has ended: nothing is the dead one's work."""
    found = run_virtual(positions(text))
    first_up, first_ending = found["session", "active"], found["session", "terminating"]
    assert {state for kind, state in found if kind == "session"} >= STATES[text]
    tried = found if text == "shipped" else {key: found[key] for key in [("session", "rebuilding")]}
    for (kind, state), rev in tried.items():
        if state == "terminated":
            continue  # nothing is left to come back
        journal = DyingJournal(rev)
        run_virtual(live_until_dead(journal, rig(journal, text), eventful))
        states, is_playing = run_virtual(after_dying(journal, text))
        assert is_playing == (first_up <= rev < first_ending), f"{kind} {state}: {states}"
