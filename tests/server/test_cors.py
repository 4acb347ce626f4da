"""Pages that other servers deliver: only those that the operator names may call, and they are told so (rule 9)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.conftest import KEY, Wire

PAGE = "https://pages.example"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


@pytest.fixture
async def wire(serving: Any) -> Wire:
    started: Wire = await serving(allowed_origins=[PAGE])
    return started


async def test_a_named_page_may_ask_and_call(wire: Wire) -> None:
    """What a browser needs: the answer to its question before the call, and the page's name on every answer."""
    path = f"{wire.url}/v1/sessions"
    async with wire.http.options(path, headers={"Origin": PAGE, **ASKED}) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers, "no cookie ever counts here"
    headers = {"Origin": PAGE, "Authorization": f"Bearer {KEY}"}
    async with wire.http.post(path, headers=headers, json={"team": "wire"}) as answer:
        assert answer.status == 201
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Vary"] == "Origin"


async def test_errors_are_told_to_a_named_page_too(wire: Wire) -> None:
    """A browser shows a page nothing of an answer without them, not even the problem document."""
    async with wire.http.get(f"{wire.url}/v1/sessions/s.none", headers={"Origin": PAGE}) as answer:
        assert answer.status == 401
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://pages.example.evil.example"])
async def test_no_other_page_may_even_ask(wire: Wire, origin: str) -> None:
    async with wire.http.options(f"{wire.url}/v1/sessions", headers={"Origin": origin, **ASKED}) as answer:
        assert answer.status == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_nothing_is_said_to_whoever_needs_no_leave(wire: Wire) -> None:
    """Same-origin pages and programs."""
    for headers in ({}, {"Origin": wire.url}):
        async with wire.http.get(f"{wire.url}/livez", headers=headers) as answer:
            assert answer.status == 200
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_websocket_of_a_named_page_is_taken(wire: Wire) -> None:
    peer = await wire.dial(origin=PAGE)
    welcome = await peer.hello("t" * 43, create={"team": "wire"}, auth=KEY)
    assert welcome["t"] == "welcome"
