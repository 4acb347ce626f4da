"""Who is connected: junk kept out, one live socket a cid, and one sweep for everybody's heartbeat."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from engine.errors import LimitExceeded
from engine.session import Session

from .codes import Fault, fault_of
from .frames import Role

FULL_RETRY_MS: Final = 5000
SWEEP_S: Final = 0.25  # how late a heartbeat or a time-out may be noticed
log = logging.getLogger("steward.pool")


class Place:
    """Something taken that counts against a limit. give_back() may be called twice. session: whose it is, if one's."""

    def __init__(self, give_back: Callable[[], None], session: Session | None = None) -> None:
        self.session = session
        self._give_back: Callable[[], None] | None = give_back

    def give_back(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


class Connection(Protocol):
    """What the pool asks of whoever listens to a session: a WebSocket, or a stream of server-sent events."""

    @property
    def key(self) -> tuple[str, str] | None:
        """(sid, cid) once it controls; observers have none."""

    @property
    def n(self) -> int: ...
    @property
    def token_id(self) -> str: ...

    def tick(self, now: float) -> None:
        """Do what time has brought. Never waits."""

    def leave(self) -> None:
        """Tell its peer when to dial our successor."""

    def stop(self, fault: Fault) -> None:
        """Tell its peer why, and end."""

    def surrender(self) -> Place | None:
        """Give its place among the session's connections to whoever asks."""


class Pool:
    """Every connection of this process, by session and by cid."""

    def __init__(
        self, *, unwelcomed_max: int, unwelcomed_per_address_max: int, control_max: int, observe_max: int
    ) -> None:
        self.connections: dict[Connection, None] = {}  # in the order in which they came
        self.next_slot_ms: Callable[[], int] | None = None  # once this server is leaving
        self._unwelcomed_max = unwelcomed_max
        self._per_address_max = unwelcomed_per_address_max
        self._unwelcomed: Counter[str] = Counter()
        self._unwelcomed_total = 0
        self._most = {"control": control_max, "observe": observe_max}  # of one session
        self._places: Counter[tuple[str, str]] = Counter()
        self._cids: dict[tuple[str, str], Connection] = {}
        self._left = asyncio.Event()

    def admit(self, address: str) -> Place:
        """A place for a connection that has not been welcomed yet. Raises Fault("overloaded")."""
        if self._unwelcomed_total >= self._unwelcomed_max or self._unwelcomed[address] >= self._per_address_max:
            raise Fault("overloaded", "too many connections have not said hello; come again later")
        self._unwelcomed[address] += 1
        self._unwelcomed_total += 1
        return Place(lambda: self._dismiss(address))

    def _dismiss(self, address: str) -> None:
        self._unwelcomed_total -= 1
        self._unwelcomed[address] -= 1
        if not self._unwelcomed[address]:
            del self._unwelcomed[address]

    @contextmanager
    def enrolled(self, connection: Connection) -> Iterator[None]:
        """connection takes part in the sweep, and in the shutdown, as long as this is open."""
        self.connections[connection] = None
        try:
            yield
        finally:
            del self.connections[connection]
            self._left.set()

    def attach(self, connection: Connection, session: Session, role: Role) -> Place:
        """Count connection among its session's. A higher n takes over the place of its cid's older socket, which is
        no detach. Raises Fault("replaced") if this one is not newer, LimitExceeded if the house is full."""
        if connection.key is None:
            return self._take(session, role)
        older = self._cids.get(connection.key)
        if older is not None and connection.n <= older.n:
            raise Fault("replaced", "a connection of this client with the same or a higher n is live")
        place = older.surrender() if older is not None else None
        if place is not None and place.session is not session:
            # The session was rebuilt, or came back into memory, since then: the new object has to count this one.
            place.give_back()
            place = None
        place = place or self._take(session, role)
        self._cids[connection.key] = connection
        if older is not None:
            older.stop(Fault("replaced"))
        return place

    def _take(self, session: Session, role: Role) -> Place:
        key, most = (session.sid, role), self._most[role]
        if self._places[key] >= most:
            raise LimitExceeded(f"{role} connections", most, retry_ms=FULL_RETRY_MS)
        attachment = session.attach(role)
        self._places[key] += 1

        def leave() -> None:
            attachment.detach()
            self._places[key] -= 1
            if not self._places[key]:
                del self._places[key]

        return Place(leave, session)

    def forget(self, connection: Connection) -> None:
        """connection is no longer the live socket of its cid, if it was."""
        if connection.key is not None and self._cids.get(connection.key) is connection:
            del self._cids[connection.key]

    def stop_token(self, token_id: str) -> None:
        """Close the sockets of a revoked token at once."""
        for connection in list(self.connections):
            if connection.token_id == token_id:
                connection.stop(Fault("no_valid_token"))

    def leave(self, next_slot_ms: Callable[[], int]) -> None:
        """Tell everybody when to dial again; who keeps a session from waiting goes first. Later ones are told too."""
        self.next_slot_ms = next_slot_ms
        for connection in sorted(self.connections, key=lambda one: one.key is None):
            connection.leave()

    def stop_all(self, fault: Fault) -> None:
        for connection in list(self.connections):
            connection.stop(fault)

    async def wait_fewer(self, than: int) -> None:
        """Until there are fewer connections than that."""
        while len(self.connections) >= than:
            self._left.clear()
            await self._left.wait()

    async def sweep(self, now: Callable[[], float], every_s: float = SWEEP_S) -> None:
        """Tell every connection the time, for ever."""
        while True:
            at = now()
            for connection in list(self.connections):
                try:
                    connection.tick(at)
                except Exception as error:
                    # One connection's fault; everybody else's heartbeat goes on.
                    connection.stop(fault_of(error, log))
            await asyncio.sleep(every_s)
