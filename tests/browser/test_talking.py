"""A team that talks: what it writes is seen while it is written, and a person approves with a button."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.e2e
WANTED = "I want a refund for order A-1001"


async def desk(visitor: Visitor, words_per_s: str) -> Page:
    """A page at a new support desk."""
    page = await visitor.page()
    await page.locator("#team").select_option("support")
    await page.locator("#options details").evaluate("details => (details.open = true)")
    await page.locator("#option-words_per_s").fill(words_per_s)
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#live-orchestrator-ready.lit")).to_be_visible()
    return page


async def ask(page: Page, text: str) -> None:
    await page.locator("#say-text").fill(text)
    await page.keyboard.press("Enter")
    await expect(page.locator(".message.mine")).to_contain_text(text)


@pytest.mark.parametrize("button, outcome", [("Approve", "approve"), ("Reject", "reject")])
async def test_a_refund_waits_for_a_person(visitor: Visitor, button: str, outcome: str) -> None:
    """The question has its buttons, the agent's state is lit, and what was decided is in the log."""
    page = await desk(visitor, "0")
    await ask(page, WANTED)
    question = page.locator(".message.request.open")
    await expect(question).to_be_visible()
    await expect(page.locator("#live-agent-awaiting_input")).to_have_class(re.compile(r"\blit\b"))
    await question.get_by_role("button", name=button).click()
    await expect(page.locator(".message.mine").nth(1)).to_contain_text(outcome)
    await expect(page.locator(".message.request .answers")).to_have_text("answered")
    await expect(page.locator(".message.tool").last).to_be_visible()


async def test_an_answer_is_seen_while_it_is_written(visitor: Visitor) -> None:
    """Rule 10: pieces are put together by where they begin; then the finished message takes their place."""
    page = await desk(visitor, "2")
    second = await visitor.page(visitor.served.url + "/")
    await ask(page, "What does a lamp cost?")
    await expect(page.locator(".message.live p").first).to_have_text(re.compile(r"\w+ \w+"))
    await second.locator(".tab").first.click()
    await expect(second.locator(".message.live p").first).to_have_text(re.compile(r"\w+ \w+"))
    for one in (page, second):
        await expect(one.locator("#live-orchestrator-ready.lit")).to_be_visible()
        await expect(one.locator(".message.live")).to_have_count(0)
    texts = [await one.locator(".message.said p").all_text_contents() for one in (page, second)]
    assert texts[0] == texts[1]
    assert len(texts[0]) > 1
