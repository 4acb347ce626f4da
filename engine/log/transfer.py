"""Sessions out of a store and into one: read whole while they live, founded anew from a file or from another's past."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from ..errors import Fenced, JournalError, Refused, Violation
from ..journal.base import Journal, SessionRow, TokenRow
from ..live.house import House
from ..live.revival import bring_up
from ..live.roster import Roster
from ..names import new_epoch, new_sid
from ..session import Session
from ..tasks import EngineTasks, result_of
from .archive import Archive
from .backlog import LASTING
from .founding import Founded, forked, imported
from .parcel import PARCEL_BYTES_MAX, Parcel, ParcelError, unpack

RECORDS_PAGE: Final = 64
UPDATES_PAGE: Final = 256
OVERTAKEN_MAX: Final = 3  # times that a log may be trimmed while it is read

T = TypeVar("T")
log = logging.getLogger("steward.transfer")


async def read_parcel(journal: Journal, sid: str) -> Parcel:
    """A stored session, whole, as it is at one moment; it may live on meanwhile.

    Raises Refused (unknown_session, too_large), or JournalError if it cannot be read.
    """
    for _ in range(OVERTAKEN_MAX):
        row = await journal.session(sid)
        if row is None:
            raise Refused("unknown_session", "there is no such session, or its log is not kept any more")
        parcel = await _read(journal, row)
        now = await journal.session(sid)
        if now is not None and (now.first_rev, now.trimmed) == (row.first_rev, row.trimmed):
            await asyncio.to_thread(_check, parcel)
            return parcel
    raise JournalError(f"the log of {sid} is trimmed faster than it can be read; try again")


def _check(parcel: Parcel) -> None:
    """What does not add up is not handed on."""
    try:
        parcel.ends()
    except ParcelError as error:
        raise JournalError(f"the log of {parcel.row.sid} does not add up: {error}") from None


async def _read(journal: Journal, row: SessionRow) -> Parcel:
    records: list[bytes] = []
    updates: list[bytes] = []
    size = 0
    while (rev := row.first_rev - 1 + len(records)) < row.rev:
        page = await journal.records(row.sid, rev, min(RECORDS_PAGE, row.rev - rev))
        records += page
        size = _sized(size, page)
        if not page:
            break
    while (seq := row.trimmed + len(updates)) < row.seq:
        told = [text for _, text in await journal.updates(row.sid, seq, min(UPDATES_PAGE, row.seq - seq))]
        updates += told
        size = _sized(size, told)
        if not told:
            break
    return Parcel(row, tuple(records), tuple(updates), tuple(await journal.tokens(row.sid)))


def _sized(size: int, page: list[bytes]) -> int:
    size += sum(map(len, page))
    if size > PARCEL_BYTES_MAX:
        raise Refused("too_large", f"the log has more than {PARCEL_BYTES_MAX} bytes, which is all that a file may have")
    return size


class Transfer:
    """Everything that is founded here is in the books like what was created here (C3, C6)."""

    def __init__(
        self,
        house: House,
        roster: Roster,
        journal: Journal,
        archive: Archive,
        tasks: EngineTasks,
        token_bytes: Callable[[int], bytes],
        doubt: Callable[[str], None],
    ) -> None:
        self._house = house
        self._roster = roster
        self._journal = journal
        self._archive = archive
        self._tasks = tasks
        self._token_bytes = token_bytes
        self._doubt = doubt

    async def take_out(self, sid: str) -> Parcel:
        """See read_parcel."""
        return await read_parcel(self._journal, sid)

    async def take_in(self, text: bytes) -> Session:
        """The session in a file goes on here, or is to be read here if it has ended; whole on return, or none.

        Raises ParcelError, Refused (exists, lost_states, and as SessionManager.create), or JournalError.
        """
        return await self._whole(self._take_in(text), "import")

    async def fork(self, sid: str, at: int | None, token: Callable[[str], TokenRow]) -> tuple[Session, int]:
        """A new session from what another was at a number, or is now; (it, the number of its last event).

        Raises Refused (trimmed, ended, lost_states, bad_payload, and as SessionManager.create), or JournalError.
        """
        return await self._whole(self._fork(sid, at, token), f"{sid} fork")

    async def _whole(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Cancelling who asked for it does not cut it in two."""
        refused = self._leaving() if self._house.is_leaving else self._house.admission.refusal_of_session()
        if refused is not None:
            work.close()
            raise refused
        return await result_of(self._tasks.start(work, name), self._leaving)

    async def _take_in(self, text: bytes) -> Session:
        # In a thread: megabytes of JSON would hold up every other session.
        parcel = await asyncio.to_thread(unpack, text)
        epoch = new_epoch(self._token_bytes)
        founded = await asyncio.to_thread(imported, parcel, self._house.plans, self._house.clock.now(), epoch)
        await self._refuse_known(founded)
        if founded.row.ended_at is None:
            return await self._begin(founded)
        await self._write(founded)
        session = await self._archive.find(founded.row.sid)
        if session is None:
            raise JournalError(f"{founded.row.sid} was stored and is not found")
        return session

    async def _fork(self, sid: str, at: int | None, token: Callable[[str], TokenRow]) -> tuple[Session, int]:
        parcel = await read_parcel(self._journal, sid)
        new = new_sid(self._token_bytes)
        now = self._house.clock.now()
        row = SessionRow(new, parcel.row.user, new_epoch(self._token_bytes), now)
        number = parcel.row.seq if at is None else at
        founded = await asyncio.to_thread(forked, parcel, number, row, token(new), self._house.plans, now)
        return await self._begin(founded), founded.row.seq

    async def _refuse_known(self, founded: Founded) -> None:
        sid = founded.row.sid
        if sid in self._roster or await self._journal.session(sid) is not None:
            raise Refused("exists", f"there is a session {sid} here already; steward fork makes another of it")
        for token in founded.append.tokens:
            if await self._journal.token(token.digest) is not None:
                raise Refused("exists", f"its token {token.id} opens another session here")

    async def _begin(self, founded: Founded) -> Session:
        row = founded.row
        self._roster.places.reserve(row.user)
        try:
            await self._write(founded)
            if self._house.is_leaving:
                raise self._leaving()  # it is in the log, whole: the next process has it
        except BaseException:
            self._roster.places.give_back(row.user)
            raise
        # From here on nothing waits: nobody sees it half.
        session = self._house.build(row, founded.image)
        self._roster.created += 1
        self._roster.up[row.sid] = session
        if why := await bring_up(session):
            self._roster.strike(row.sid, row.user)
            await self._journal.drop(row.sid)
            raise Refused("bad_payload", why)
        return session

    async def _write(self, founded: Founded) -> None:
        sid = founded.row.sid
        self._roster.coming.add(sid)
        try:
            await self._journal.append(founded.append)
        except Fenced:
            raise Refused("exists", f"there is a session {sid} here already") from None
        except Violation as error:
            # Of another that came in at the same time: the store is well.
            raise Refused("exists", str(error)) from None
        except JournalError as error:
            if not isinstance(error, LASTING):
                self._doubt(sid)
            raise
        finally:
            self._roster.coming.discard(sid)
        log.info("founded from another log, %d events", founded.row.seq, extra={"sid": sid})

    def _leaving(self) -> Refused:
        return Refused("leaving", "this server is leaving; ask again", retry_ms=1000)
