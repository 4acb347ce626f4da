"""Matches taken to another server, and forked: lifecycle.yaml, agents and all, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from patience import until_it
from test_chess_sessions import COMPILED, chess_data, game, until_played

from engine.journal.base import TokenRow
from engine.log.parcel import pack
from engine.session import Session
from engine.testing.rig import Rig
from engine.testing.virtual import in_virtual_time
from examples.chess import TEAM

PLIES = 8


def rig(root: Path) -> Rig:
    return Rig(COMPILED, services={"teams": {"chess": TEAM}, "workspace_root": root})


async def until_ended(r: Rig, session: Session) -> Any:
    await r.send(session, "terminate")

    async def is_so() -> bool:
        return session.is_ended

    await until_it(is_so)
    return session.report


@in_virtual_time
async def test_a_match_goes_on_elsewhere_at_the_same_ply(tmp_path: Path) -> None:
    """L3, M8: the game there is the one that is played here, move by move; each server cleans up after itself."""
    async with rig(tmp_path / "here") as here, rig(tmp_path / "there") as there:
        session = await here.create(data=chess_data(plies=PLIES, seed=3, pause_ms=1000))
        await here.advance(4.5)
        assert 0 < len(await game(here, session)) < PLIES
        text = b"".join(pack(await here.manager.transfer.take_out(session.sid)))
        moved = await there.manager.transfer.take_in(text)
        moved.attach("control")
        await here.advance(PLIES * 2)
        assert len(await game(here, session)) == PLIES
        assert await game(there, moved) == await game(here, session)
        workspace = tmp_path / "here" / session.sid
        assert (await until_ended(there, moved))["ok"]
        assert workspace.is_dir()
        assert (await until_ended(here, session))["ok"]
        assert not workspace.exists()


@in_virtual_time
async def test_forks_of_a_match_are_matches_of_their_own(tmp_path: Path) -> None:
    """C1, C7: from any number on the same game is played again, with agents of its own, and ends by itself."""
    async with rig(tmp_path) as r:
        session = await r.create(data=chess_data(plies=PLIES, seed=3))
        await until_played(r, session, PLIES)
        whole = await game(r, session)
        told = await r.updates(session)
        active = next(one["seq"] for one in told if one["kind"] == "session.state" and one["data"]["to"] == "active")
        forks = []
        for at in range(active, told[-1]["seq"], len(told) // 4):
            forked, seq = await r.manager.transfer.fork(
                session.sid, at, lambda sid: TokenRow(sid.encode().ljust(32)[:32], sid, "t.1", "control")
            )
            assert [one async for one in past(r, forked, seq)] == [one async for one in past(r, session, seq)]
            forked.attach("control")
            forks.append(forked)
        for forked in forks:
            await until_played(r, forked, PLIES)
            assert await game(r, forked) == whole
        for forked in forks:
            assert (await until_ended(r, forked))["ok"]
        assert (tmp_path / session.sid).is_dir()
        assert (await until_ended(r, session))["ok"]
        assert list(tmp_path.iterdir()) == []


async def past(r: Rig, session: Session, seq: int) -> Any:
    for _, text in await session.log.read(0, seq):
        yield text
