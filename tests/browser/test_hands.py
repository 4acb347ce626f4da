"""What slow hands, long texts and pasted links find: the page keeps still, says why, and mixes nothing up."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.browser.playing import start, token

pytestmark = pytest.mark.e2e
FRAMES = "() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))"


async def test_a_slow_click_hits_the_session_it_was_meant_for(visitor: Visitor) -> None:
    """While a game runs, the button under the pointer, and the one with the focus, stay what they are."""
    page = await visitor.page()
    await start(page, white="human", pause_ms=0)
    quiet = await page.locator("#session-name").text_content()
    await page.get_by_role("button", name="+ New session").click()
    await start(page, white="engine", pause_ms=50, plies=200)
    await expect(page.locator(".message.move").nth(2)).to_be_visible()
    tab = page.locator(".tab").nth(1)
    await tab.focus()
    await tab.hover()
    await page.mouse.down()
    moves = await page.locator(".message.move").count()
    await expect(page.locator(".message.move").nth(moves + 3)).to_be_visible()
    assert await tab.evaluate("tab => document.activeElement === tab")
    await page.mouse.up()
    await expect(page.locator("#session-name")).to_have_text(quiet or "")


async def test_a_text_that_is_too_long_is_refused_and_given_back(visitor: Visitor) -> None:
    """The connection stays, and what was written stays with its session."""
    page = await visitor.page()
    await start(page, white="human", pause_ms=0)
    await expect(page.locator(".turn", has_text="Your move")).to_be_visible()
    text = "long " * 20_000
    await page.locator("#say-text").fill(text)
    await page.keyboard.press("Enter")
    await expect(page.locator("#say-problem")).to_contain_text("bytes")
    await expect(page.locator("#say-text")).to_have_value(text)
    await expect(page.locator("#connection")).to_have_attribute("data-status", "live")
    first = await token(page)
    await page.get_by_role("button", name="Copy link", exact=True).click()
    await expect(page.locator("#link-row")).to_be_visible()
    await page.get_by_role("button", name="+ New session").click()
    await start(page, white="human", pause_ms=0)
    await expect(page.locator("#say-text")).to_have_value("")
    await expect(page.locator("#say-problem")).to_be_hidden()
    await expect(page.locator("#link-row")).to_be_hidden()
    await page.evaluate("link => { location.hash = link }", f"session={first}")
    await expect(page.locator("#say-text")).to_have_value(text)
    assert "#" not in page.url


async def test_loading_again_returns_to_the_session(visitor: Visitor) -> None:
    """Also with nonsense in the storage."""
    page = await visitor.page()
    await start(page, white="human", pause_ms=0)
    name = await page.locator("#session-name").text_content()
    await page.reload()
    await expect(page.locator("#session-name")).to_have_text(name or "")
    await expect(page.locator("#connection")).to_have_attribute("data-status", "live")
    await page.evaluate("localStorage.setItem('steward.sessions', '{\"a\": 1}')")
    await page.reload()
    await expect(page.locator("html[data-ready=true]")).to_be_attached()


async def test_code_stays_code_and_a_verdict_is_told(visitor: Visitor) -> None:
    """Lines of a program are lines, and what came of its tests stands beside them."""
    page = await visitor.page()
    await page.locator("#team").select_option("coder")
    await page.locator("#options details").evaluate("details => (details.open = true)")
    await page.locator("#option-words_per_s").fill("0")
    await page.get_by_role("button", name="Start").click()
    code = page.locator(".message.said pre").first
    await expect(code).to_contain_text("def roman(number):\n    text")
    tool = page.locator(".message.tool")
    await expect(tool.nth(0)).to_contain_text("failed")
    await expect(tool.nth(1)).to_contain_text("passed")


async def test_the_large_picture_follows_the_chosen_theme(visitor: Visitor) -> None:
    """Not the system's: somebody chose."""
    page = await visitor.page()
    for _ in range(2):
        await page.get_by_role("button", name="Theme").click()
    await page.get_by_role("button", name="Whole picture of the agent machine").click()
    paper = page.locator("#picture-place svg .graph > polygon").first
    await expect(paper).to_be_attached()
    assert await paper.evaluate("paper => getComputedStyle(paper).fill") == "rgb(20, 23, 28)"
