"""The HTTP calls beside the WebSocket: create, look, command, read the log, end, and hand out tokens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final, Literal

from aiohttp import web

from engine.codec import encode
from engine.drawing.picture import machine_picture, outline
from engine.errors import Overtaken
from engine.live.roster import Sleeper
from engine.records import ROOT, Caller, Command, Outcome
from engine.session import Session
from engine.spec import Spec

from .auth import bearer, new_token
from .bodies import CommandBody, CreateBody, EndQuery, PageQuery, TokenBody, read_body, read_query
from .codes import Fault
from .connection import Connection
from .desk import Desk, Right
from .frames import COMMAND_BYTES_MAX, res
from .outbox import SNAP_BYTES_MAX
from .patience import Patience
from .pool import Pool
from .problems import Problem, json, problem, problem_of_outcome
from .protocol import Timing, digest
from .rates import Rates
from .sse import EventStream, cursor_of, is_asked_for

PAGE_MAX: Final = 1000
PAGE_BYTES_MAX: Final = 1024 * 1024
END_WAIT_S: Final = 60.0  # how long DELETE waits for the clean-up before it answers 202
QUARANTINE_LOOK_S: Final = 0.1
UPGRADE: Final = {"Upgrade": "websocket", "Connection": "Upgrade"}
NO_WEBSOCKET: Final = (
    "dial it with a WebSocket client, such as `steward play`; the HTTP calls are /v1/sessions and below"
)
TERMINATE: Final = "terminate"  # the event of the lifecycle file that ends a session
log = logging.getLogger("steward.http")


class Http:
    """The handlers of all routes."""

    def __init__(self, desk: Desk, pool: Pool, spec: Spec, timing: Timing) -> None:
        self._desk = desk
        self._pool = pool
        self._spec = spec
        self._timing = timing
        self._patience = Patience(timing.answer_s)
        self._rates = Rates(timing)
        self._quarantines = frozenset(
            name for kind in spec.roots for name, state in spec.machines[kind].states.items() if state.quarantine
        )
        self.is_ready = False

    def routes(self) -> list[web.RouteDef]:
        one = "/v1/sessions/{sid}"
        return [
            web.get("/livez", self.livez),
            web.get("/readyz", self.readyz),
            web.get("/v1/ws", self.websocket),
            web.get("/v1/lifecycle", self.lifecycle),
            web.get("/v1/sessions", self.sessions),
            web.post("/v1/sessions", self.create),
            web.get(one, self.session),
            web.delete(one, self.end),
            web.post(one + "/commands", self.command),
            web.get(one + "/log", self.log),
            web.post(one + "/tokens", self.grant),
            web.delete(one + "/tokens/{id}", self.revoke),
        ]

    async def livez(self, request: web.Request) -> web.Response:
        return json({"status": "live"})

    async def readyz(self, request: web.Request) -> web.Response:
        if not self.is_ready or self._desk.is_leaving:
            return problem(503, "not_ready", "this server takes no sessions now", retry_ms=1000)
        if (refused := self._desk.manager.admission.refusal_of_session()) is not None:
            title = "this server takes no sessions now"
            return problem(503, refused.code, title, refused.message, retry_ms=refused.retry_ms)
        return json(
            {"status": "ready", "sessions": self._desk.manager.live, "connections": len(self._pool.connections)}
        )

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise Problem(426, "upgrade_required", "this is a WebSocket", NO_WEBSOCKET, **UPGRADE)
        unwelcomed = self._pool.admit(request.remote or "")
        try:
            return await Connection(self._pool, self._desk, self._timing, time.monotonic).serve(request, unwelcomed)
        except web.HTTPBadRequest:
            raise Problem(400, "bad_handshake", "this is no WebSocket handshake of version 13", NO_WEBSOCKET) from None
        finally:
            unwelcomed.give_back()

    async def lifecycle(self, request: web.Request) -> web.Response:
        """The file as it was read, and each machine as the boxes and arrows that its picture is made of."""
        pictures = {kind: outline(machine_picture(machine)) for kind, machine in self._spec.machines.items()}
        return json({**self._spec.model_dump(mode="json", exclude_defaults=True), "pictures": pictures})

    async def sessions(self, request: web.Request) -> web.Response:
        await self._patience.wait(self._desk.require_admin(bearer(request.headers)))
        manager = self._desk.manager
        live: list[Session | Sleeper] = [*manager.sessions(), *manager.asleep()]
        return json({"sessions": [view_of(session) for session in live]})

    async def create(self, request: web.Request) -> web.Response:
        body = await read_body(request, CreateBody)
        token = body.token or new_token()
        right = await self._patience.wait(self._desk.resume_or_create(token, body, bearer(request.headers)))
        answer = json({**view_of(right.session), "token": token}, status=201)
        answer.headers["Location"] = f"/v1/sessions/{right.session.sid}"
        return answer

    async def session(self, request: web.Request) -> web.Response:
        session = (await self._right(request)).session
        if session.log.is_closed:
            await self._patience.wait(_end_entered(session))
        told = {**view_of(session), **_standing(session), "actors": _actors(session), "report": session.report}
        await self._patience.wait(session.log.landed())
        return json(told)

    async def command(self, request: web.Request) -> web.Response:
        # The body first: a right that was found before it could be revoked while it comes.
        body = await read_body(request, CommandBody, COMMAND_BYTES_MAX)
        command = None
        if body.cid is not None:
            command = Command(body.cid, body.c, digest(body.name, body.args, body.to))
        with self._desk.manager.arrivals.one():
            right = await self._right(request, "control")
            caller = await self._caller(request, right)
            wait_s = self._rates.take(f"user {caller.user}" if right.is_admin else right.token_id, time.monotonic())
            if wait_s > 0:
                text = f"{self._timing.commands_per_s:g} in a second, {self._timing.commands_burst} in a burst"
                return problem(429, "busy", "too many commands; come again later", text, retry_ms=round(wait_s * 1000))
            sending = self._submit(right, caller, body.to, body.name, body.args, command)
        outcome = await self._patience.wait(sending)
        if not outcome.ok:
            return problem_of_outcome(outcome, c=body.c if command else None, seq=outcome.seq or None)
        return web.Response(body=res(body.c, outcome), content_type="application/json")

    async def log(self, request: web.Request) -> web.StreamResponse:
        return await (self.events(request) if is_asked_for(request) else self.page(request))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The log from where the client stands, for as long as it listens; 204 once it has read the end."""
        with self._desk.manager.arrivals.one():
            right = await self._right(request)
            self._desk.check(right)
            if self._desk.is_leaving:
                raise Fault("leaving")
            cur = cursor_of(request, right.session.epoch, int(read_query(request, PageQuery).after or 0))
            stream = EventStream(self._pool, right, cur, self._timing, time.monotonic)
            if stream.is_read:
                return web.Response(status=204)
            stream.attach()
        return await stream.run(request)

    async def page(self, request: web.Request) -> web.Response:
        session = (await self._right(request)).session
        query = read_query(request, PageQuery)
        try:
            head, events = await self._patience.wait(_page(session, query.after, min(int(query.limit), PAGE_MAX)))
        except Overtaken as error:
            text = f"{error}; read on after={error.first - 1}, or leave after out"
            return problem(410, "trimmed", "that part of the log is gone", text, first=error.first)
        # Put together from the stored bytes, so that a page says exactly what an `ev` frame says (L1).
        body = encode(head)[:-1] + b',"events":[' + b",".join(events) + b"]}"
        return web.Response(body=body, content_type="application/json")

    async def end(self, request: web.Request) -> web.Response:
        """Its `reason` is for whoever reads the server's log: the event that ends a session has no place for one."""
        query = read_query(request, EndQuery)
        with self._desk.manager.arrivals.one():
            right = await self._right(request, "control")
            caller = await self._caller(request, right)
            session = right.session
            sending = None if self._is_over(session) else self._submit(right, caller, ROOT, TERMINATE, {}, None)
        if sending is not None:
            by = right_origin(right)
            log.info(
                "session ended by %s%s", by, f": {query.reason}" if query.reason else "", extra={"sid": session.sid}
            )
            outcome = await self._patience.wait(sending)
            if not outcome.ok and not self._is_over(session) and outcome.code != "ended":
                return problem_of_outcome(outcome)
            await self._wait_over(session)
        status = 200 if self._is_over(session) else 202
        answer = {
            "sid": session.sid,
            "state": session.state,
            "is_ended": session.is_ended,
            "is_quarantined": session.state in self._quarantines,
            "report": session.report,
        }
        await self._patience.wait(session.log.landed())  # quarantine is seen in memory first (M2)
        return json(answer, status=status)

    def _submit(
        self, right: Right, caller: Caller, to: str, name: str, args: dict[str, Any], command: Command | None
    ) -> Coroutine[Any, Any, Outcome]:
        """Put an event where the actor takes it from, now: right still holds. What is given waits for its outcome."""
        self._desk.check(right)
        intake = right.session.intake
        waiter = intake.submit(to, name, args, origin=right_origin(right), caller=caller, command=command)

        async def outcome() -> Outcome:
            return await asyncio.shield(waiter)

        return outcome()

    def _is_over(self, session: Session) -> bool:
        return session.is_ended or session.state in self._quarantines

    async def _wait_over(self, session: Session) -> None:
        """Until it has ended or waits for a person; at most END_WAIT_S. Quarantine is no end, so it is looked for."""
        try:
            async with asyncio.timeout(END_WAIT_S):
                while not self._is_over(session):
                    await asyncio.wait({session.ended}, timeout=QUARANTINE_LOOK_S)
        except TimeoutError:
            return

    async def grant(self, request: web.Request) -> web.Response:
        body = await read_body(request, TokenBody)
        with self._desk.manager.arrivals.one():
            right = await self._right(request, "control")
            token_id, token = await self._patience.wait(self._desk.grant(right, body.role))
        return json({"id": token_id, "role": body.role, "token": token}, status=201)

    async def revoke(self, request: web.Request) -> web.Response:
        """Its sockets close with it, also if the store answers later than the caller waits."""
        with self._desk.manager.arrivals.one():
            right = await self._right(request, "control")
            self._desk.check(right)
            is_revoked = await self._patience.wait(self._revoke(right.session, request.match_info["id"]))
        if not is_revoked:
            raise Problem(404, "unknown_token", "no such token", "this session has none of that id (any more)")
        return web.Response(status=204)

    async def _revoke(self, session: Session, token_id: str) -> bool:
        is_revoked = await self._desk.revoke(session, token_id)
        if is_revoked:
            self._pool.stop_token(token_id)
        return is_revoked

    async def _right(self, request: web.Request, role: str = "observe") -> Right:
        return await self._patience.wait(self._find_right(request, role))

    async def _find_right(self, request: web.Request, role: str) -> Right:
        """What the caller may do with the session in the path; every way of not being let in sounds the same."""
        sid, secret = request.match_info["sid"], bearer(request.headers)
        if await self._desk.is_admin(bearer(request.headers)):
            session = await self._desk.manager.find(sid)
            if session is None:  # who may see every session may know that this is none
                raise Problem(
                    404, "unknown_session", "no such session", "it never was, or its log is not kept any more"
                )
            return Right(session, "control", is_admin=True)
        if secret is None:
            raise Fault("no_valid_token")
        right = await self._desk.resume(secret)
        if right.session.sid != sid:
            raise Fault("no_valid_token")
        if role == "control" and right.role != "control":
            raise Fault("forbidden", "this token lets observe, not control")
        return right

    async def _caller(self, request: web.Request, right: Right) -> Caller:
        if not right.is_admin:
            return Caller(right.session.user)
        return await self._desk.credentials.caller(bearer(request.headers)) or Caller(right.session.user)


async def _page(session: Session, after: str | None, limit: int) -> tuple[dict[str, Any], list[bytes]]:
    """(what a page says beside its events, the events). Without after it begins with the first event that is kept,
    and says how everything stood before it. Raises Overtaken."""
    told: dict[str, Any] = {"epoch": session.epoch, "first": session.log.trimmed + 1, "head": session.log.head}
    last = int(after or 0)
    if after is None and session.log.trimmed:
        last, data = await session.snap(SNAP_BYTES_MAX, is_first=True)
        told |= {"first": last + 1, "snap": {"seq": last, "data": data}}
    events: list[bytes] = []
    size = 0
    for seq, update in await session.log.read(last, limit):
        size += len(update)
        if events and size > PAGE_BYTES_MAX:
            break
        events.append(update)
        last = seq
    return {**told, "next": last, "is_ended": session.is_ended}, events


def right_origin(right: Right) -> Literal["client", "admin"]:
    return "admin" if right.is_admin else "client"


def view_of(session: Session | Sleeper) -> dict[str, Any]:
    """What lists tell of a session, also of one that left memory."""
    return {
        "sid": session.sid,
        "user": session.user,
        "epoch": session.epoch,
        "head": session.log.head if isinstance(session, Session) else session.head,
        "state": session.told_state if isinstance(session, Session) else session.state,
        "is_ended": isinstance(session, Session) and session.is_ended,
        "created_at": round(session.created_at, 3),
    }


async def _end_entered(session: Session) -> None:
    """Memory follows the record of an end once that is durable: till then it tells another state than its log."""
    await session.log.landed()
    await asyncio.shield(session.ended)


def _standing(session: Session) -> dict[str, Any]:
    """How it stands in memory, which may be told once what the log has by then is durable (M2)."""
    return {"head": session.log.seq, "state": session.state}


def _actors(session: Session) -> list[dict[str, str]]:
    return [{"actor": view.path, "kind": view.kind, "state": view.state} for view in session.tree()]
