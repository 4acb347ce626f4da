"""What coder and tester say to each other, and what one may ask of them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from handlers.team import TeamMessage

CODE = "code"  # topic: what was written, for whoever tests it
VERDICTS = "verdicts"  # topic: what came of a test

Harmless = Literal["", "roman", "brackets", "primes"]
Hostile = Literal[
    "spins", "stubborn", "forks", "bomb", "escapes", "floods", "hoards", "peeks", "peeks-by-cat", "quits",
    "nests", "fills", "meddles",
]  # fmt: skip


class Options(BaseModel):
    """What is to be written, and within which limits it is run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Harmless = Field(default="roman", description="What to write at once")
    attempts: int = Field(default=3, ge=1, le=8, description="How often the coder may try")
    time_limit_s: float = Field(default=5.0, ge=0.5, le=60, description="Seconds that its tests may run")
    memory_mb: int = Field(default=256, ge=128, le=2048, description="Memory of all its processes together, in MB")
    words_per_s: float = Field(
        default=60.0, ge=0, le=1000, description="Words that the scripted model writes in a second; 0: all at once"
    )


class BreakingOptions(Options):
    """Also programs that try to do harm, where the operator lets clients break things."""

    task: Harmless | Hostile = Field(  # type: ignore[assignment]  # wider on purpose
        default="roman", description="What to write at once; from spins on, it tries to do harm"
    )


class Begin(TeamMessage):
    """To the coder: a person is there, and may want something at once."""

    task: str


class Code(TeamMessage):
    """To the tester: what was written for a task."""

    task: str
    attempt: int
    source: str


class Verdict(TeamMessage):
    """To the coder: what came of it. ended: why the program was ended, and what it left behind."""

    task: str
    attempt: int
    passed: bool
    failures: tuple[str, ...]
    ended: tuple[str, ...]
