"""The playground as a visitor meets it: sessions start, live, are watched from two tabs, and end with a report."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.browser.playing import end, lit, numbers, start, token, watch

pytestmark = pytest.mark.e2e


async def test_a_session_starts_and_moves_appear(visitor: Visitor) -> None:
    """The first ten seconds of somebody who has just heard of it."""
    page = await visitor.page()
    assert page.url == f"{visitor.served.url}/", "the key has left the address bar"
    await start(page, pause_ms=50)
    await expect(page.locator("#state")).to_have_text("active")
    await expect(page.locator(".message.move").nth(3)).to_be_visible()
    await expect(page.locator(".square.last")).to_have_count(2)
    seen = await numbers(page)
    assert seen == list(range(1, len(seen) + 1)), "the log has every number, once, in order"


async def test_the_lit_states_are_those_of_the_actors(visitor: Visitor) -> None:
    """What is lit is what the server says, in all three machines, and it follows."""
    page = await visitor.page()
    await start(page, white="human")
    await expect(page.locator("#live-agent-awaiting_input")).to_have_class(re.compile(r"\blit\b"))
    sid = await page.locator("#session-name").text_content()
    answer = await page.request.get(
        f"{visitor.served.url}/v1/sessions/{sid}", headers={"Authorization": f"Bearer {await token(page)}"}
    )
    actors = (await answer.json())["actors"]
    for kind in ("session", "orchestrator", "agent"):
        assert await lit(page, kind) == {actor["state"] for actor in actors if actor["kind"] == kind}
    marked = page.locator(".machine[data-kind=session] .edge.taken")
    await expect(marked).to_have_attribute("id", "way-session-initializing-active")
    await end(page)
    await expect(page.locator("#live-session-terminated")).to_have_class(re.compile(r"\blit\b"))
    await expect(page.locator(".machine[data-kind=session] .last-transition")).to_contain_text(
        "terminating → terminated"
    )


async def test_a_person_moves_with_a_pointer_with_keys_and_in_words(visitor: Visitor) -> None:
    """Each way is enough by itself."""
    page = await visitor.page()
    await start(page, white="human", pause_ms=0)
    moves = page.locator(".message.move")
    asked = page.locator(".turn", has_text="Your move")
    await expect(asked).to_be_visible()
    await page.locator("[data-square=e2]").click()
    await page.locator("[data-square=e4]").click()
    await expect(moves.first).to_have_text(re.compile("e4"))
    await expect(moves.nth(1)).to_be_visible()
    await expect(asked).to_be_visible()
    await page.locator("[data-square=e4]").focus()
    for key in ("ArrowLeft", "ArrowDown", "ArrowDown", "Enter", "ArrowUp", "Enter"):
        await page.keyboard.press(key)
    await expect(moves.nth(2)).to_have_text(re.compile("d3"))
    await expect(moves.nth(3)).to_be_visible()
    await expect(asked).to_be_visible()
    await page.locator("#say-text").fill("h2h3")
    await page.keyboard.press("Enter")
    await expect(moves.nth(4)).to_have_text(re.compile("h3"))


async def test_an_illegal_move_is_explained(visitor: Visitor) -> None:
    """The arbiter is the only one who knows the law."""
    page = await visitor.page()
    await start(page, white="human", pause_ms=0)
    await expect(page.locator(".turn", has_text="Your move")).to_be_visible()
    await page.locator("#say-text").fill("e2e5")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message.said")).to_contain_text("no legal move")


async def test_two_tabs_are_on_one_session(visitor: Visitor) -> None:
    """The link opens the same session, and both see the same log to its end."""
    await visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    first = await watch(visitor)
    await first.get_by_role("button", name="Copy link", exact=True).click()
    link = await first.locator("#link").input_value()
    second = await visitor.page(link)
    assert "#" not in second.url
    await expect(second.locator(".message.move").nth(2)).to_be_visible()
    assert await second.locator("#session-name").text_content() == await first.locator("#session-name").text_content()
    await end(second)
    await expect(first.locator("#report-panel")).to_be_visible()
    assert await numbers(first) == await numbers(second)


async def test_a_link_to_watch_controls_nothing(visitor: Visitor) -> None:
    """Someone to whom a game is shown must not be able to end it."""
    page = await watch(visitor)
    await page.get_by_role("button", name="Copy link to watch").click()
    await expect(page.locator("#link")).to_have_value(re.compile("#watch="))
    other = await visitor.context.browser.new_context()  # type: ignore[union-attr]
    watcher = await Visitor(visitor.served, other, visitor.faults).page(await page.locator("#link").input_value())
    await expect(watcher.locator(".message.move").nth(1)).to_be_visible()
    await expect(watcher.get_by_role("button", name="End the session")).to_be_disabled()
    await expect(watcher.locator("#say-text")).to_be_disabled()
    await other.close()


async def test_several_sessions_live_side_by_side(visitor: Visitor) -> None:
    """Switching shows the other one as it is now; neither loses anything meanwhile."""
    page = await watch(visitor)
    name = await page.locator("#session-name").text_content()
    await page.get_by_role("button", name="+ New session").click()
    await start(page, white="human", pause_ms=0)
    await expect(page.locator(".turn", has_text="Your move")).to_be_visible()
    assert await page.locator("#session-name").text_content() != name
    before = await page.locator(".tab[data-connected=true]").count()
    assert before == 2
    await page.locator(".tab[data-connected=true]").nth(1).click()
    await expect(page.locator("#session-name")).to_have_text(name or "")
    seen = await numbers(page)
    assert seen == list(range(seen[0], seen[0] + len(seen)))


async def test_a_page_that_is_loaded_again_finds_its_session(visitor: Visitor) -> None:
    """The token is kept; the log is read again from its first number."""
    page = await watch(visitor)
    name = await page.locator("#session-name").text_content()
    await page.reload()
    await expect(page.locator("html[data-ready=true]")).to_be_attached()
    await page.locator(".tab").first.click()
    await expect(page.locator("#session-name")).to_have_text(name or "")
    await expect(page.locator(".message.move").first).to_be_visible()
    assert (await numbers(page))[0] == 1


async def test_the_log_is_filtered_by_kind_actor_and_words(visitor: Visitor) -> None:
    page = await watch(visitor)
    for group in ("States", "Questions", "Breaking", "Other"):
        await page.locator(".chip", has_text=group).click()
    await expect(page.locator("#log-rows tr").first).to_be_visible()
    kinds = await page.locator("#log-rows td.kind").all_text_contents()
    assert set(kinds) == {"agent.message"}
    await page.locator("#log-actor").select_option("white")
    assert set(await page.locator("#log-rows td.who").all_text_contents()) == {"white"}
    await page.locator("#log-text").fill("nothing has this")
    await expect(page.locator("#log-rows tr")).to_have_count(0)


async def test_the_whole_picture_is_drawn_and_lit(visitor: Visitor) -> None:
    """Guards, timers and clean-up as the file has them, with the same states lit."""
    page = await watch(visitor)
    await page.get_by_role("button", name="Whole picture of the session machine").click()
    await expect(page.locator("#picture-place svg")).to_be_visible()
    await expect(page.locator("#picture-place g.node.lit")).to_have_attribute("id", "session-state-active")
    await page.keyboard.press("Escape")
    await expect(page.locator("#picture")).not_to_be_visible()


async def test_without_the_key_the_page_says_what_to_do(visitor: Visitor) -> None:
    page = await visitor.page(f"{visitor.served.url}/")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#create-problem")).to_contain_text("steward serve")
    await page.locator("#key").fill(visitor.served.key)
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#state")).to_have_text("active")
    await expect(page.locator("#connection")).to_have_attribute("data-status", "live")
    kept = await page.evaluate("[Object.keys(localStorage), sessionStorage.getItem('steward.key')]")
    assert not any("key" in name for name in kept[0]), "whatever listens on this port later may read that"
    assert kept[1] == visitor.served.key


async def test_a_link_with_a_wrong_key_does_not_cost_the_right_one(visitor: Visitor) -> None:
    """Anybody can make such a link. What it brings is kept only once a session was made with it."""
    page = await visitor.page()
    await start(page, white="human", pause_ms=0)
    await page.evaluate("location.hash = 'key=wrong'")
    await page.get_by_role("button", name="+ New session").click()
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#create-problem")).to_contain_text("the key from before")
    await page.get_by_role("button", name="Start").click()
    await expect(page.locator("#connection")).to_have_attribute("data-status", "live")
