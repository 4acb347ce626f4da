"""The cast of the support desk, and the model it talks through."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from handlers.backend import Out
from handlers.team import Role, Team

from .agents import Refunds, Sales, Triage
from .endpoint import Endpoint
from .messages import REFUNDS, SALES, TRIAGE, Addressed, AgentResponse, Begin, CustomerTask, Options
from .openai import Counted, OpenAIClient
from .script import ScriptedClient

MakeClient = Callable[[Options], Counted]


def make_team(endpoint: Endpoint | None) -> Team:
    """The desk on an endpoint, or on a script without one. Every agent of every session has a client of its own."""

    def client(options: Options) -> Counted:
        return OpenAIClient(endpoint) if endpoint is not None else ScriptedClient(options.words_per_s)

    def seated(agent: Callable[..., Any]) -> Callable[..., Any]:
        return partial(_seat, agent, client)

    cast = tuple(
        Role(name, seated(agent), topics=(name,))
        for name, agent in ((TRIAGE, Triage), (SALES, Sales), (REFUNDS, Refunds))
    )
    team = Team(
        name="support",
        description="A support desk: triage hands you on to sales or refunds; a person approves every refund.",
        options=Options,
        messages=(Begin, CustomerTask, AgentResponse, Addressed),
        cast=lambda options: cast,
        opening=lambda options: opening(team),
        route=lambda text, options: TRIAGE,
    )
    return team


def _seat(agent: Callable[..., Any], client: MakeClient, seat: Any) -> Any:
    return agent(seat, client(seat.options))


def opening(team: Team) -> Sequence[Out]:
    return [Out(team.encode(Begin()), agent=TRIAGE)]


TEAM = make_team(Endpoint.from_environment(os.environ))
