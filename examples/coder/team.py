"""The cast: a coder on a model or on a script, and a tester."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from examples.support.endpoint import Endpoint
from examples.support.openai import Counted, OpenAIClient
from examples.support.script import Dictation
from handlers.backend import Out
from handlers.team import Role, Team

from .agents import Coder, Tester
from .messages import CODE, VERDICTS, Begin, BreakingOptions, Code, Options, Verdict
from .tasks import Assignment

PREFIX = "STEWARD_CODER_"
NOTE = "No model is configured, so this is a script. "


def make_team(endpoint: Endpoint | None, *, unfenced: bool = False) -> Team:
    """The coder on an endpoint, or on a script without one. What does harm is always written by the script.

    unfenced: run what was written on a machine that has no whole fence as well.
    """

    def author(task: Assignment, attempt: int, options: Options) -> Counted:
        if endpoint is not None and not task.is_hostile:
            return OpenAIClient(endpoint)
        source = task.attempts[min(attempt, len(task.attempts)) - 1]
        return Dictation(f"{NOTE}Attempt {attempt} at {task.name}:\n\n```python\n{source}```", options.words_per_s)

    cast = (
        Role("coder", partial(Coder, author=author), topics=(VERDICTS,)),
        Role("tester", partial(Tester, unfenced=unfenced), topics=(CODE,)),
    )

    def opening(options: Options) -> Sequence[Out]:
        return [Out(team.encode(Begin(task=options.task)), agent="coder")]

    team = Team(
        name="coder",
        description="A coder writes a module; a tester runs its tests in a child process behind a fence.",
        options=Options,
        breaking=BreakingOptions,
        messages=(Begin, Code, Verdict),
        cast=lambda options: cast,
        opening=opening,
        route=lambda text, options: "coder",
    )
    return team


TEAM = make_team(
    Endpoint.from_environment(os.environ, PREFIX), unfenced=os.environ.get(f"{PREFIX}UNFENCED", "").strip() == "yes"
)
