"""client.js against the real server, with a proxy between them that loses what a network loses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.browser.conftest import Visitor
from tests.browser.playing import numbers, start

pytestmark = pytest.mark.e2e


class Lossy:
    """Between page and server. lose(frame) says which frame of the server is lost; sent: the page's frames."""

    def __init__(self, lose: Any) -> None:
        self.lose = lose
        self.sent: list[dict[str, Any]] = []
        self.dials = 0

    def __call__(self, page_side: WebSocketRoute) -> None:
        self.dials += 1
        server_side = page_side.connect_to_server()

        def from_page(text: str | bytes) -> None:
            self.sent.append(json.loads(text))
            server_side.send(text)

        def from_server(text: str | bytes) -> None:
            verdict = self.lose(json.loads(text), self.dials)
            if verdict != "lost":
                page_side.send(text)

        page_side.on_message(from_page)
        server_side.on_message(from_server)


async def test_a_hole_in_the_log_is_noticed_and_read_again(visitor: Visitor) -> None:
    """A client that skips a number would show a game that was never played."""
    lossy = Lossy(lambda frame, dials: "lost" if frame.get("seq") == 9 and frame["t"] == "ev" and dials == 1 else "")
    await visitor.context.route_web_socket("**/v1/ws", lossy)
    page = await visitor.page()
    await start(page, pause_ms=0, plies=6)
    await expect(page.locator(".message.move").nth(5)).to_be_visible()
    seen = await numbers(page)
    assert seen == list(range(1, len(seen) + 1))
    hellos = [frame for frame in lossy.sent if frame["t"] == "hello"]
    assert [hello["n"] for hello in hellos] == [1, 2], "dials are counted"
    assert len({hello["cid"] for hello in hellos}) == 1
    assert hellos[1]["cur"]["seq"] == 8
    assert "create" not in hellos[1]


async def test_a_command_whose_answer_was_lost_is_sent_again_and_counts_once(visitor: Visitor) -> None:
    """Rule 4: the same c, unchanged, after the next welcome; the server knows it already."""
    lossy = Lossy(lambda frame, dials: "lost" if frame["t"] == "res" and dials == 1 else "")
    await visitor.context.route_web_socket("**/v1/ws", lossy)
    page = await visitor.page()
    await start(page, white="human", pause_ms=0)
    await expect(page.locator(".turn", has_text="Your move")).to_be_visible()
    await page.locator("#say-text").fill("e2e4")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message.move").nth(1)).to_be_visible()
    await page.evaluate("document.querySelector('.way[data-how=cut]').click()")
    card = page.locator(".experiment[data-how=cut]")
    await expect(card).to_have_attribute("data-status", "good")
    commands = [frame for frame in lossy.sent if frame["t"] == "cmd"]
    assert [command["c"] for command in commands] == [1, 1]
    assert commands[0] == commands[1]
    await expect(page.locator("#say-problem")).to_be_hidden()
    assert await page.locator(".message.move.white").count() == 1
