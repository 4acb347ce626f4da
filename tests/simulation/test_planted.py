"""Bugs planted in the engine and the server: each breaks what its number says, within a few seeds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from engine import session
from engine.actor import Actor
from engine.context import Life
from engine.live.places import Places
from engine.log.state import Outcomes
from engine.session import Session
from engine.steps import cleanup, custody, scope
from server import welcome
from server.pool import Pool
from server.protocol import ConnectionCore
from server.simulation.campaign import play_all
from server.simulation.house import small

HOUSE: Final = small()
SEEDS: Final = range(400)

Patch = Callable[[pytest.MonkeyPatch], None]


def tells_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session, "_settle_after", lambda commit, item, outcome: item.settle(outcome))


def loses_what_ends_an_activity(patch: pytest.MonkeyPatch) -> None:
    own = Actor.post
    patch.setattr(Actor, "post", lambda self, event, *rest: None if event.name == "done" else own(self, event, *rest))


def delivers_twice(patch: pytest.MonkeyPatch) -> None:
    own = Session.deliver

    def deliver(self: Session, messages: Any) -> None:
        kept = list(messages)
        own(self, kept)
        own(self, kept)

    patch.setattr(Session, "deliver", deliver)


def lets_a_ctx_live_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Life, "check", lambda self: None)


def skips_an_event_on_resume(patch: pytest.MonkeyPatch) -> None:
    own = welcome.resume_point

    def resume_point(session: Any, cur: Any) -> int | None:
        at = own(session, cur)
        return at + 1 if at and at < session.log.head else at

    patch.setattr(welcome, "resume_point", resume_point)


def forgets_outcomes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outcomes, "find", lambda self, cid, c: None)


def lets_one_more_live(patch: pytest.MonkeyPatch) -> None:
    own = Places.reserve

    def reserve(self: Places, user: str) -> None:
        limits, self._limits = self._limits, self._limits.model_copy(update={"live": 4})
        own(self, user)
        self._limits = limits

    patch.setattr(Places, "reserve", reserve)


def ends_without_its_children(patch: pytest.MonkeyPatch) -> None:
    async def stop_children(self: Any, timeout_s: float) -> list[Any]:
        return []

    async def prove_clean(actor: Any, written_off: Any = ()) -> None:
        return None

    patch.setattr(custody.Custodian, "stop_children", stop_children)
    patch.setattr("engine.steps.step.prove_clean", prove_clean)


def keeps_the_older_socket(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pool, "attach", lambda self, connection, session, role: self._take(session, role))


def never_gives_up_on_a_peer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ConnectionCore, "_abort", lambda self, why: None)


def leaves_without_a_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pool, "leave", lambda self, next_slot_ms: None)


def stops_cleaning_at_the_first_error(patch: pytest.MonkeyPatch) -> None:
    own = cleanup._let_go

    async def attempt(kind: str, work: Awaitable[None]) -> str:
        await work
        return ""

    async def let_go(actor: Any, entry: Any) -> list[cleanup.CleanupItem]:
        try:
            return await own(actor, entry)
        except Exception:
            for resource in actor.holdings.held(entry.kind):
                actor.holdings.drop(resource)
            return []

    patch.setattr(cleanup, "_attempt", attempt)
    patch.setattr(cleanup, "_let_go", let_go)


def believes_that_who_is_cancelled_ends(patch: pytest.MonkeyPatch) -> None:
    async def end_task(task: Any) -> bool:
        task.cancel()
        return True

    patch.setattr(scope, "end_task", end_task)


PLANTED: Final[dict[Patch, set[str]]] = {
    tells_before_it_is_durable: {"L2"},
    loses_what_ends_an_activity: {"M7"},
    delivers_twice: {"M5"},
    lets_a_ctx_live_on: {"M4"},
    skips_an_event_on_resume: {"L3"},
    forgets_outcomes: {"L5"},
    lets_one_more_live: {"C6"},
    ends_without_its_children: {"C2"},
    stops_cleaning_at_the_first_error: {"C1"},
    believes_that_who_is_cancelled_ends: {"C3"},
    keeps_the_older_socket: {"L7"},
    never_gives_up_on_a_peer: {"L8", "L10"},  # until its places are all taken
    leaves_without_a_word: {"L13"},
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    report = play_all(HOUSE, SEEDS)
    assert report.broken, "it is not found"
    assert PLANTED[plant] & {one.number for one in report.broken[0].broken}, report.broken[0].broken
