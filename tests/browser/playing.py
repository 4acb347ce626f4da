"""What a person does on the page, as the tests tell it."""

from __future__ import annotations

import json
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Visitor


async def start(page: Page, **options: Any) -> None:
    """Start a chess session; options as the form has them."""
    await page.locator("#options details").evaluate("details => (details.open = true)")
    for name, value in options.items():
        field = page.locator(f"#option-{name}")
        if await field.evaluate("field => field.localName") == "select":
            await field.select_option(str(value))
        else:
            await field.fill(str(value))
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#connection")).to_have_attribute("data-status", "live")


async def watch(visitor: Visitor, **options: Any) -> Page:
    """A page that watches two engines play, slowly enough to be looked at."""
    page = await visitor.page()
    await start(page, **{"pause_ms": 300, "plies": 200, **options})
    await expect(page.locator(".message.move").first).to_be_visible()
    return page


async def harm(page: Page, how: str, agent: str = "white") -> Locator:
    """Break something; the card that tells of it."""
    await page.locator("#victim").select_option(agent)
    await page.locator(f".way[data-how={how}]").click()
    return page.locator(f".experiment[data-how={how}]").first


async def end(page: Page) -> None:
    await page.get_by_role("button", name="End the session").click()
    await expect(page.locator("#report-panel")).to_be_visible()


async def numbers(page: Page) -> list[int]:
    """The numbers in the log, in the order they are shown."""
    found: list[int] = await page.locator("#log-rows tr").evaluate_all(
        "rows => rows.map(row => Number(row.dataset.seq))"
    )
    return found


async def token(page: Page) -> str:
    stored = await page.evaluate("localStorage.getItem('steward.sessions')")
    found: str = json.loads(stored)[0]["token"]
    return found


async def lit(page: Page, kind: str) -> set[str]:
    """States of a machine that are lit now."""
    ids = await page.locator(f".machine[data-kind={kind}] g.lit").evaluate_all("nodes => nodes.map(node => node.id)")
    return {one.removeprefix(f"live-{kind}-") for one in ids}
