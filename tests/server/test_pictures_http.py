"""GET /v1/lifecycle/diagram.svg: drawn once, kept, and a problem document where it cannot be drawn."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from engine.drawing import render
from server import pictures
from tests.server.conftest import Wire

PATH = "/v1/lifecycle/diagram.svg"


async def get(wire: Wire, path: str, **headers: str) -> tuple[int, Any, str]:
    """(status, headers, text)."""
    async with wire.http.get(wire.url + path, headers=headers) as answer:
        return answer.status, answer.headers, await answer.text()


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The DOT of each picture that was really drawn."""
    seen: list[str] = []

    def svg(source: str) -> bytes:
        seen.append(source)
        return render.svg(source)

    monkeypatch.setattr(pictures, "svg", svg)
    return seen


async def test_the_session_machine_is_what_one_sees_first(wire: Wire) -> None:
    """Without a key, as /v1/lifecycle itself: it says nothing that the file does not."""
    status, headers, text = await get(wire, PATH)
    assert (status, headers["Content-Type"]) == (200, "image/svg+xml")
    ET.fromstring(text)
    assert 'id="session-state-active"' in text


async def test_a_picture_and_its_state_can_be_chosen(wire: Wire) -> None:
    _, _, text = await get(wire, f"{PATH}?machine=session&highlight=active")
    assert re.search(r'id="session-state-active" class="[^"]* lit"', text)
    _, _, text = await get(wire, f"{PATH}?machine=who-owns-whom")
    assert 'id="who-owns-whom-state-session"' in text


@pytest.mark.parametrize(
    "query, said", [("machine=sesion", "there is: session"), ("machine=session&highlight=activ", "it has: ")]
)
async def test_what_is_not_there_is_refused_with_what_is(wire: Wire, query: str, said: str) -> None:
    status, problem = await wire.call("GET", f"{PATH}?{query}")
    assert (status, problem["code"]) == (400, "bad_frame")
    assert said in problem["detail"]


async def test_a_foreign_page_gets_no_picture(wire: Wire) -> None:
    """The rule for hosts holds here as everywhere."""
    status, _, _ = await get(wire, PATH, Host="evil.example")
    assert status == 403


async def test_who_has_the_picture_is_told_so(wire: Wire) -> None:
    _, headers, _ = await get(wire, PATH)
    status, again, text = await get(wire, PATH, **{"If-None-Match": headers["ETag"]})
    assert (status, text, again["ETag"]) == (304, "", headers["ETag"])
    _, other, _ = await get(wire, f"{PATH}?highlight=active")
    assert other["ETag"] != headers["ETag"]


async def test_many_at_once_cost_one_drawing(wire: Wire, draws: list[str]) -> None:
    answers = await asyncio.gather(*(get(wire, PATH) for _ in range(8)))
    assert {status for status, *_ in answers} == {200}
    await get(wire, PATH)
    assert len(draws) == 1


async def test_only_so_many_pictures_are_kept(wire: Wire, draws: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not asked for the longest goes first."""
    monkeypatch.setattr(pictures, "KEPT_MAX", 1)
    for query in ("", "?highlight=active", "?highlight=active", ""):
        await get(wire, PATH + query)
    assert len(draws) == 3


async def test_without_graphviz_it_says_what_would_help(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And is there as soon as Graphviz is, without a restart."""
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path))
        status, problem = await wire.call("GET", PATH)
    assert (status, problem["code"], problem["type"]) == (503, "no_graphviz", "urn:steward:problem:no_graphviz")
    assert "apt-get install graphviz" in problem["detail"]
    assert "/v1/lifecycle/diagram.dot" in problem["detail"]
    assert (await get(wire, PATH))[0] == 200


async def test_the_policy_lets_the_pictures_own_style_sheet_apply(wire: Wire) -> None:
    """Or it would be black on black on a dark page. Nothing else may be loaded or run."""
    _, headers, text = await get(wire, PATH)
    style = text.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}'" in headers["Content-Security-Policy"]


async def test_a_page_can_have_the_style_sheet_alone(wire: Wire) -> None:
    """For one that lays the DOT out itself."""
    status, headers, text = await get(wire, "/v1/lifecycle/diagram.css")
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/css")
    assert "prefers-color-scheme:dark" in text
