"""client.js against the real server, with a proxy between them that loses what a network loses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.browser.conftest import Visitor
from tests.browser.playing import numbers, start
from tests.browser.test_player import assert_as_it_was, log

pytestmark = pytest.mark.e2e


class Lossy:
    """Between page and server. lose(frame) says which frame of the server is lost; sent: the page's frames.

    is_foreign: the next hello has the cursor of another log.
    """

    def __init__(self, lose: Any) -> None:
        self.lose = lose
        self.is_foreign = False
        self.page_side: WebSocketRoute | None = None
        self.sent: list[dict[str, Any]] = []
        self.dials = 0

    def __call__(self, page_side: WebSocketRoute) -> None:
        self.dials += 1
        self.page_side = page_side
        server_side = page_side.connect_to_server()

        def from_page(text: str | bytes) -> None:
            frame = json.loads(text)
            self.sent.append(frame)
            if frame["t"] == "hello" and self.is_foreign:
                self.is_foreign = False
                text = json.dumps({**frame, "cur": {**frame["cur"], "epoch": "another"}})
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


async def test_a_snapshot_takes_the_place_of_what_was_built(visitor: Visitor) -> None:
    """Rule 3: position, moves and the open question come out of it; the player reads from the server what is before."""
    lossy = Lossy(lambda frame, dials: "")
    await visitor.context.route_web_socket("**/v1/ws", lossy)
    page = await visitor.page()
    await start(page, white="human", pause_ms=0)
    asked = page.locator(".turn", has_text="Your move")
    await expect(asked).to_be_visible()
    await page.locator("#say-text").fill("e2e4")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message.move").nth(1)).to_be_visible()
    await expect(asked).to_be_visible()
    moves = await page.locator(".message.move").all_text_contents()
    lossy.is_foreign = True
    assert lossy.page_side is not None
    await lossy.page_side.close(code=4002, reason="lost")
    await expect(page.locator("#connection")).to_have_attribute("data-status", "waiting")
    await expect(page.locator("#connection")).to_have_attribute("data-status", "live")
    await expect(asked).to_be_visible()
    assert await page.locator(".message.move").all_text_contents() == moves
    events = await log(page, visitor.served.url)
    await page.locator("#player-at").focus()
    await page.keyboard.press("Home")
    await assert_as_it_was(page, events, 0)
    for number in (9, len(events) - 1):
        await page.locator("#player-at").fill(str(number))
        await assert_as_it_was(page, events, number)
    await page.keyboard.press("Escape")
    await page.locator("#say-text").fill("d2d4")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message.move").nth(3)).to_be_visible()
