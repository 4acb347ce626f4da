"""Takes the screenshots of docs/screenshots: `make screenshots`. A story is played once in each look."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.conftest import FLAGS, Served, Visitor, browser_path, serve
from tests.browser.playing import end, harm, start

MOVES: Final = 12  # what a picture of a game under way shows
WIDE: Final = {"width": 1440, "height": 1000}


async def opened(browser: Browser, served: Served, **context: Any) -> Page:
    made = await browser.new_context(**{"viewport": WIDE, "device_scale_factor": 1, **context})
    return await Visitor(served, made).page()


async def game(browser: Browser, served: Served, **context: Any) -> Page:
    page = await opened(browser, served, **context)
    await start(page, pause_ms=250, plies=300)
    await expect(page.locator(".message.move").nth(MOVES)).to_be_visible()
    await page.mouse.move(0, 0)
    return page


async def back(page: Page) -> None:
    """To the middle of the life so far."""
    slider = page.locator("#player-at")
    await slider.fill(str(int(await slider.get_attribute("max") or 0) // 2))
    await expect(page.locator("#log-rows [aria-current]")).to_be_visible()


async def talk(browser: Browser, served: Served, folder: Path) -> None:
    """The support desk, where a refund waits for a person."""
    page = await opened(browser, served)
    team = page.locator("#team")
    if "support" not in await team.locator("option").all_text_contents():
        return
    await team.select_option("support")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#live-orchestrator-ready.lit")).to_be_visible()
    await page.locator("#say-text").fill("I want a refund for order A-1001")
    await page.keyboard.press("Enter")
    await expect(page.locator(".answers button").first).to_be_visible()
    await page.screenshot(path=folder / "chat.png")


async def take(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, closing(serve(Path(data), "--allow-breaking")) as serving:
        served = next(serving)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
            await take_all(browser, served, folder)
            await browser.close()


async def take_all(browser: Browser, served: Served, folder: Path) -> None:
    page = await game(browser, served, color_scheme="light")
    await page.screenshot(path=folder / "light.png")
    for how in ("raise", "limit"):
        await expect(await harm(page, how)).to_have_attribute("data-status", "good")
    await expect(await harm(page, "leak")).to_have_attribute("data-status", "held")
    await page.mouse.move(0, 0)
    await page.screenshot(path=folder / "broken.png", full_page=True)
    await end(page)
    await page.locator("#report-panel").scroll_into_view_if_needed()
    await page.screenshot(path=folder / "report.png", full_page=True)
    page = await game(browser, served, color_scheme="dark")
    await page.screenshot(path=folder / "dark.png")
    await back(page)
    await page.screenshot(path=folder / "past.png")
    await page.get_by_role("button", name="Back to now").click()
    await page.get_by_role("button", name="Whole picture of the session machine").click()
    await expect(page.locator("#picture-place svg")).to_be_visible()
    await page.screenshot(path=folder / "picture.png")
    phone = {"width": 390, "height": 844}
    page = await game(browser, served, viewport=phone, device_scale_factor=2, is_mobile=True, has_touch=True)
    await page.screenshot(path=folder / "phone.png")
    await talk(browser, served, folder)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
