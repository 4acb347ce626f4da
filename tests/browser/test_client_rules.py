"""client.js against a server that plays a script, in virtual time: when it dials, from where, and what it takes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from playwright.async_api import Page, WebSocketRoute

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.e2e

EMPTY: Final = "<!doctype html><title>Empty</title>"
STEP_MS: Final = 50
STEPS_MAX: Final = 400
ANSWER_S: Final = 20.0
AWAY_MS: Final = 600_000  # the page's clock goes on by itself too
BACKOFF_MS: Final = 1_000  # at most, before the first dial that is tried again
OPEN: Final = """async (url) => {
  const { Client } = await import("/static/client.js");
  window.told = { applied: [], faults: [], status: null, twice: 0, pings: 0 };
  const client = new Client({ url, token: "t".repeat(43) });
  client.addEventListener("frame", ({ detail }) => {
    if (detail.t === "ev") told.applied.push(detail.seq);
    if (detail.t === "ping") told.pings += 1;
    if (detail.t === "begin" || detail.t === "snap") told.applied.push(detail.t);
  });
  client.addEventListener("fault", ({ detail }) => told.faults.push(detail));
  client.addEventListener("status", ({ detail }) => { told.status = detail; told.twice = client.twice; });
  window.client = client;
  client.start();
}"""


def welcome(epoch: str, *, resumed: bool = True) -> dict[str, Any]:
    return {"t": "welcome", "sid": "s.1", "epoch": epoch, "head": 0, "resumed": resumed, "limits": {}}


def events(*numbers: int) -> list[dict[str, Any]]:
    return [{"t": "ev", "seq": seq, "ts": 0, "kind": "agent.message", "data": {}} for seq in numbers]


@dataclass
class Script:
    """dials: for each connection what is sent after its hello, and the code it is closed with; None: it stays.
    answers: for each command the `res` it gets, without its number, and a `ping` behind it; none: it waits."""

    dials: Sequence[tuple[Sequence[dict[str, Any]], int | None]]
    hellos: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    commands: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)

    def __call__(self, socket: WebSocketRoute) -> None:
        frames, code = self.dials[len(self.hellos)]

        async def answer(text: str | bytes) -> None:
            frame = json.loads(text)
            if frame["t"] == "cmd":
                self.commands.put_nowait(frame)
                if self.answers:
                    socket.send(json.dumps({"t": "res", "c": frame["c"], **self.answers.pop(0)}))
                    socket.send(json.dumps({"t": "ping", "head": 0}))
            if frame["t"] != "hello":
                return
            self.hellos.append(frame)
            for one in frames:
                socket.send(json.dumps(one))
            if code is not None:
                await socket.close(code=code, reason="as the script says")

        socket.on_message(answer)


async def played(visitor: Visitor, script: Script) -> Page:
    """A page whose time stands still, with a client on the script that has had its first connection."""
    await visitor.context.route_web_socket("**/scripted", script)
    await visitor.context.route("**/empty", lambda route: route.fulfill(content_type="text/html", body=EMPTY))
    page = await visitor.context.new_page()
    await page.goto(f"{visitor.served.url}/empty")  # of the server's own origin, so it may load its modules
    await page.clock.install()
    await page.evaluate(OPEN, f"{visitor.served.url.replace('http', 'ws')}/scripted")
    return page


async def until(page: Page, condition: str) -> dict[str, Any]:
    """What the client has told once the condition holds; time passes in steps meanwhile."""
    for _ in range(STEPS_MAX):
        if await page.evaluate(f"Boolean({condition})"):
            told: dict[str, Any] = await page.evaluate("told")
            return told
        await page.clock.run_for(STEP_MS)
    raise AssertionError(f"not so after {STEPS_MAX * STEP_MS / 1_000:g} s: {condition}; {await page.evaluate('told')}")


GOAWAY: Final = {"t": "goaway", "why": "leaving", "slot_ms": 7_000}
BUSY: Final = {"t": "error", "code": 4100, "msg": "too many", "retry_ms": 9_000}
LEAVING: Final = {"t": "error", "code": 4000, "msg": "leaving"}


@pytest.mark.parametrize(
    "frames, code, least_ms, most_ms",
    [
        ([BUSY], 4100, 8_000, 9_000),
        ([welcome("A"), GOAWAY, LEAVING], 4000, 6_000, 7_000),
        ([welcome("A"), *events(1)], 4002, 0, BACKOFF_MS),
        ([], 1011, 0, BACKOFF_MS),
    ],
    ids=["retry_ms", "slot_ms", "heartbeat", "any other"],
)
async def test_it_dials_when_the_server_says(
    visitor: Visitor, frames: list[dict[str, Any]], code: int, least_ms: int, most_ms: int
) -> None:
    """Rule 12: a slot spreads what would else come all at once, so not even a tab that comes to the front is sooner."""
    script = Script([(frames, code), ([welcome("A")], None)])
    page = await played(visitor, script)
    told = await until(page, "told.status?.status === 'waiting'")
    assert least_ms <= told["status"]["retryMs"] <= most_ms
    await page.evaluate("client.hurry()")
    assert (await page.evaluate("client.dials")) == (1 if least_ms else 2)
    await until(page, "told.status.status === 'live'")
    assert [hello["n"] for hello in script.hellos] == [1, 2]


@pytest.mark.parametrize(
    "code, remedy", [(4300, "token"), (4400, "bug"), (4413, "bug"), (4500, "stop"), (4501, "stop")]
)
async def test_it_stops_where_dialling_again_helps_nobody(visitor: Visitor, code: int, remedy: str) -> None:
    """The range of the code is what a client does, and whoever waits for an answer is told."""
    script = Script([([welcome("A")], code)])
    page = await played(visitor, script)
    told = await until(page, "told.status?.status === 'stopped'")
    assert told["status"]["remedy"] == remedy
    assert (await page.evaluate("client.command('say')"))["err"]["code"] == "stopped"
    await page.evaluate("client.hurry(), client.cut(0)")
    await page.clock.run_for(60_000)
    assert len(script.hellos) == 1


async def test_a_cut_before_the_snapshot_skips_nothing(visitor: Visitor) -> None:
    """A cursor is an epoch and a number of that log: with one of them only, the next hello asks for all (L3, L4)."""
    first = ([welcome("A"), *events(1, 2, 3, 4, 5)], 4002)
    cut = ([welcome("B", resumed=False)], 4002)
    script = Script([first, cut, ([welcome("B"), *events(1, 2, 3, 4, 5, 6, 7)], None)])
    page = await played(visitor, script)
    told = await until(page, "told.applied.at(-1) === 7")
    assert told["applied"] == ["begin", 1, 2, 3, 4, 5, "begin", 1, 2, 3, 4, 5, 6, 7]
    assert [hello.get("cur") for hello in script.hellos] == [None, {"epoch": "A", "seq": 5}, None]


async def test_another_log_without_a_snapshot_is_a_fault(visitor: Visitor) -> None:
    """Its first numbers would be taken for what was applied already."""
    first = ([welcome("A"), *events(1, 2, 3)], 4002)
    script = Script([first, ([welcome("B")], None), ([welcome("B"), *events(1, 2, 3, 4)], None)])
    page = await played(visitor, script)
    told = await until(page, "told.applied.at(-1) === 4")
    assert told["applied"] == ["begin", 1, 2, 3, "begin", 1, 2, 3, 4]
    assert told["faults"] == ["another log without a snapshot"]
    assert [hello.get("cur") for hello in script.hellos] == [None, {"epoch": "A", "seq": 3}, None]


async def test_only_the_next_number_is_applied(visitor: Visitor) -> None:
    """Rule 2: what came before is dropped, and after a hole it dials again from where it stands."""
    first = ([welcome("A"), *events(1, 2, 2, 1, 3, 5)], None)
    script = Script([first, ([welcome("A"), *events(4, 5)], None)])
    page = await played(visitor, script)
    told = await until(page, "told.applied.at(-1) === 5")
    assert told["applied"] == ["begin", 1, 2, 3, 4, 5]
    assert (told["faults"], told["twice"]) == (["number 5 came after 3"], 2)
    assert script.hellos[1]["cur"] == {"epoch": "A", "seq": 3}


async def test_a_snapshot_sets_the_number_to_go_on_from(visitor: Visitor) -> None:
    """Also one in the middle of a connection, when a slow reader was overtaken."""
    snap = {"t": "snap", "seq": 40, "data": {"actors": []}}
    script = Script([([welcome("A"), *events(1), snap, *events(41)], 4002), ([welcome("A"), *events(42)], None)])
    page = await played(visitor, script)
    told = await until(page, "told.applied.at(-1) === 42")
    assert told["applied"] == ["begin", 1, "snap", 41, 42]
    assert script.hellos[1]["cur"] == {"epoch": "A", "seq": 41}


async def test_commands_of_which_nothing_was_decided_are_sent_again_in_order(visitor: Visitor) -> None:
    """Rule 4: its number is not answered. Given up, it would be missing before the next ones, which a server that knows
    nothing of this client yet takes for a beginning that it has forgotten (L5)."""
    away = {
        "ok": False,
        "err": {"code": "store_unavailable", "msg": "the store takes nothing now", "retry_ms": AWAY_MS},
    }
    patient = {**welcome("A"), "limits": {"dead_ms": 100 * AWAY_MS}}
    script = Script([([patient], None), ([patient], None)], answers=[away, away])
    page = await played(visitor, script)
    await until(page, "told.status?.status === 'live'")
    say = "(text) => void client.command('say', { text }).then((res) => { told[text] = res; })"
    await page.evaluate(say, "a")
    first, second = (
        {"t": "cmd", "c": c, "name": "say", "args": {"text": text}, "to": "/"} for c, text in ((1, "a"), (2, "b"))
    )
    assert await asyncio.wait_for(script.commands.get(), ANSWER_S) == first
    await until(page, "told.pings === 1")
    await page.evaluate(say, "b")
    await page.clock.run_for(AWAY_MS / 2)
    assert script.commands.empty(), "b does not go before a"
    await page.clock.run_for(AWAY_MS / 2)
    for sent in (first, second):
        assert await asyncio.wait_for(script.commands.get(), ANSWER_S) == sent
    script.answers += [{"ok": True}, {"ok": True}]
    await page.evaluate("client.cut(0)")
    told = await until(page, "told.a && told.b")
    assert told["a"]["ok"]
    for sent in (first, second):
        assert await asyncio.wait_for(script.commands.get(), ANSWER_S) == sent
