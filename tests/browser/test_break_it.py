"""Each way to break something, on the page: what was noticed, which transition followed, how it ended."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.conftest import Served, Visitor
from tests.browser.playing import end, harm, numbers, start, watch

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


async def steps(card: Locator, *sorts: str) -> str:
    found = await card.locator("li").evaluate_all("items => items.map(item => [item.dataset.sort, item.textContent])")
    return "\n".join(text for sort, text in found if sort in sorts)


async def assert_comes_back(card: Locator, noticed: str) -> None:
    """The file's time-out, its force and its `failed` are what ends it."""
    await expect(card).to_have_attribute("data-status", "good")
    assert noticed in await steps(card, "noticed")
    moved = await steps(card, "moved")
    assert "ready → ill on fall_ill" in moved
    assert "ill → ready on failed" in moved


async def goes_on(page: Page) -> None:
    moves = await page.locator(".message.move").count()
    await expect(page.locator(".message.move").nth(moves + 1)).to_be_visible()


async def test_an_agent_that_raises_comes_back(visitor: Visitor) -> None:
    """And the game goes on."""
    page = await watch(visitor)
    await assert_comes_back(await harm(page, "raise"), "it raised; the server's log has it under")
    await goes_on(page)


async def test_agents_that_do_not_end_are_ended_and_come_back(visitor: Visitor) -> None:
    """One hangs and one swallows its cancellation, so that their time-outs pass side by side; and the game goes on."""
    page = await watch(visitor)
    hanging = await harm(page, "hang", "white")
    swallowing = await harm(page, "swallow", "black")
    await expect(page.locator("#live-agent-ill")).to_have_class(re.compile(r"\blit\b"))
    await assert_comes_back(hanging, "did not end within its time-out")
    await assert_comes_back(swallowing, "Its coroutine was closed under it")
    await goes_on(page)


async def test_a_hanging_agent_can_be_interrupted(visitor: Visitor) -> None:
    """Nobody has to wait for a time-out."""
    page = await watch(visitor)
    card = await harm(page, "hang")
    await expect(page.locator("#live-agent-ill")).to_have_class(re.compile(r"\blit\b"))
    await page.get_by_role("button", name="Interrupt").click()
    await expect(card).to_have_attribute("data-status", "good")
    assert "ill → ready on interrupt" in await steps(card, "moved")


async def test_what_was_left_open_is_in_the_report(visitor: Visitor) -> None:
    """The file and the task that nobody closed are let go by the clean-up, and the report ticks them off."""
    page = await watch(visitor)
    card = await harm(page, "leak")
    await expect(card).to_have_attribute("data-status", "held")
    await end(page)
    await expect(card).to_have_attribute("data-status", "good")
    told = await steps(card, "good")
    assert "✓ file left-open-by-white: released" in told
    assert "✓ task left running by white: released" in told
    for kind in ("files", "tasks"):
        row = page.locator(f"#report tr[data-kind={kind}]")
        await expect(row).to_have_attribute("data-verdict", "released")
        await expect(row.locator("td.mark")).to_contain_text("✓")
    await expect(page.locator("#report .verdict")).to_contain_text("Everything was let go")


async def test_what_will_not_close_has_a_cross_until_a_person_tries_again(visitor: Visitor) -> None:
    """The session waits in `error`; who has the key tries the clean-up again until the file has closed."""
    page = await watch(visitor)
    card = await harm(page, "stick")
    await expect(card).to_have_attribute("data-status", "held")
    await page.get_by_role("button", name="End the session").click()
    await expect(page.locator("#live-session-error")).to_have_class(re.compile(r"\blit\b"))
    await expect(card).to_have_attribute("data-status", "stuck")
    assert "✗ file stuck-open-by-white: leaked" in await steps(card, "bad")
    row = page.locator("#report tr[data-verdict=leaked]")
    await expect(row).to_have_count(1)
    await expect(row.locator("td.mark")).to_contain_text("✗")
    await expect(page.locator("#report .verdict")).to_contain_text("1 still there")
    again = page.get_by_role("button", name="Try the clean-up again")
    for _ in range(40):  # the file decides when, and tells nobody
        if await page.locator("#state").text_content() == "terminated":
            break
        if await again.is_visible():
            await again.click()
        await page.wait_for_timeout(300)
    await expect(page.locator("#report .verdict").first).to_contain_text("Everything was let go")
    await expect(card).to_have_attribute("data-status", "good")
    assert "✓ file stuck-open-by-white: released" in await steps(card, "good")


async def test_who_exceeds_a_limit_is_stopped_and_the_team_built_again(visitor: Visitor) -> None:
    """From the limit to the new team, with the clean-up of the old one."""
    page = await watch(visitor)
    card = await harm(page, "limit")
    await expect(card).to_have_attribute("data-status", "good")
    moved = await steps(card, "moved")
    assert "ill → stopping on limit_exceeded" in moved
    assert "active → recovering on child_ended" in moved
    assert "recovering → active on done" in moved
    good = await steps(card, "good")
    assert re.search(r"all \d+ tasks of white are gone", good)
    assert "0 leaked" in good


async def test_a_cut_connection_comes_back_without_a_hole(visitor: Visitor) -> None:
    """Agents go on meanwhile; what they did is read from the log, once and in order."""
    page = await watch(visitor)
    await page.locator(".way[data-how=cut]").click()
    await expect(page.locator("#connection")).to_have_attribute("data-status", "waiting")
    card = page.locator(".experiment[data-how=cut]")
    await expect(card).to_have_attribute("data-status", "good")
    assert "reconnecting → active on connected" in await steps(card, "moved")
    assert "no hole, nothing twice" in await steps(card, "good")
    seen = await numbers(page)
    assert seen == list(range(1, len(seen) + 1))


async def test_nothing_can_be_broken_where_it_is_not_allowed(browser: Browser, careful: Served) -> None:
    """No panel, and whoever sends the event all the same is refused by the guard."""
    context = await browser.new_context()
    visitor = Visitor(careful, context)
    page = await visitor.page()
    await expect(page.locator("#break-hint")).to_contain_text("--allow-breaking")
    await start(page, pause_ms=200)
    await expect(page.locator(".message.move").first).to_be_visible()
    await expect(page.locator("#break")).to_be_hidden()
    await context.close()
    assert visitor.faults == []
