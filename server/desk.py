"""Who gets which session: tokens in, sessions out, new ones made. WebSocket and HTTP ask here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from engine.errors import LimitExceeded, Refused
from engine.journal.base import TokenRow
from engine.language.sentences import unknown
from engine.records import Caller
from engine.session import Session
from engine.sessions import SessionManager
from engine.steps.asked import ASKED, take_asked

from .auth import ADMIN, Credentials, digest_of, new_token, new_token_id
from .codes import Fault
from .frames import Create

TOKENS_PER_SESSION_MAX: Final = 64
HELLOS_WAITING_MAX: Final = 1024
NO_ADMIN: Final = f"this takes the role {ADMIN}"
log = logging.getLogger("steward.desk")


@dataclass(frozen=True, slots=True)
class Right:
    """A session that somebody may open, and how far: by a token, or as an administrator, who needs none."""

    session: Session
    role: str
    token_id: str = ""
    is_admin: bool = False


class Desk:
    """The only place where a token becomes a session. hellos_max: hellos and creations under way at once; above it they
    are told to come again."""

    def __init__(self, manager: SessionManager, credentials: Credentials, hellos_max: int = HELLOS_WAITING_MAX) -> None:
        self.manager = manager
        self.credentials = credentials
        self.is_leaving = False
        self._hellos_max = hellos_max
        self._revoked: set[str] = set()  # while anybody is arriving who may have found them
        self._queues: dict[bytes, tuple[asyncio.Lock, int]] = {}

    async def resume(self, token: str) -> Right:
        """What token opens. Raises Fault("no_valid_token"), the same for every way of not being valid."""
        return await self._opened(await self.manager.token(digest_of(token)))

    async def _opened(self, row: TokenRow | None) -> Right:
        session = None if row is None else await self.manager.find(row.sid)
        if row is None or session is None:
            # A server that leaves wakes nobody: the session is its successor's, and the token as good as ever.
            raise Fault("leaving" if row is not None and self.is_leaving else "no_valid_token")
        return Right(session, row.role, row.id)

    async def resume_or_create(self, token: str, create: Create | None, auth: str | None) -> Right:
        """A known token resumes, whatever create says; so a lost welcome makes no second session (L12)."""
        async with self._one_at_a_time(digest_of(token)):
            row = await self.manager.token(digest_of(token))
            if row is not None or create is None:
                return await self._opened(row)
            caller = await self.caller(auth)
            try:
                return await self._create(token, self._data(create), caller)
            except Refused as refusal:
                self.manager.observer.refused(refusal.code)
                raise

    async def caller(self, auth: str | None) -> Caller:
        """Raises Fault("no_valid_token")."""
        caller = await self.credentials.caller(auth)
        if caller is None:
            raise Fault("no_valid_token")
        return caller

    async def is_admin(self, auth: str | None) -> bool:
        """Whether these are an administrator's credentials; with --open nobody's are. Raises Fault("forbidden") if
        they are valid, and somebody else's."""
        if self.credentials.is_open:
            return False
        caller = await self.credentials.caller(auth)
        if caller is not None and ADMIN not in caller.roles:
            raise Fault("forbidden", NO_ADMIN)
        return caller is not None

    async def require_admin(self, auth: str | None) -> None:
        """Raises Fault("forbidden") for credentials, or a session's token, that are valid and do not reach so far, and
        Fault("no_valid_token") for all others."""
        if await self.is_admin(auth):
            return
        is_token = auth is not None and await self.manager.token(digest_of(auth)) is not None
        raise Fault("forbidden", NO_ADMIN) if is_token else Fault("no_valid_token")

    async def caller_of(self, right: Right, auth: str | None) -> Caller:
        """Who comes with a right to a session: whoever auth says, else the session's own user, without any role.

        The right is enough: it lets nobody in or out that nobody can tell now whose auth is (L8).
        """
        try:
            return await self.credentials.caller(auth) or Caller(right.session.user)
        except Fault as error:
            log.warning("%s; who resumes comes without roles", error.message, extra={"sid": right.session.sid})
            return Caller(right.session.user)

    def _data(self, create: Create) -> dict[str, Any]:
        """The first data of the session's root actor.

        Says what cannot be before there is a session that would only end of it. Raises Refused("bad_payload").
        """
        plan = self.manager.plans[self.manager.root_kind]
        options, asked = take_asked(plan, create.options)
        self._check(create, options)
        data: dict[str, Any] = {} if create.team is None else {"team": create.team}
        return {**data, "options": options, **({ASKED: asked} if asked else {})}

    def _check(self, create: Create, options: dict[str, Any]) -> None:
        """Without a name the first team plays; with no teams the lifecycle file decides what `team` means at all."""
        teams = self.manager.services.get("teams")
        if not teams:
            return
        name = next(iter(teams)) if create.team is None else create.team
        team = teams.get(name)
        if team is None:
            raise Refused("bad_payload", unknown("team", name, list(teams)))
        team.read_options(options, self.manager.services.get("allow_breaking") is True)

    async def _create(self, token: str, data: dict[str, Any], caller: Caller) -> Right:
        if self.is_leaving:
            raise Fault("leaving")
        token_id = new_token_id()
        session = await self.manager.create(
            user=caller.user,
            roles=caller.roles,
            data=data,
            token=lambda sid: TokenRow(digest_of(token), sid, token_id, "control"),
        )
        log.info("session created by %s", caller.user, extra={"sid": session.sid})
        return Right(session, "control", token_id)

    async def grant(self, right: Right, role: str) -> tuple[str, str]:
        """A new right to right's session: (its id, the token, which is told once and never stored).

        Raises LimitExceeded, and Fault("no_valid_token") if right was revoked meanwhile.
        """
        session = right.session
        async with self._one_at_a_time(session.sid.encode()):  # so that two do not both take the last place
            if len(await self.manager.tokens(session.sid)) >= TOKENS_PER_SESSION_MAX:
                text = f"{TOKENS_PER_SESSION_MAX} tokens open this session already; revoke one first"
                raise LimitExceeded("tokens of one session", TOKENS_PER_SESSION_MAX, text)
            token, row_id = new_token(), new_token_id()
            self.check(right)
            await session.add_token(TokenRow(digest_of(token), session.sid, row_id, role))
            return row_id, token

    async def revoke(self, session: Session, token_id: str) -> bool:
        """Durable on return. False if session has no such right, and then nothing is written."""
        if all(row.id != token_id for row in await self.manager.tokens(session.sid)):
            return False
        await session.revoke_token(token_id)
        # Who found it before that, and is still on its way in, is turned away at the door (L12).
        self._revoked.add(token_id)
        self.manager.arrivals.afterwards(partial(self._revoked.discard, token_id))
        return True

    def check(self, right: Right) -> None:
        """Raises Fault("no_valid_token") if it was revoked since it was found."""
        if right.token_id in self._revoked:
            raise Fault("no_valid_token")

    @asynccontextmanager
    async def _one_at_a_time(self, key: bytes) -> AsyncIterator[None]:
        """Two hellos of one token (key: its digest), or two changes of one session's rights (key: its sid), do not
        race: the second finds what the first has made."""
        if key not in self._queues and len(self._queues) >= self._hellos_max:
            raise LimitExceeded("hellos under way", self._hellos_max, retry_ms=1000)
        lock, waiting = self._queues.get(key, (asyncio.Lock(), 0))
        self._queues[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._queues.pop(key)
            if waiting > 1:
                self._queues[key] = (lock, waiting - 1)
