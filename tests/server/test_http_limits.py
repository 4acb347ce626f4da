"""What one caller may ask for over HTTP, and how long a call waits for a store that stalls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.journal.memory import MemoryJournal
from server import patience
from server.codes import Fault
from server.desk import TOKENS_PER_SESSION_MAX
from server.patience import Patience
from server.protocol import Timing
from server.rates import Rates
from tests.server.conftest import ANSWER_S, KEY, Wire, new_token

SAY = {"json": {"name": "say", "args": {"text": "x"}}}


async def make(wire: Wire, token: str) -> str:
    """The sid of a new session that answers."""
    status, answer = await wire.call("POST", "/v1/sessions", KEY, json={"team": "wire", "token": token})
    assert status == 201
    await wire.wait_state(answer["sid"], "reconnecting")
    return str(answer["sid"])


async def head(wire: Wire, sid: str, token: str) -> int:
    return int((await wire.call("GET", f"/v1/sessions/{sid}", token))[1]["head"])


async def test_commands_above_the_rate_are_told_when_to_come_again(serving: Any) -> None:
    """Every call is a connection of its own, so the rate of a connection would be none; each token has its own."""
    wire: Wire = await serving(commands_per_s=0.2, commands_burst=2)
    token = new_token()
    sid = await make(wire, token)
    path = f"/v1/sessions/{sid}/commands"
    assert [(await wire.call("POST", path, token, **SAY))[0] for _ in range(2)] == [200, 200]
    _, other = await wire.call("POST", f"/v1/sessions/{sid}/tokens", token, json={"role": "control"})
    before = await head(wire, sid, token)
    async with wire.http.post(wire.url + path, headers={"Authorization": f"Bearer {token}"}, **SAY) as refused:
        assert (refused.status, (await refused.json(content_type=None))["code"]) == (429, "busy")
        assert 1 <= int(refused.headers["Retry-After"]) <= 5
    assert await head(wire, sid, token) == before
    assert (await wire.call("POST", path, other["token"], **SAY))[0] == 200


def test_a_token_that_is_not_used_any_more_costs_nothing() -> None:
    """A bucket that is full again says what a new one says."""
    rates = Rates(Timing(commands_per_s=1.0, commands_burst=2))
    assert [rates.take("one", 0.0), rates.take("one", 0.0), rates.take("one", 0.0)] == [0.0, 0.0, 1.0]
    for number in range(1000):
        assert rates.take(f"t{number}", 10.0 + number) == 0.0
        assert len(rates) <= 3
    assert rates.take("one", 2000.0) == 0.0


async def test_a_session_has_only_so_many_tokens(wire: Wire) -> None:
    """Two calls at once do not both take the last place; who revokes one may have another."""
    token = new_token()
    path = f"/v1/sessions/{await make(wire, token)}/tokens"
    asked = (wire.call("POST", path, token, json={"role": "observe"}) for _ in range(TOKENS_PER_SESSION_MAX + 3))
    answers = await asyncio.gather(*asked)
    assert sorted(status for status, _ in answers) == [201] * (TOKENS_PER_SESSION_MAX - 1) + [503] * 4
    assert {answer["code"] for status, answer in answers if status == 503} == {"full"}
    given = next(answer["id"] for status, answer in answers if status == 201)
    assert (await wire.call("DELETE", f"{path}/{given}", token))[0] == 204
    assert (await wire.call("POST", path, token, json={"role": "observe"}))[0] == 201


async def test_revoking_what_is_not_there_is_404_and_writes_nothing(wire: Wire) -> None:
    """Otherwise every guess would be one more record in the log."""
    token = new_token()
    sid = await make(wire, token)
    session = await wire.parts.manager.find(sid)
    assert session is not None
    before = session.log.rev
    status, answer = await wire.call("DELETE", f"/v1/sessions/{sid}/tokens/t.none", token)
    assert (status, answer["code"]) == (404, "unknown_token")
    assert session.log.rev == before


async def test_a_store_that_stalls_is_503_and_what_was_begun_goes_on(serving: Any) -> None:
    """Create, command, grant and revoke: each is answered in time, and each is whole once the store answers."""
    journal = MemoryJournal()
    wire: Wire = await serving(journal, answer_s=0.2)
    token, other = new_token(), new_token()
    sid = await make(wire, token)
    one = f"/v1/sessions/{sid}"
    _, given = await wire.call("POST", one + "/tokens", token, json={"role": "observe"})
    watcher = await wire.dial()
    assert (await watcher.hello(given["token"], role="observe"))["t"] == "welcome"
    session = await wire.parts.manager.find(sid)
    assert session is not None
    desk = wire.parts.desk
    right = await desk.resume(token)

    async def known(secret: str) -> Any:
        return right

    journal.hold()
    wire.parts.desk.resume = known  # type: ignore[method-assign]  # so that the store is not asked who calls
    calls = [
        wire.http.post(wire.url + one + "/commands", headers={"Authorization": f"Bearer {token}"}, **SAY),
        wire.http.delete(wire.url + f"{one}/tokens/{given['id']}", headers={"Authorization": f"Bearer {token}"}),
        wire.http.post(
            wire.url + one + "/tokens", headers={"Authorization": f"Bearer {token}"}, json={"role": "control"}
        ),
    ]
    async with asyncio.timeout(ANSWER_S):
        for call in calls:
            async with call as answer:
                assert answer.status == 503
                assert int(answer.headers["Retry-After"]) >= 1
                assert (await answer.json(content_type=None))["code"] == "store_unavailable"
        del wire.parts.desk.resume
        body = {"team": "wire", "token": other}
        assert (await wire.call("POST", "/v1/sessions", KEY, json=body))[0] == 503
        journal.release()
        assert await watcher.closed() == 4300
    status, _ = await wire.call("POST", "/v1/sessions", KEY, json=body)
    assert status == 201
    assert wire.parts.manager.live == 2
    assert [event["data"]["text"] for event in watcher.events if event["kind"] == "agent.message"] == ["x"]
    assert [row.role for row in await wire.parts.manager.tokens(sid)] == ["control", "control"]


async def test_a_store_that_stalls_answers_readers_too(serving: Any) -> None:
    """Whoever only looks waits no longer than whoever acts."""
    journal = MemoryJournal()
    wire: Wire = await serving(journal, answer_s=0.2)
    token = new_token()
    sid = await make(wire, token)
    journal.hold()
    async with asyncio.timeout(ANSWER_S):
        assert (await wire.call("GET", f"/v1/sessions/{sid}", token))[0] == 503
    journal.release()


async def test_calls_that_nobody_waits_for_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They would pile up behind a store that never answers; and what they fail of is told."""
    monkeypatch.setattr(patience, "CALLS_UNDER_WAY_MAX", 1)
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()
        raise RuntimeError("too late")

    waiting = Patience(0.01)
    with pytest.raises(Fault, match="what was begun goes on"):
        await waiting.wait(work())
    with pytest.raises(Fault, match="too many calls"):
        await waiting.wait(work())
    gate.set()
    await asyncio.wait(set(waiting._under_way))
    await asyncio.sleep(0)
    assert "too late" in caplog.text
