"""Saying hello: to create, to resume, and everything a hello may get instead of a welcome."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.journal.memory import MemoryJournal
from tests.server.conftest import KEY, Wire, new_token


async def test_hello_with_create_makes_a_session_and_says_so_at_once(wire: Wire) -> None:
    """The welcome comes as soon as the session is in the log, before it is active."""
    token = new_token()
    peer = await wire.dial()
    welcome = await peer.hello(token, create={"team": "wire"}, auth=KEY)
    assert welcome["t"] == "welcome"
    assert welcome["sid"].startswith("s.")
    assert welcome["token"] == token
    assert welcome["resumed"] is True
    assert welcome["window_ms"] == 30_000
    assert welcome["heartbeat_ms"] == 10_000
    assert welcome["limits"]["commands_burst"] == 100
    event = await peer.state("active")
    assert event["data"]["from"] == "initializing"


async def test_a_client_that_resumes_gets_what_it_missed_and_nothing_twice(wire: Wire) -> None:
    """L3: its cursor goes on; the frames after it are the same bytes it would have got."""
    token = new_token()
    first, welcome = await wire.create(token)
    await first.cmd(1, "say", args={"text": "one"})
    await first.res(1)
    seen = first.events[-1]["seq"]
    await first.cmd(2, "say", args={"text": "two"})
    await first.res(2)
    await first.socket.close()

    second = await wire.dial()
    again = await second.hello(token, n=2, cur={"epoch": welcome["epoch"], "seq": seen})
    assert again["resumed"] is True
    assert again["sid"] == welcome["sid"]
    event = await second.next()
    assert event["seq"] == seen + 1
    expected = [event for event in first.events if event["seq"] > seen]
    assert [event, *[await second.next() for _ in expected[1:]]] == expected


@pytest.mark.parametrize("cursor", [{"epoch": "another", "seq": 1}, {"epoch": None, "seq": 10_000}])
async def test_a_cursor_that_cannot_go_on_gets_a_snapshot_first(wire: Wire, cursor: dict[str, Any]) -> None:
    """L4: a loss of continuity is announced before the next event."""
    token = new_token()
    _, welcome = await wire.create(token)
    peer = await wire.dial()
    cur = {**cursor, "epoch": cursor["epoch"] or welcome["epoch"]}
    again = await peer.hello(token, cid="c2", cur=cur)
    assert again["resumed"] is False
    snap = await peer.next()
    assert snap["t"] == "snap"
    assert snap["seq"] == again["head"]
    assert snap["data"]["state"] == "active"
    root = snap["data"]["actors"][0]
    assert (root["actor"], root["kind"], root["state"], root["event"]) == ("/", "session", "active", "done")
    await peer.cmd(1, "say", args={"text": "hello"})
    assert (await peer.until(lambda frame: frame["t"] == "ev"))["seq"] == snap["seq"] + 1


async def test_a_lost_welcome_makes_no_second_session(wire: Wire) -> None:
    """L12: the same hello again resumes what the first one made."""
    token = new_token()
    peers = [await wire.dial() for _ in range(4)]
    for n, peer in enumerate(peers):
        await peer.send(t="hello", token=token, cid=f"c{n}", n=1, create={"team": "wire"}, auth=KEY)
    welcomes = [await peer.next() for peer in peers]
    assert len({welcome["sid"] for welcome in welcomes}) == 1
    assert wire.parts.manager.live == 1


async def test_unknown_wrong_and_revoked_tokens_get_the_same_answer(wire: Wire) -> None:
    """Rule 15: nobody learns from an answer which sessions there are."""
    token = new_token()
    _, welcome = await wire.create(token)
    sid = welcome["sid"]
    _, made = await wire.call("POST", f"/v1/sessions/{sid}/tokens", token, json={"role": "observe"})
    status, _ = await wire.call("DELETE", f"/v1/sessions/{sid}/tokens/{made['id']}", token)
    assert status == 204
    answers = []
    for secret, fields in (
        (new_token(), {}),
        (made["token"], {"role": "observe"}),
        (new_token(), {"create": {"team": "wire"}}),
        (new_token(), {"create": {"team": "wire"}, "auth": "wrong"}),
    ):
        peer = await wire.dial()
        answer = await peer.hello(secret, **fields)
        answers.append((answer, await peer.closed(), peer.socket.close_reason))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][:2] == ({"t": "error", "code": 4300, "msg": "no valid token or credentials"}, 4300)


async def test_revoking_a_token_closes_its_sockets_at_once(wire: Wire) -> None:
    """L12: a right that ended is not used on by whoever is already inside."""
    token = new_token()
    peer, welcome = await wire.create(token)
    path = f"/v1/sessions/{welcome['sid']}/tokens"
    _, made = await wire.call("POST", path, token, json={"role": "control"})
    guest = await wire.dial()
    await guest.hello(made["token"], cid="guest")
    await wire.call("DELETE", f"{path}/{made['id']}", token)
    assert await guest.closed() == 4300
    await peer.cmd(1, "say", args={"text": "still here"})
    assert (await peer.res(1))["ok"]


async def test_a_higher_n_replaces_the_older_socket(wire: Wire) -> None:
    """L7: one live socket a cid; the newer dial wins, and the session does not notice."""
    token = new_token()
    older, welcome = await wire.create(token)
    newer = await wire.dial()
    assert (await newer.hello(token, n=2))["t"] == "welcome"
    assert await older.closed() == 4501
    await newer.cmd(1, "say", args={"text": "it is me"})
    assert (await newer.res(1))["ok"]
    assert all(event["data"].get("to") != "reconnecting" for event in newer.events)
    session = await wire.parts.manager.find(welcome["sid"])
    assert session is not None
    assert session.connections == 1


@pytest.mark.parametrize("n", [1, 4])
async def test_a_dial_that_is_not_newer_is_closed_itself(wire: Wire, n: int) -> None:
    """A delayed dial must not throw out the one that came after it."""
    token = new_token()
    live, _ = await wire.create(token, n=4)
    late = await wire.dial()
    await late.hello(token, n=n)
    assert await late.closed() == 4501
    await live.cmd(1, "say", args={"text": "still here"})
    assert (await live.res(1))["ok"]


async def test_a_full_house_is_told_when_to_come_again(wire: Wire) -> None:
    """C6 and rule 6: the limit is exact, and whoever is inside is not disturbed."""
    token = new_token()
    inside, _ = await wire.create(token)
    for n in range(3):
        assert (await (await wire.dial()).hello(token, cid=f"more{n}"))["t"] == "welcome"
    outside = await wire.dial()
    answer = await outside.hello(token, cid="outside")
    assert answer["code"] == 4103
    assert answer["retry_ms"] > 0
    assert await outside.closed() == 4103
    await inside.cmd(1, "say", args={"text": "still here"})
    assert (await inside.res(1))["ok"]


async def test_control_and_observe_are_limited_apart(serving: Any) -> None:
    """Rule 6: however many watch, whoever drives gets in; a place that is given back can be taken again."""
    wire: Wire = await serving(control_max=1, observe_max=1)
    token = new_token()
    driver, _ = await wire.create(token)
    observer = await wire.dial()
    assert (await observer.hello(token, role="observe"))["t"] == "welcome"
    for fields in ({"role": "observe"}, {"cid": "c2"}):
        refused = await wire.dial()
        assert (await refused.hello(token, **fields))["code"] == 4103
        assert await refused.closed() == 4103
    assert (await (await wire.dial()).hello(token, n=2))["t"] == "welcome"
    assert await driver.closed() == 4501
    await observer.socket.close()
    await observer.socket.wait_closed()
    again = await wire.dial()
    assert (await again.hello(token, role="observe"))["t"] == "welcome"


async def test_a_store_that_does_not_answer_keeps_nobody_waiting_for_ever(serving: Any) -> None:
    """4104 within the time for a welcome; what was begun is found by the same token afterwards."""
    journal = MemoryJournal()
    wire: Wire = await serving(journal, hello_s=0.2)
    journal.hold()
    token = new_token()
    peer = await wire.dial()
    answer = await peer.hello(token, create={"team": "wire"}, auth=KEY)
    assert (answer["code"], answer["retry_ms"] > 0) == (4104, True)
    assert await peer.closed() == 4104
    journal.release()
    again = await wire.dial()
    assert (await again.hello(token, n=2, create={"team": "wire"}, auth=KEY))["t"] == "welcome"
    assert wire.parts.manager.live == 1


async def test_creation_over_a_limit_is_refused_with_the_reason_and_leaves_nothing(wire: Wire) -> None:
    """C5 and C6: nothing is left behind of what was not created."""
    for _ in range(6):
        await wire.create()
    peer = await wire.dial()
    answer = await peer.hello(new_token(), create={"team": "wire"}, auth=KEY)
    assert answer["code"] == 4103
    assert "6 of your sessions" in answer["msg"]
    assert await peer.closed() == 4103
    assert wire.parts.manager.live == 6
    status, problem = await wire.call("POST", "/v1/sessions", KEY, json={"team": "wire"})
    assert (status, problem["code"]) == (503, "full")
    assert "6 of your sessions" in problem["detail"]


async def test_an_observer_sees_everything_and_commands_nothing(wire: Wire) -> None:
    """Rule 6: observers need no cid, and keep no window open."""
    token = new_token()
    peer, welcome = await wire.create(token)
    _, made = await wire.call("POST", f"/v1/sessions/{welcome['sid']}/tokens", token, json={"role": "observe"})
    observer = await wire.dial()
    await observer.send(t="hello", token=made["token"], role="observe")
    assert (await observer.next())["t"] == "welcome"
    await peer.cmd(1, "say", args={"text": "look"})
    seen = await observer.until(lambda frame: frame.get("kind") == "agent.message")
    assert seen["data"]["text"] == "look"
    await observer.cmd(1, "say", args={"text": "me too"})
    assert (await observer.res(1))["err"]["code"] == "forbidden"
    await peer.socket.close()
    assert (await observer.state("reconnecting"))["data"]["event"] == "last_connection_lost"


async def test_a_token_to_observe_does_not_control(wire: Wire) -> None:
    """4403, not 4300: the token is valid, what was asked with it is not."""
    token = new_token()
    _, welcome = await wire.create(token)
    _, made = await wire.call("POST", f"/v1/sessions/{welcome['sid']}/tokens", token, json={"role": "observe"})
    peer = await wire.dial()
    assert (await peer.hello(made["token"], cid="c2"))["code"] == 4403
    assert await peer.closed() == 4403


async def test_a_late_hello_is_told_and_closed(serving: Any) -> None:
    """Rule 14: whoever says nothing holds a place, and places are few."""
    wire: Wire = await serving(hello_s=0.2)
    peer = await wire.dial()
    assert await peer.closed() == 4108
    assert peer.errors[0]["retry_ms"] > 0


async def test_places_without_welcome_are_few_for_one_address(serving: Any) -> None:
    """A welcomed connection gives its place back."""
    wire: Wire = await serving(unwelcomed_per_address_max=2)
    await wire.create()
    silent = [await wire.dial() for _ in range(2)]
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    status, problem = await wire.call("GET", "/v1/ws", headers=upgrade)
    assert (status, problem["code"], problem["retry_ms"]) == (503, "overloaded", 5000)
    await silent[0].socket.close()
    await wire.create()


async def test_a_client_asks_for_another_window_and_reads_what_it_got(wire: Wire) -> None:
    """Rule 5: up to the file's limit; and a resume says the same."""
    for asked, window_ms in ((None, 30_000), ("90s", 90_000), ("1h", 600_000)):
        token, peer = new_token(), await wire.dial()
        options = {} if asked is None else {"window": asked}
        welcome = await peer.hello(token, create={"options": options}, auth=KEY)
        assert welcome["window_ms"] == window_ms
        assert (await (await wire.dial()).hello(token, n=2))["window_ms"] == window_ms


async def test_a_window_that_is_no_duration_makes_no_session(wire: Wire) -> None:
    """Whoever asked for it would wait for something else than it thinks."""
    peer = await wire.dial()
    assert (await peer.hello(new_token(), create={"options": {"window": 90}}, auth=KEY))["code"] == 4422
    assert "option 'window'" in peer.errors[0]["msg"]
    assert wire.parts.manager.live == 0


async def test_a_hello_read_before_the_deadline_wins_over_a_slow_store(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L8: the window closes while the store is still being asked whose token it is."""
    journal = MemoryJournal()
    wire: Wire = await serving(journal=journal)
    token = new_token()
    peer, welcome = await wire.create(token)
    await peer.socket.close()
    await wire.wait_state(welcome["sid"], "reconnecting")
    session = await wire.parts.manager.find(welcome["sid"])
    assert session is not None
    assert session.root is not None
    root, asked, find = session.root, asyncio.Event(), journal.token

    async def token_asked(digest: bytes) -> Any:
        asked.set()
        return await find(digest)

    monkeypatch.setattr(journal, "token", token_asked)
    again = await wire.dial()
    await again.send(t="hello", token=token, cid="c1", n=2)
    journal.hold()
    await asked.wait()
    (window,) = root.timers
    root._fire(window, root.activation)
    for _ in range(20):
        await asyncio.sleep(0)
    assert session.state == "reconnecting"
    journal.release()
    assert (await again.next())["t"] == "welcome"
    await again.state("active")


async def test_a_token_revoked_while_its_hello_is_under_way_does_not_attach(serving: Any) -> None:
    """L12: the hello found the token before it was revoked, and would take its place after that."""
    wire: Wire = await serving()
    peer, welcome = await wire.create()
    right = f"/v1/sessions/{welcome['sid']}/tokens"
    _, more = await wire.call("POST", right, peer.frames[0]["token"], json={"role": "observe"})
    asked, go_on = asyncio.Event(), asyncio.Event()
    find = wire.parts.manager.find

    async def find_slowly(sid: str) -> Any:
        asked.set()
        await go_on.wait()
        return await find(sid)

    late = await wire.dial()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire.parts.manager, "find", find_slowly)
        await late.send(t="hello", token=more["token"], role="observe")
        await asked.wait()
    assert (await wire.call("DELETE", f"{right}/{more['id']}", peer.frames[0]["token"]))[0] == 204
    go_on.set()
    assert await late.closed() == 4300
    assert not any(frame["t"] == "welcome" for frame in late.frames)
