"""Events from outside a session: which commands came before, who takes an event, what is answered without a step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..errors import JournalError, Refused
from ..live.admission import store_away
from ..log.state import CIDS_MAX, Outcomes
from ..records import ROOT, Caller, Command, Event, Origin, Outcome
from .mailbox import Item, Late

if TYPE_CHECKING:
    from ..session import Session

NOT_SERVED: Final = Outcome("refused", "store_unavailable", "the session is being brought back; try again")
STORE_AWAY: Final = Outcome("refused", store_away().code, store_away().message)
SLOW_STORE: Final = Outcome("refused", "busy", "the store is slow; try again in a moment")
NOT_DECIDED: Final = (NOT_SERVED, STORE_AWAY, SLOW_STORE)  # they speak of nothing in the log, and wait for none of it


EXPIRED: Final = Refused("expired", "its time to live was over; it was not applied")


@dataclass(slots=True)
class _Step:
    """One numbered command's step. afterwards: what waits for its outcome."""

    digest: str
    afterwards: list[Callable[[], None]] = field(default_factory=list)


class Intake:
    """One session's numbers: outcomes that are stored, and clients that have sent one since the process began."""

    __slots__ = ("_cids", "_session", "_under_way", "outcomes")

    def __init__(self, session: Session, outcomes: Outcomes) -> None:
        self.outcomes = outcomes
        self._session = session
        self._cids: dict[str, None] = {}
        self._under_way: dict[tuple[str, int], _Step] = {}

    def submit(
        self,
        to: str,
        name: str,
        payload: Mapping[str, Any],
        *,
        origin: Origin,
        caller: Caller,
        command: Command | None,
        is_late: Late = None,
    ) -> asyncio.Future[Outcome]:
        """The outcome of one event from outside (M5); never raises. is_late: as in Item."""
        session = self._session
        waiter: asyncio.Future[Outcome] = session.loop.create_future()
        early = self._early(to, name, command)
        if early is not None:
            self._settle(Item(Event(name), waiter), early)
            return waiter
        try:
            receiver = session.actors.get(to)
            if receiver is None:
                raise Refused("unknown_actor", f"there is no actor {to!r}; there are: {', '.join(session.actors)}")
            accepted = receiver.accept(name, payload, origin)
            receiver.post(Event(name, accepted, origin, command=command, caller=caller), waiter, is_late)
        except Refused as refused:
            self.refuse(Item(Event(name, {}, origin, command=command, caller=caller), waiter), refused)
        return waiter

    def turn_away(self, name: str, command: Command, refused: Refused) -> asyncio.Future[Outcome]:
        """The outcome of a command that is not to be applied any more, if it ever was: the stored one, that of the
        step which is under way, or a refusal that is stored now, so that the number counts as answered."""
        waiter: asyncio.Future[Outcome] = self._session.loop.create_future()
        self._turn_away(Item(Event(name, {}, "client", command=command), waiter), refused)
        return waiter

    def _turn_away(self, item: Item, refused: Refused) -> None:
        command = item.event.command
        assert command is not None, "only what has a number is turned away"
        if (step := self._under_way.get((command.cid, command.c))) is not None and step.digest == command.digest:
            step.afterwards.append(partial(self._turn_away, item, refused))
        elif (early := self._early(ROOT, item.event.name, command)) is not None:
            self._settle(item, early)
        else:
            self.refuse(item, refused)

    def begin(self, item: Item) -> bool:
        """The step of an event begins. What comes of its number meanwhile is not stored yet, but decided by it: no
        other actor may begin the same one, and nobody may be told that it was not applied (L5). True if it has a
        number, for end()."""
        command = item.event.command
        if command is None or item.is_offer:
            return False
        self._under_way[command.cid, command.c] = _Step(command.digest)
        return True

    def end(self, item: Item) -> None:
        """The step of a numbered event is over."""
        command = item.event.command
        assert command is not None, "begin() said so"
        for callback in self._under_way.pop((command.cid, command.c)).afterwards:
            callback()

    def _early(self, to: str, name: str, command: Command | None) -> Outcome | None:
        """The answer that needs no step: of an ended session, of a number that came before or too late."""
        session = self._session
        if command is not None and (known := self.known(command)) is not None:
            return known
        if session.is_ended:
            return session.after_the_end(Event(name if to == ROOT else "", origin="client"))
        if session.is_failed or session.root is None:
            return NOT_SERVED
        if command is not None:
            self._remember(command.cid)
        if session.log.is_degraded:
            return STORE_AWAY
        return SLOW_STORE if session.log.is_backed_up else None

    def _settle(self, item: Item, early: Outcome) -> None:
        if early in NOT_DECIDED:
            item.settle(early)
        else:
            self._session.settle(item, early)

    def _remember(self, cid: str) -> None:
        """A cid whose first command waits for its step is known already: its second may be taken before it."""
        self._cids[cid] = None
        if len(self._cids) > CIDS_MAX:
            del self._cids[next(iter(self._cids))]

    def known(self, command: Command) -> Outcome | None:
        """The stored outcome of a command, or why its number cannot be taken."""
        if (found := self.outcomes.find(command.cid, command.c)) is not None:
            if found[0] != command.digest:
                return Outcome("refused", "conflict", f"number {command.c} was used for something else")
            return replace(found[1], is_duplicate=True)
        step = self._under_way.get((command.cid, command.c))
        if step is not None and step.digest != command.digest:
            return Outcome("refused", "conflict", f"number {command.c} is under way for something else")
        is_new = not self.outcomes.knows(command.cid) and command.cid not in self._cids
        # After the end nothing is stored any more, so that a client's first numbers may well be missing then.
        is_missing = is_new and command.c != 1 and not self._session.is_ended
        if self.outcomes.is_forgotten(command.cid, command.c):
            return Outcome("refused", "forgotten", f"the outcome of number {command.c} is not kept any more")
        if is_missing:
            text = f"of this cid nothing is known, so number {command.c} may have come before; a new one begins with 1"
            return Outcome("refused", "forgotten", text)
        return None

    def refuse(self, item: Item, refused: Refused) -> None:
        """A refusal is an outcome too: a numbered one is stored, but for `busy`, which may be tried again."""
        outcome = Outcome("refused", refused.code, refused.message)
        session = self._session
        if item.event.command is None or refused.code == "busy" or session.root is None:
            item.settle(outcome)
            return
        try:
            session.commit(session.root, "taken", {"event": item.event.name}, item, outcome)
        except JournalError as error:
            item.settle(NOT_SERVED)
            session.fail(error)
