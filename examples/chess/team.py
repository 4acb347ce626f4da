"""The cast of a match."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.backend import Out
from handlers.team import Role, Team

from .arbiter import Arbiter
from .messages import MOVES, PROPOSALS, Begin, Finished, Options, Played, Proposal, YourMove
from .players import Engine, Scribe

ARBITER = Role("arbiter", Arbiter, topics=(PROPOSALS,))
SCRIBE = Role("scribe", Scribe, topics=(MOVES,))


def cast(options: Options) -> Sequence[Role]:
    """A side that a person plays has no agent; the arbiter asks the person."""
    engines = [Role(side, Engine, topics=(side,)) for side in ("white", "black") if options.player(side) == "engine"]
    return [ARBITER, *engines, SCRIBE]


def opening(options: Options) -> Sequence[Out]:
    return [Out(TEAM.encode(Begin()), agent=ARBITER.name)]


def route(text: str, options: Options) -> str:
    return ARBITER.name


TEAM = Team(
    name="chess",
    options=Options,
    messages=(Begin, YourMove, Proposal, Played, Finished),
    cast=cast,
    opening=opening,
    route=route,
    description="Two engines play, or you against one; an arbiter judges and a scribe keeps the record.",
)
