"""Usable without a mouse, without sight, on a phone, in the dark: what axe and the layout say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Served, Visitor
from tests.browser.playing import end, harm, start, watch
from tests.browser.test_talking import WANTED, ask, desk

pytestmark = pytest.mark.e2e
AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
SERIOUS = {"serious", "critical"}
# By night the same page is looked at for what depends on its colours.
SCHEMES: dict[Any, Any] = {"light": {}, "dark": {"runOnly": ["color-contrast", "link-in-text-block"]}}
QUICKLY = {"resultTypes": ["violations"]}  # of what passes it need not say where each place is


async def serious(page: Page, *places: str) -> list[str]:
    """What axe finds serious, in words: everything by day, and what depends on colours by night too. places: where
    alone it looks."""
    await page.evaluate(AXE.read_text())
    found = []
    for scheme, options in SCHEMES.items():
        await page.emulate_media(color_scheme=scheme)
        result: dict[str, Any] = await page.evaluate(
            "([places, options]) => axe.run(places.length ? places : document, options)",
            [places, {**options, **QUICKLY}],
        )
        found += [
            f"{scheme}: {item['id']}: {node['html'][:120]} {node['any'][:1] and node['any'][0]['message']}"
            for item in result["violations"]
            if item["impact"] in SERIOUS
            for node in item["nodes"]
        ]
    return found


@pytest.mark.timeout(300)  # axe looks at every pair of colours
async def test_axe_finds_nothing_serious(browser: Browser, served: Served) -> None:
    """Before a session, in one, after things were broken, at its end, in its past, and in the large picture."""
    context = await browser.new_context(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce")
    visitor = Visitor(served, context)
    page = await visitor.page()
    assert await serious(page) == []
    await start(page, pause_ms=300, plies=200)
    await expect(page.locator(".message.move").first).to_be_visible()
    assert await serious(page) == []
    await expect(await harm(page, "raise")).to_have_attribute("data-status", "good")
    await expect(await harm(page, "leak")).to_have_attribute("data-status", "held")
    await end(page)
    assert await serious(page) == []
    await page.get_by_role("button", name="One event back").click()
    await expect(page.locator("#player")).to_have_attribute("data-past", "true")
    assert await serious(page, "#player", "#log-panel", "#stage") == []
    await page.get_by_role("button", name="Whole picture of the agent machine").click()
    await expect(page.locator("#picture-place svg")).to_be_visible()
    assert await serious(page) == []
    await context.close()
    assert visitor.faults == []


@pytest.mark.timeout(300)
async def test_axe_finds_nothing_serious_where_a_person_is_needed(browser: Browser, served: Served) -> None:
    """With an approval open in a talk, and with a session that waits in `error`."""
    context = await browser.new_context(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce")
    visitor = Visitor(served, context)
    page = await desk(visitor, "0")
    await ask(page, WANTED)
    await expect(page.locator(".message.request.open").get_by_role("button", name="Approve")).to_be_visible()
    assert await serious(page) == []
    await expect(await harm(page, "stick", "triage")).to_have_attribute("data-status", "held")
    await page.get_by_role("button", name="End the session").click()
    await expect(page.get_by_role("button", name="Write it off")).to_be_visible()
    assert await serious(page) == []
    await page.get_by_role("button", name="Write it off").click()
    await expect(page.locator("#state")).to_have_text("terminated")
    await context.close()
    assert visitor.faults == []


async def test_a_phone_scrolls_in_one_direction_only(browser: Browser, served: Served) -> None:
    """Nothing is wider than the screen, and what is tapped is large enough for a thumb."""
    context = await browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    visitor = Visitor(served, context)
    page = await watch(visitor, white="engine")
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    await page.get_by_role("button", name="One event back").click()
    await expect(page.locator("#player")).to_have_attribute("data-past", "true")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = await page.locator(":is(.panel, .player) button:visible:not(.square)").evaluate_all(
        "buttons => buttons.map(button => button.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 40
    assert await page.locator(".square").first.evaluate("square => square.getBoundingClientRect().width") >= 36
    await context.close()
    assert visitor.faults == []


async def test_everything_is_reached_with_the_keyboard(visitor: Visitor) -> None:
    """From the top of a new page to a running session with Tab and Enter alone."""
    page = await visitor.page()
    reached = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.id"))
        if reached[-1] == "create-button":
            break
    assert {"theme", "new-session", "team", "option-white", "create-button"} <= set(reached)
    await page.keyboard.press("Enter")
    await expect(page.locator("#state")).to_have_text("active")


async def test_the_theme_is_chosen_and_kept(visitor: Visitor) -> None:
    page = await visitor.page()
    for _ in range(2):
        await page.get_by_role("button", name="Theme").click()
    assert await page.locator("html").get_attribute("data-theme") == "dark"
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
