"""The player: a session as it was at every number of its log, by hand, by keys and by itself (M8)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.playing import end, lit, start, token

pytestmark = pytest.mark.e2e
KINDS = ("session", "orchestrator", "agent")


async def log(page: Page, url: str) -> list[dict[str, Any]]:
    """What the server has of the session on the page."""
    sid = await page.locator("#session-name").text_content()
    headers = {"Authorization": f"Bearer {await token(page)}"}
    answer = await page.request.get(f"{url}/v1/sessions/{sid}/log?limit=1000", headers=headers)
    return list((await answer.json())["events"])


def states(events: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Where everybody is after these events, for each kind."""
    now = {one["data"]["actor"]: (one["kind"], one["data"]["to"]) for one in events if one["kind"].endswith(".state")}
    return {kind: {state for of, state in now.values() if of == f"{kind}.state"} for kind in KINDS}


async def assert_as_it_was(page: Page, events: list[dict[str, Any]], number: int) -> None:
    """Lit, marked, said and scrolled to, all of the one number."""
    await expect(page.locator("#player-text")).to_contain_text(f"#{number} of {len(events)} ")
    past = events[:number]
    expected = states(past)
    for kind in KINDS:
        assert await lit(page, kind) == expected[kind], f"{kind} at #{number}"
        last = next((one for one in reversed(past) if one["kind"] == f"{kind}.state"), None)
        told = await page.locator(f".machine[data-kind={kind}] .last-transition").text_content()
        assert (told or "").startswith(f"#{last['seq']} " if last else "")
    moves = [one for one in past if "ply" in one["data"]]
    assert await page.locator(".message.move").count() == len(moves)
    squares = await page.locator("[data-piece]:not([data-piece=''])").count()
    assert squares == (len(re.findall("[A-Za-z]", moves[-1]["data"]["fen"].split()[0])) if moves else 32)
    marked_move = await page.locator(".square.last").evaluate_all("squares => squares.map(one => one.dataset.square)")
    assert set(marked_move) == ({moves[-1]["data"]["uci"][:2], moves[-1]["data"]["uci"][2:4]} if moves else set())
    marked = await page.locator("#log-rows [aria-current]").evaluate_all(
        "rows => rows.map(row => [Number(row.dataset.seq), row.getBoundingClientRect().top >= "
        "row.closest('#log-scroll').getBoundingClientRect().top])"
    )
    assert marked == ([[number, True]] if number else [])


async def test_a_life_is_stepped_through_forth_and_back(visitor: Visitor) -> None:
    """Each number shows what who had read so far saw; nothing is sent, and what comes meanwhile waits."""
    page = await visitor.context.new_page()
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda text: sent.append(str(text))))
    await page.goto(visitor.served.entry)
    await expect(page.locator("html[data-ready=true]")).to_be_attached()
    await start(page, white="human", pause_ms=0)
    asked = page.locator(".turn", has_text="Your move")
    await expect(asked).to_be_visible()
    await page.locator("#say-text").fill("e2e4")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message.move").nth(1)).to_be_visible()
    await expect(asked).to_be_visible()
    events = await log(page, visitor.served.url)
    before = len(sent)
    await page.locator("#player-at").focus()
    await page.keyboard.press("Home")
    await assert_as_it_was(page, events, 0)
    for number in range(1, len(events)):
        await page.keyboard.press("ArrowRight")
        await assert_as_it_was(page, events, number)
    for number in range(len(events) - 2, len(events) - 6, -1):
        await page.get_by_role("button", name="One event back").click()
        await assert_as_it_was(page, events, number)
    await page.locator("#player-at").fill("7")
    await assert_as_it_was(page, events, 7)
    for dead in ("#say-text", "#say-send", "#end", "#interrupt"):
        await expect(page.locator(dead)).to_be_disabled()
    await page.locator("[data-square=d2]").click()
    assert len(sent) == before, "the past sends nothing"
    sid = await page.locator("#session-name").text_content()
    answer = await page.request.post(
        f"{visitor.served.url}/v1/sessions/{sid}/commands",
        headers={"Authorization": f"Bearer {await token(page)}", "Content-Type": "application/json"},
        data=json.dumps({"name": "say", "args": {"text": "d2d4"}}),
    )
    assert answer.ok
    await expect(page.locator("#player-text")).not_to_contain_text(f"of {len(events)} ")
    await expect(page.locator("#player-text")).to_contain_text("#7 of ")
    assert await page.locator(".message.move").count() == len([one for one in events[:7] if "ply" in one["data"]])
    await page.get_by_role("button", name="Back to now").click()
    await expect(page.locator(".message.move").nth(3)).to_be_visible()
    await expect(page.locator("#say-text")).to_be_enabled()
    await expect(page.locator("#log-rows [aria-current]")).to_have_count(0)


async def test_a_life_that_is_over_plays_again(visitor: Visitor) -> None:
    """From its first number to its last at the speed that is chosen, and stops where somebody stops it."""
    page = await visitor.page()
    await start(page, pause_ms=300, plies=4)
    await expect(page.locator(".message.move").nth(3)).to_be_visible()
    await end(page)
    whole = len(await log(page, visitor.served.url))
    await page.locator("#player-speed").select_option("0.25")
    await page.get_by_role("button", name="Play", exact=True).click()
    await expect(page.locator("#report-panel")).to_be_hidden()
    await expect(page.locator(".message.move").first).to_be_visible()
    await page.get_by_role("button", name="Pause").click()
    stopped = int(str(await page.locator("#player-text").text_content())[1:].split()[0])
    await assert_as_it_was(page, await log(page, visitor.served.url), stopped)
    await page.locator("#player-speed").select_option("16")
    await page.get_by_role("button", name="Play", exact=True).click()
    await expect(page.locator("#player-text")).to_have_text(f"Now, at #{whole}")
    await expect(page.locator("#report-panel")).to_be_visible()
    assert await lit(page, "session") == {"terminated"}
