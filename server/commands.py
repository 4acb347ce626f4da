"""The commands of one connection that have no outcome yet: begun in order for each actor, held back, dropped.

Of a command that the store is too ill for nothing is decided, and it has to come again. Those behind it may be on their
way by then: until it has come they are answered the same, so that the order they were sent in is the order they are
applied in. A new connection begins without that, because it brings all that is unanswered again, in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from engine.errors import Refused
from engine.live.admission import STORE_RETRY_MS
from engine.records import Caller, Command, Outcome
from engine.session import Session
from engine.steps.intake import EXPIRED

from . import frames
from .bell import Bell
from .codes import Fault
from .frames import Cmd
from .outbox import Outbox
from .protocol import Deliver
from .welcome import COMMANDS_IN_FLIGHT_MAX

OUT_OF_TURN: Final = Outcome("refused", "store_unavailable", "an earlier command has to come again before this one")
BUSY_S: Final = 0.1  # until a command that found a full mailbox is tried again


class Commands:
    """A command under way is a future, not a task; results go to outbox as they resolve.

    stop: ends the connection when the session is gone from here, since nothing can be decided here any more.
    now: the clock of Deliver.expires_at.
    """

    def __init__(
        self,
        session: Session,
        cid: str,
        caller: Caller,
        outbox: Outbox,
        stop: Callable[[Fault], None],
        now: Callable[[], float],
    ) -> None:
        self._now = now
        self._session = session
        self._cid = cid
        self._caller = caller
        self._outbox = outbox
        self._stop = stop
        self._in_flight: set[asyncio.Future[Outcome]] = set()
        self._waiting: dict[str, deque[Deliver]] = {}  # by actor, those that found its mailbox full
        self._undecided: set[int] = set()  # numbers that have to come again before any above them
        self._retry: asyncio.TimerHandle | None = None
        self._room = Bell()

    @property
    def is_full(self) -> bool:
        waiting = sum(len(lane) for lane in self._waiting.values()) if self._waiting else 0
        return len(self._in_flight) + waiting >= COMMANDS_IN_FLIGHT_MAX

    async def wait_room(self) -> None:
        """Until there are fewer than COMMANDS_IN_FLIGHT_MAX, or none count any more."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    def begin(self, order: Deliver) -> None:
        """Put a command in its actor's mailbox, behind those of this connection that wait for room in it."""
        waits = order.cmd.to in self._waiting and not self._is_urgent(order.cmd)
        if waits or not self._begin(order):
            self._waiting.setdefault(order.cmd.to, deque()).append(order)
            self._retry_later()

    def _begin(self, order: Deliver) -> bool:
        """False if it has to wait for room."""
        if self._is_out_of_turn(order.cmd.c):
            self._note_undecided(order.cmd.c)
            self._outbox.result(0, frames.res(order.cmd.c, OUT_OF_TURN))
            return True
        self._undecided.discard(order.cmd.c)
        refused = order.refused or (EXPIRED if self._is_late(order) else None)
        if refused is None:
            return self._submit(order)
        self.turn_away(order, refused)
        return True

    def _is_out_of_turn(self, c: int) -> bool:
        return bool(self._undecided) and c > min(self._undecided)

    def _note_undecided(self, c: int) -> None:
        """A number further from the lowest than a client may go is not kept: nobody promised it an order."""
        if c - min(self._undecided, default=c) < COMMANDS_IN_FLIGHT_MAX:
            self._undecided.add(c)

    def _is_late(self, order: Deliver) -> bool:
        return order.is_expired(self._now())

    def turn_away(self, order: Deliver, refused: Refused) -> None:
        """A command that is not applied: its outcome is told, the stored one or refused, which is stored then."""
        command = Command(self._cid, order.cmd.c, order.digest)
        self._follow(order.cmd.c, self._session.intake.turn_away(order.cmd.name, command, refused))

    def _follow(self, c: int, outcome: asyncio.Future[Outcome]) -> None:
        if outcome.done() and outcome.result().is_undecided:
            # At once, not when it is answered: the store may be well again before the next is begun.
            self._note_undecided(c)
        self._in_flight.add(outcome)
        outcome.add_done_callback(partial(self._answer, c))

    def drop(self) -> None:
        """Wait for no outcome any more: what has begun goes on, and a client that dials again asks again."""
        self._waiting.clear()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for outcome in list(self._in_flight):
            outcome.cancel()
        self._in_flight.clear()
        self._room.set()

    def _is_urgent(self, cmd: Cmd) -> bool:
        """Whether it takes the lane that is never full, where there is no order to keep with the other."""
        actor = self._session.actors.get(cmd.to)
        return actor is not None and cmd.name in actor.plan.urgent

    def _submit(self, order: Deliver) -> bool:
        """False if the mailbox is full."""
        cmd = order.cmd
        outcome = self._session.intake.submit(
            cmd.to,
            cmd.name,
            cmd.args,
            origin="client",
            caller=self._caller,
            command=Command(self._cid, cmd.c, order.digest),
            is_late=None if order.expires_at is None else partial(self._is_late, order),
        )
        if outcome.done() and (found := outcome.result()).is_undecided and found.code == "busy":
            return False
        self._follow(cmd.c, outcome)
        return True

    def _answer(self, c: int, settled: asyncio.Future[Outcome]) -> None:
        self._in_flight.discard(settled)
        self._room.set()
        if settled.cancelled():
            return
        outcome = settled.result()
        if outcome.code in ("store_unavailable", "leaving") and self._session.is_gone:
            # Nothing was decided, and the session goes on as another object, or in another process: the client dials
            # again and sends it again, unchanged.
            self._stop(Fault("store_unavailable", outcome.message, retry_ms=STORE_RETRY_MS))
        else:
            if not outcome.is_undecided:
                self._undecided.discard(c)  # another copy of it was decided meanwhile, so it does not come again
            self._outbox.result(outcome.seq, frames.res(c, outcome))

    def _retry_later(self) -> None:
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(BUSY_S, self._retry_waiting)

    def _retry_waiting(self) -> None:
        """Try the commands again that found a full mailbox, each actor's in their order."""
        self._retry = None
        for to, lane in list(self._waiting.items()):
            while lane and self._begin(lane[0]):
                lane.popleft()
            if not lane:
                del self._waiting[to]
        if self._waiting:
            self._retry_later()
