"""What a right is worth while it is being taken away, and while nobody can tell who comes (L8, L12)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from engine.journal.base import TokenRow
from engine.live.attachments import Attachments
from server.auth import digest_of
from server.codes import Fault
from server.pool import Place, Pool
from tests.server.conftest import ANSWER_S, KEY, Wire, new_token


async def begun(wire: Wire, path: str, token: str, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A POST whose body is on its way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{wire.port}\r\nAuthorization: Bearer {token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body[:1])
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize(
    "call, body", [("tokens", {"role": "control"}), ("commands", {"name": "say", "args": {"text": "late"}})]
)
async def test_a_call_that_was_begun_before_its_right_was_revoked_does_nothing(
    wire: Wire, call: str, body: dict[str, Any]
) -> None:
    """L12: a body that is held back until after the revocation makes no new token and no effect."""
    owner = new_token()
    _, welcome = await wire.create(owner)
    path = f"/v1/sessions/{welcome['sid']}"
    _, other = await wire.call("POST", f"{path}/tokens", owner, json={"role": "control"})
    text = json.dumps(body).encode()
    reader, writer = await begun(wire, f"{path}/{call}", other["token"], text)
    status, _ = await wire.call("DELETE", f"{path}/tokens/{other['id']}", owner)
    assert status == 204
    writer.write(text[1:])
    async with asyncio.timeout(ANSWER_S):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401"), answer[:200]
    head = (await wire.call("GET", path, owner))[1]["head"]
    assert head == 1, "nothing but the beginning is in the log"


async def test_who_resumes_is_let_in_while_an_identity_provider_is_away(serving: Any) -> None:
    """L8: the session's token is enough; a server that was started anew must not lose everybody for that."""
    keys = [{"user": "u", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}]
    provider = {"issuer": "i", "audience": "a", "keys": "http://127.0.0.1:9/none"}
    wire: Wire = await serving(key=None, api_keys=keys, jwt=provider)
    token = new_token()
    first = await wire.dial()
    assert (await first.hello(token, create={"team": "wire"}, auth=KEY))["t"] == "welcome"
    again = await wire.dial()
    assert (await again.hello(token, n=2, auth="aaaa.bbbb.cccc"))["t"] == "welcome"
    stranger = await wire.dial()
    await stranger.hello(new_token(), create={"team": "wire"}, auth="aaaa.bbbb.cccc")
    assert await stranger.closed() == 4100


class Member:
    """One connection of a cid, as the pool sees it."""

    key = ("s.1", "tab")
    token_id = "t"

    def __init__(self, n: int) -> None:
        self.n = n
        self.place: Place | None = None

    def surrender(self) -> Place | None:
        place, self.place = self.place, None
        return place

    def stop(self, fault: Fault) -> None:
        assert fault.name == "replaced"

    def tick(self, now: float) -> None: ...

    def leave(self) -> None: ...


class Rebuilt:
    """A session object, as one of several that a session has in its life."""

    sid = "s.1"

    def __init__(self) -> None:
        self.attachments = Attachments(lambda: None)

    def attach(self, role: str) -> Any:
        return self.attachments.attach(role, None)


async def test_a_place_in_a_session_that_was_rebuilt_is_no_place_in_the_new_one() -> None:
    """Else the new object counts nobody, and its window runs out under a client that is connected."""
    pool = Pool(unwelcomed_max=9, unwelcomed_per_address_max=9, control_max=1, observe_max=9)
    before, after = Rebuilt(), Rebuilt()
    older, newer = Member(1), Member(2)
    older.place = pool.attach(older, before, "control")  # type: ignore[arg-type]
    newer.place = pool.attach(newer, after, "control")  # type: ignore[arg-type]
    assert (before.attachments.is_connected, after.attachments.is_connected) == (False, True)
    newer.place.give_back()
    assert not after.attachments.is_connected


@pytest.mark.parametrize("token_id", ["", "t.0123456789abcdef"])
async def test_a_token_is_a_clients_whatever_the_store_calls_it(wire: Wire, token_id: str) -> None:
    """Rule 9: an administrator is who has an administrator's credentials; no row of a store makes one."""
    token = new_token()
    session = await wire.parts.manager.create(token=lambda sid: TokenRow(digest_of(token), sid, token_id, "control"))
    path = f"/v1/sessions/{session.sid}/commands"
    status, told = await wire.call("POST", path, token, json={"name": "retry_cleanup"})
    assert (status, told["code"]) == (403, "forbidden")
    status, told = await wire.call("POST", path, KEY, json={"name": "retry_cleanup"})
    assert (status, told["code"]) == (409, "not_now")
