"""Tokens of an identity provider, with real keys, real signatures and its keys over real HTTP (rule 9)."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from joserfc import jwk, jwt

from engine.records import Caller
from server.callers import IdentityProvider
from server.codes import Fault
from server.config import ConfigError, load
from server.identity import KEYS_AGAIN_S, KEYS_BYTES_MAX, KEYS_OLD_S, LEEWAY_S, ExtraMissing, Identities, KeysUnreadable
from tests.server.conftest import Wire, new_token

ISSUER, AUDIENCE = "https://login.example", "steward"
NOW = 1_700_000_000.0


def made(kid: str, kind: str = "EC", size: Any = "P-256") -> Any:
    return jwk.generate_key(kind, size, {"kid": kid})


def signed(key: Any, alg: str = "ES256", now: float = NOW, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token as the provider makes them; a claim that is None is left out."""
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": int(now) + 300, **claims}
    content = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode({"alg": alg, "kid": key.kid, **(header or {})}, content, key, algorithms=[alg])


def with_shared_secret(secret: bytes, body: str) -> str:
    """By hand, because the library does not let a public key pass for a secret either."""
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').decode().rstrip("=")
    mark = hmac.digest(secret, f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"


class Provider:
    """An identity provider on a port of its own: publishes keys, and counts how often they were asked for."""

    def __init__(self) -> None:
        self.keys: list[Any] = [made("one")]
        self.answer: bytes | None = None
        self.status = 200
        self.asked = 0
        self.at = 1000.0
        self.url = ""
        self.pieces = 1

    async def publish(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        text = self.answer or json.dumps({"keys": [key.as_dict(private=False) for key in self.keys]}).encode()
        response = web.StreamResponse(status=self.status)
        await response.prepare(request)
        size = -(-len(text) // self.pieces)
        with suppress(ConnectionError):  # of what is too large not everything is read
            for start in range(0, len(text), size):
                await response.write(text[start : start + size])
                await asyncio.sleep(0)
        return response

    def identities(self, **settings: Any) -> Identities:
        given = IdentityProvider(issuer=ISSUER, audience=AUDIENCE, keys=self.url, **settings)
        return Identities(given, now=lambda: NOW, monotonic=lambda: self.at)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    one = Provider()
    app = web.Application()
    app.router.add_get("/keys", one.publish)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield one
    await runner.cleanup()


async def test_a_valid_token_says_who_its_bearer_is(provider: Provider) -> None:
    """The user and the roles come from the provider, never from the client's word."""
    caller = await provider.identities().caller(signed(provider.keys[0], roles=["supervisor"]))
    assert caller == Caller("ann", frozenset({"supervisor"}))


@pytest.mark.parametrize(
    "kind, size, alg",
    [("RSA", 2048, "RS256"), ("RSA", 2048, "PS256"), ("EC", "P-256", "ES256"), ("OKP", "Ed25519", "Ed25519")],
)
async def test_the_signatures_that_may_be_configured(provider: Provider, kind: str, size: Any, alg: str) -> None:
    provider.keys = [made("one", kind, size)]
    token = signed(provider.keys[0], alg)
    assert await provider.identities(algorithms=[alg]).caller(token) == Caller("ann", frozenset())


async def test_claims_have_the_names_that_are_configured(provider: Provider) -> None:
    """Providers differ; scopes are text divided by spaces."""
    identities = provider.identities(user_claim="email", roles_claim="scope")
    token = signed(provider.keys[0], email="ann@example.org", scope="supervisor admin")
    assert await identities.caller(token) == Caller("ann@example.org", frozenset({"supervisor", "admin"}))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["another"]},
        {"exp": int(NOW) - LEEWAY_S - 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": int(NOW) + LEEWAY_S + 1},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "two\nlines"},
        {"sub": "x" * 129},
    ],
    ids=str,
)
async def test_claims_that_do_not_fit_open_nothing(provider: Provider, claims: dict[str, Any]) -> None:
    """The signature is right in each; one that is expired by less than two clocks may differ still counts."""
    identities = provider.identities()
    assert await identities.caller(signed(provider.keys[0], **claims)) is None
    assert await identities.caller(signed(provider.keys[0], exp=int(NOW) - LEEWAY_S + 1)) is not None


async def test_the_log_names_the_claim_that_does_not_fit(provider: Provider, caplog: Any) -> None:
    """A server under another name at the provider lets nobody in, and its operator has to see why."""
    caplog.set_level("INFO", "steward.identity")
    await provider.identities().caller(signed(provider.keys[0], aud="another"))
    assert "'aud'" in caplog.text


async def test_forged_tokens_open_nothing(provider: Provider) -> None:
    """Another key under a known name, no signature, the public key as a shared secret, a changed claim, a key that
    the token brings along."""
    key, stranger = provider.keys[0], made("one")
    head, body, mark = signed(key).split(".")
    _, other_body, _ = signed(stranger, sub="eve").split(".")
    crit_head = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"one","crit":5}').decode().rstrip("=")
    none_head = "eyJhbGciOiJub25lIn0"
    forged = [
        signed(stranger),
        f"{none_head}.{body}.",
        f"{none_head}.{body}.{mark}",
        with_shared_secret(key.as_pem(private=False), body),
        f"{head}.{other_body}.{mark}",
        signed(stranger, header={"jwk": stranger.as_dict(private=False)}),
        signed(stranger, header={"kid": "unknown"}),
        f"{crit_head}.{body}.{mark}",
        "..",
        "a.b.c",
        "not a token",
    ]
    identities = provider.identities()
    assert [await identities.caller(token) for token in forged] == [None] * len(forged)
    assert await identities.caller(signed(key)) is not None


async def test_a_key_that_was_published_since_counts_at_once(provider: Provider) -> None:
    """Providers change their keys without telling anybody."""
    identities = provider.identities()
    assert await identities.caller(signed(provider.keys[0])) is not None
    provider.at += KEYS_AGAIN_S + 1
    provider.keys = [made("two")]
    assert await identities.caller(signed(provider.keys[0])) is not None
    assert provider.asked == 2


async def test_strangers_cannot_make_us_ask_for_keys_again_and_again(provider: Provider) -> None:
    identities = provider.identities()
    for number in range(20):
        assert await identities.caller(signed(made(f"made up {number}"))) is None
    assert provider.asked == 1


async def test_a_key_that_is_taken_back_ends(provider: Provider) -> None:
    """Within KEYS_OLD_S."""
    identities, old = provider.identities(), provider.keys[0]
    assert await identities.caller(signed(old)) is not None
    provider.keys = [made("two")]
    provider.at += KEYS_OLD_S + 1
    assert await identities.caller(signed(old)) is None


@pytest.mark.parametrize(
    "answer", [b"no JSON", b"[]", b"{}", b'{"keys": 7}', b'{"keys": [7]}', b'{"keys": []}', b" " * (KEYS_BYTES_MAX + 1)]
)
async def test_a_provider_that_is_ill_takes_nothing_away(provider: Provider, answer: bytes) -> None:
    """The keys that are known stay in use; without any, nobody can tell, and that is what is said."""
    provider.answer = answer
    identities = provider.identities()
    with pytest.raises(Fault, match="keys cannot be read"):
        await identities.caller(signed(provider.keys[0]))
    provider.answer, provider.at = None, provider.at + KEYS_AGAIN_S + 1
    assert await identities.caller(signed(provider.keys[0])) is not None
    provider.answer, provider.at = answer, provider.at + KEYS_OLD_S + 1
    assert await identities.caller(signed(provider.keys[0])) is not None
    assert provider.asked == 3


async def test_a_provider_that_redirects_or_fails_is_not_followed(provider: Provider) -> None:
    provider.status = 500
    with pytest.raises(Fault, match="keys cannot be read"):
        await provider.identities().caller(signed(provider.keys[0]))


async def test_keys_that_come_in_pieces_are_read_to_their_end(provider: Provider) -> None:
    """A network delivers a body as it likes."""
    provider.keys += [made(f"other {number}") for number in range(200)]
    provider.pieces = 50
    assert await provider.identities().caller(signed(provider.keys[-1])) is not None


async def test_keys_may_come_from_a_file(tmp_path: Path) -> None:
    """Where the server reaches no network."""
    key = made("one")
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    given = IdentityProvider(issuer=ISSUER, audience=AUDIENCE, keys=str(file))
    assert await Identities(given, now=lambda: NOW).caller(signed(key)) == Caller("ann", frozenset())


@pytest.mark.parametrize("text", [None, "", '{"keys": 7}'])
def test_a_file_without_keys_is_told_at_the_start(tmp_path: Path, text: str | None) -> None:
    """Not by every login that fails."""
    file = tmp_path / "keys.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(KeysUnreadable, match=r"keys\.json cannot be read"):
        Identities(IdentityProvider(issuer=ISSUER, audience=AUDIENCE, keys=str(file)))


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"keys": "http://login.example/keys"}, "https"),
        ({"keys": "ftp://login.example/keys"}, "https"),
        ({"algorithms": ["HS256"]}, "RS256"),
        ({"algorithms": ["none"]}, "RS256"),
        ({"algorithms": []}, "algorithms"),
        ({"audience": ""}, "audience"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(wrong: dict[str, Any], named: str) -> None:
    jwt_settings = {"issuer": ISSUER, "audience": AUDIENCE, "keys": "keys.json", **wrong}
    with pytest.raises(ConfigError, match=named):
        load({"jwt": jwt_settings}, file=None)


def test_without_the_package_the_operator_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra; a server that could check nothing does not start."""
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(ExtraMissing, match=r"session-steward\[jwt\]"):
        Identities(IdentityProvider(issuer=ISSUER, audience=AUDIENCE, keys="keys.json"))


async def test_users_of_a_provider_create_sessions(serving: Any, provider: Provider) -> None:
    """Over the real server: the session is the user's, and whoever has no valid token gets 4300, as ever."""
    given = {"issuer": ISSUER, "audience": AUDIENCE, "keys": provider.url}
    wire: Wire = await serving(jwt=given, key=None, host="127.0.0.1")
    good, late = signed(provider.keys[0], now=time.time()), signed(provider.keys[0], now=0.0)

    peer = await wire.dial()
    welcome = await peer.hello(new_token(), create={"team": "wire"}, auth=good)
    assert welcome["t"] == "welcome"
    assert (await wire.parts.manager.find(welcome["sid"])).user == "ann"  # type: ignore[union-attr]

    refused = await wire.dial()
    await refused.hello(new_token(), create={"team": "wire"}, auth=late)
    assert await refused.closed() == 4300

    status, _ = await wire.call("GET", "/v1/sessions", good)
    assert status == 403, "the list of all sessions is for the role admin"
    status, _ = await wire.call("GET", f"/v1/sessions/{welcome['sid']}", good)
    assert status == 403, "so are other people's sessions; one's own is opened by its token"
    admin = signed(provider.keys[0], now=time.time(), roles=["admin"])
    status, listed = await wire.call("GET", "/v1/sessions", admin)
    assert (status, [one["user"] for one in listed["sessions"]]) == (200, ["ann"])
