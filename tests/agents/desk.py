"""Support desks in virtual time: what the tests of that team have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.session import Session
from engine.testing.rig import Rig, machines
from examples.support import TEAM
from handlers.team import Team
from server.config import HANDLER_MODULES

COMPILED = machines(Path(__file__).parents[2] / "lifecycle.yaml", *HANDLER_MODULES)
BROKEN = "the lamp of order A-1001 is broken"


def desk(workspaces: Path | None, *, journal: Any = None, team: Team = TEAM) -> Rig:
    services = {"teams": {"support": team}, "workspace_root": workspaces}
    return Rig(COMPILED, journal=journal, services=services)


def support(**options: Any) -> dict[str, Any]:
    return {"team": "support", "options": {"words_per_s": 0, **options}}


def state(session: Session, agent: str) -> str:
    return {view.path: view.state for view in session.tree()}[f"/main/{agent}"]


async def data(r: Rig, session: Session, kind: str) -> list[dict[str, Any]]:
    return [one["data"] for one in await r.updates(session, kind)]


async def texts(r: Rig, session: Session) -> list[str]:
    return [one["text"] for one in await data(r, session, "agent.message")]


async def refunds(r: Rig, session: Session) -> list[dict[str, Any]]:
    return [one for one in await data(r, session, "agent.tool") if one["name"] == "refund"]


def paid(workspaces: Path, session: Session) -> list[str]:
    """What the till has written."""
    return sorted(path.name for path in (workspaces / session.sid).glob("refund-*"))
