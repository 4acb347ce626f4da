"""What the chess agents say to each other, and the options of a match."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from handlers.team import TeamMessage

Player = Literal["engine", "human"]
MOVES = "moves"  # topic: what was played, for whoever keeps the record
PROPOSALS = "proposals"  # topic: what an engine wants to play, for the arbiter


class Options(BaseModel):
    """What a match is to be. The descriptions and examples are for pages that offer these options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    white: Player = Field(default="engine", description="Who plays white")
    black: Player = Field(default="engine", description="Who plays black")
    depth: int = Field(default=1, ge=1, le=3, description="Half-moves an engine looks ahead")
    seed: int = Field(default=7, ge=0, lt=2**53, description="The same seed gives the same game")
    plies: int = Field(default=60, ge=1, le=600, description="Half-moves after which a game is broken off")
    pause_ms: int = Field(
        default=0, ge=0, le=10_000, examples=[600], description="Milliseconds an engine waits, so that one can follow"
    )

    def player(self, side: str) -> Player:
        return self.white if side == "white" else self.black


class Begin(TeamMessage):
    """To the arbiter: the match may begin, or go on."""


class YourMove(TeamMessage):
    """To an engine: the position, and how many half-moves were played before."""

    fen: str
    ply: int


class Proposal(TeamMessage):
    """An engine's move for the half-move number ply (the first is 1)."""

    side: str
    ply: int
    uci: str


class Played(TeamMessage):
    """A move that the arbiter has found legal."""

    ply: int
    side: str
    uci: str
    san: str
    fen: str


class Finished(TeamMessage):
    """The match is over: result in PGN's words, and why."""

    result: str
    reason: str
