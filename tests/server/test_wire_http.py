"""The HTTP calls beside the WebSocket, and who may make them."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from handlers.team import Team
from server.app import stop
from tests.server.conftest import ANSWER_S, KEY, Wire, new_token
from tests.server.wire_handlers import GATES, STUCK


async def make(wire: Wire) -> tuple[str, str]:
    """(sid, token) of a new session over HTTP."""
    status, answer = await wire.call("POST", "/v1/sessions", KEY, json={"team": "wire"})
    assert status == 201
    await wire.wait_state(answer["sid"], "reconnecting")
    return answer["sid"], answer["token"]


async def test_a_session_made_over_http_is_the_same_as_any(wire: Wire) -> None:
    """Its token opens a WebSocket; a second call with the same token makes no second session."""
    token = new_token()
    status, made = await wire.call("POST", "/v1/sessions", KEY, json={"team": "wire", "token": token})
    again, same = await wire.call("POST", "/v1/sessions", KEY, json={"team": "wire", "token": token})
    assert (status, again) == (201, 201)
    assert made["sid"] == same["sid"]
    assert made["token"] == token
    peer = await wire.dial()
    assert (await peer.hello(token))["sid"] == made["sid"]
    status, seen = await wire.call("GET", f"/v1/sessions/{made['sid']}", token)
    assert (status, seen["user"], seen["actors"][0]["actor"]) == (200, "local", "/")


async def test_delete_ends_a_session_and_answers_with_the_report_twice(wire: Wire) -> None:
    """Twice: twice. The report is the proof that everything is gone."""
    sid, token = await make(wire)
    first = await wire.call("DELETE", f"/v1/sessions/{sid}", token)
    second = await wire.call("DELETE", f"/v1/sessions/{sid}", token)
    assert first == second
    status, answer = first
    assert (status, answer["sid"], answer["state"]) == (200, sid, "terminated")
    assert answer["report"] is not None
    assert wire.parts.manager.live == 0


async def test_delete_of_what_leaks_names_it(wire: Wire) -> None:
    """A session in quarantine is not ended; its report says what is left."""
    sid, token = await make(wire)
    status, _ = await wire.call("POST", f"/v1/sessions/{sid}/commands", token, json={"name": "leak"})
    assert status == 200
    status, answer = await wire.call("DELETE", f"/v1/sessions/{sid}", token)
    assert (status, answer["state"]) == (200, "error")
    assert "a stone" in json.dumps(answer["report"])
    assert (await wire.call("DELETE", f"/v1/sessions/{sid}", token))[1] == answer
    STUCK.discard(sid)


async def test_a_command_over_http_answers_like_a_res_frame(wire: Wire) -> None:
    """With a cid of its own it counts once."""
    sid, token = await make(wire)
    body = {"cid": "h1", "c": 1, "name": "say", "args": {"text": "over http"}}
    status, first = await wire.call("POST", f"/v1/sessions/{sid}/commands", token, json=body)
    assert (status, first["t"], first["ok"], first["c"]) == (200, "res", True, 1)
    status, again = await wire.call("POST", f"/v1/sessions/{sid}/commands", token, json=body)
    assert again == {**first, "dup": True}
    status, page = await wire.call("GET", f"/v1/sessions/{sid}/log", token)
    texts = [event["data"]["text"] for event in page["events"] if event["kind"] == "agent.message"]
    assert texts == ["over http"]


@pytest.mark.parametrize(
    "body, status, code",
    [
        ({"name": "dance"}, 404, "unknown_event"),
        ({"name": "say", "args": {"text": "which one?"}, "cid": "h1"}, 400, "bad_frame"),
        ({"name": "say", "args": {"text": 1}}, 422, "bad_payload"),
        ({"name": "say", "args": {"text": "x"}, "to": "/nobody"}, 404, "unknown_actor"),
        ({"name": "retry_cleanup"}, 403, "forbidden"),
        ({"name": "say", "args": ["x"]}, 400, "bad_frame"),
        ({"args": {}}, 400, "bad_frame"),
        ({"name": "trip"}, 500, "raised"),
    ],
)
async def test_a_command_that_cannot_be_is_a_problem_document(
    wire: Wire, body: dict[str, Any], status: int, code: str
) -> None:
    """RFC 9457, with the same stable code as on the wire, and without a handler's text."""
    sid, token = await make(wire)
    path = wire.url + f"/v1/sessions/{sid}/commands"
    async with wire.http.post(path, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
        problem = await answer.json(content_type=None)
        assert answer.content_type == "application/problem+json"
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:steward:problem:{code}"
    assert problem["title"]
    assert "secret" not in json.dumps(problem)


async def test_the_log_comes_in_pages(wire: Wire) -> None:
    """after and limit; what a page says is what an ev frame says."""
    token = new_token()
    peer, welcome = await wire.create(token)
    for c in range(1, 31):
        await peer.cmd(c, "say", args={"text": str(c)})
    await peer.res(30)
    path, found, after = f"/v1/sessions/{welcome['sid']}/log", [], 0
    while True:
        status, page = await wire.call("GET", f"{path}?after={after}&limit=7", token)
        assert status == 200
        assert len(page["events"]) <= 7
        if not page["events"]:
            break
        found += page["events"]
        after = page["next"]
    assert found == [{key: value for key, value in event.items() if key != "t"} for event in peer.events]
    assert (page["head"], page["epoch"], page["is_ended"]) == (after, welcome["epoch"], False)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=x"])
async def test_a_query_that_is_none_is_a_problem(wire: Wire, query: str) -> None:
    """No traceback, and the name of what is wrong."""
    sid, token = await make(wire)
    status, problem = await wire.call("GET", f"/v1/sessions/{sid}/log?{query}", token)
    assert (status, problem["code"]) == (400, "bad_frame")
    assert query.split("=")[0] in problem["detail"]


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/v1/sessions/{sid}"),
        ("DELETE", "/v1/sessions/{sid}"),
        ("POST", "/v1/sessions/{sid}/commands"),
        ("GET", "/v1/sessions/{sid}/log"),
        ("POST", "/v1/sessions/{sid}/tokens"),
        ("DELETE", "/v1/sessions/{sid}/tokens/t.1"),
        ("POST", "/v1/sessions"),
    ],
)
async def test_without_a_valid_token_every_answer_is_the_same(wire: Wire, method: str, path: str) -> None:
    """Rule 15 over HTTP: unknown session, another's token, a wrong one, none at all."""
    sid, _ = await make(wire)
    _, other = await make(wire)
    unknown = "s." + "a" * 26
    options: dict[str, Any] = {"json": {"name": "say", "role": "observe"}} if method == "POST" else {}
    answers = [
        await wire.call(method, path.format(sid=where), secret, **options)
        for where, secret in ((sid, None), (sid, other), (sid, new_token()), (unknown, other), ("x", None))
    ]
    assert all(answer == answers[0] for answer in answers)
    assert (answers[0][0], answers[0][1]["code"]) == (401, "no_valid_token")


async def test_the_operator_is_told_that_there_is_no_such_session(wire: Wire) -> None:
    """Rule 15 is for who has no right; the key sees every session, so it may know that this is none."""
    for method, path, options in (("GET", "", {}), ("GET", "/log", {}), ("DELETE", "", {})):
        status, problem = await wire.call(method, f"/v1/sessions/s.{'a' * 26}{path}", KEY, **options)
        assert (status, problem["code"], problem["title"]) == (404, "unknown_session", "no such session")


@pytest.mark.parametrize(
    "headers, status, code",
    [
        ({}, 426, "upgrade_required"),
        ({"Upgrade": "h2c", "Connection": "Upgrade"}, 426, "upgrade_required"),
        ({"Upgrade": "websocket", "Connection": "Upgrade"}, 400, "bad_handshake"),
    ],
)
async def test_a_plain_get_of_the_websocket_says_what_it_is(
    wire: Wire, headers: dict[str, str], status: int, code: str
) -> None:
    """Whoever tries it with curl reads our words, not a library's."""
    found, problem = await wire.call("GET", "/v1/ws", headers=headers)
    assert (found, problem["code"]) == (status, code)
    assert "steward play" in problem["detail"]


class Choice(BaseModel):
    model_config = ConfigDict(extra="forbid")

    white: Literal["engine", "human"] = "engine"
    depth: int = Field(default=1, ge=1, le=3)


def team(name: str) -> Team:
    return Team(name, Choice, (), lambda options: (), lambda options: (), lambda text, options: "")


@pytest.mark.parametrize(
    "create, text",
    [
        ({"team": "nope"}, "no team 'nope'; there are: chess, wire"),
        ({"team": "ches"}, "no team 'ches'; did you mean 'chess'?"),
        ({"options": {"wite": "human"}}, "no option 'wite'; did you mean 'white'?"),
        ({"team": "chess", "options": {"wite": "human"}}, "no option 'wite'; did you mean 'white'?"),
        ({"team": "chess", "options": {"zzz": 1}}, "no option 'zzz'; there are: white, depth"),
        ({"team": "chess", "options": {"white": "me"}}, "white: has to be 'engine' or 'human'"),
        ({"team": "chess", "options": {"depth": 9}}, "depth: has to be at most 3"),
    ],
)
async def test_a_session_that_could_only_die_is_not_created(serving: Any, create: Any, text: str) -> None:
    """Over HTTP and WebSocket, in the same words; only for who may create at all, and nothing is left of it."""
    wire: Wire = await serving(services={"teams": {"chess": team("chess"), "wire": team("wire")}})
    status, problem = await wire.call("POST", "/v1/sessions", KEY, json=create)
    assert (status, problem["code"]) == (422, "bad_payload")
    assert text in problem["detail"]
    peer = await wire.dial()
    error = await peer.hello(new_token(), create=create, auth=KEY)
    assert (error["t"], error["code"]) == ("error", 4422)
    assert text in error["msg"]
    assert await peer.closed() == 4422
    assert (await wire.call("POST", "/v1/sessions", new_token(), json=create))[0] == 401
    assert wire.parts.manager.counts()["created"] == 0


@pytest.mark.parametrize(
    "body, text",
    [
        ({"tema": "wire"}, "there is no field 'tema'; did you mean 'team'?"),
        ({"opitons": {}}, "there is no field 'opitons'; did you mean 'options'?"),
        ({"team": 1}, "team: has to be text"),
        ({"options": []}, "options: has to be an object"),
        ({"token": "x"}, "token: has to be 43 to 128 of A-Z a-z 0-9 _ -"),
    ],
)
async def test_a_create_with_a_mistake_is_told_in_words(wire: Wire, body: Any, text: str) -> None:
    """A misspelt field would silently make another session; what is merely unknown is ignored."""
    status, problem = await wire.call("POST", "/v1/sessions", KEY, json=body)
    assert (status, problem["code"]) == (400, "bad_frame")
    assert text in problem["detail"]
    assert (await wire.call("POST", "/v1/sessions", KEY, json={"colour_of_tomorrow": 1}))[0] == 201


async def test_why_a_session_was_ended_is_in_the_servers_log(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """With who did it: an operator's end is worth a line."""
    sid, _ = await make(wire)
    with caplog.at_level("INFO", "steward.http"):
        status, answer = await wire.call("DELETE", f"/v1/sessions/{sid}?reason=too%20old", KEY)
    assert (status, answer["is_ended"], answer["is_quarantined"]) == (200, True, False)
    assert "session ended by admin: too old" in caplog.text
    assert (await wire.call("DELETE", f"/v1/sessions/{sid}?reason={'x' * 300}", KEY))[0] == 400


async def test_a_secret_that_is_no_text_is_nobodys(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can send bytes that are no UTF-8; that is no fault of ours to be logged as one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    head = f"GET /v1/sessions HTTP/1.1\r\nHost: localhost:{wire.port}\r\nConnection: close\r\n"
    writer.write(head.encode() + b"Authorization: Bearer \xff\xfe\r\n\r\n")
    async with asyncio.timeout(ANSWER_S):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_an_observers_token_reads_and_does_nothing_else(wire: Wire) -> None:
    """Roles hold over HTTP too."""
    sid, token = await make(wire)
    status, made = await wire.call("POST", f"/v1/sessions/{sid}/tokens", token, json={"role": "observe"})
    assert status == 201
    assert (await wire.call("GET", f"/v1/sessions/{sid}/log", made["token"]))[0] == 200
    assert (await wire.call("GET", f"/v1/sessions/{sid}", made["token"]))[0] == 200
    for method, path, options in (
        ("DELETE", "", {}),
        ("POST", "/commands", {"json": {"name": "say", "args": {"text": "x"}}}),
        ("POST", "/tokens", {"json": {"role": "control"}}),
    ):
        status, problem = await wire.call(method, f"/v1/sessions/{sid}{path}", made["token"], **options)
        assert (status, problem["code"]) == (403, "forbidden")


async def test_the_key_lists_and_ends_every_session(wire: Wire) -> None:
    """It is the administrator's."""
    sid, _ = await make(wire)
    status, answer = await wire.call("GET", "/v1/sessions", KEY)
    assert (status, [item["sid"] for item in answer["sessions"]]) == (200, [sid])
    status, answer = await wire.call("DELETE", f"/v1/sessions/{sid}", KEY)
    assert (status, answer["state"]) == (200, "terminated")


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "127.0.0.1@evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Origin": "http://localhost:{port}"}, 200),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": "file://"}, 403),
        ({"Origin": "http://pages.example"}, 200),
        ({"Host": "names.example"}, 200),
    ],
)
async def test_only_known_hosts_and_origins_may_call(serving: Any, headers: dict[str, str], status: int) -> None:
    """Rule 9: a page that a browser was lured to, or a name that resolves to us, gets nothing; WebSocket too."""
    wire: Wire = await serving(allowed_hosts=["names.example"], allowed_origins=["http://pages.example"])
    sent = {name: value.format(port=wire.port) for name, value in headers.items()}
    found, answer = await wire.call("GET", "/livez", headers=sent)
    assert found == status
    assert status == 200 or answer["code"] == "forbidden"
    if "Origin" in sent:
        socket, _ = await wire.call("GET", "/v1/ws", headers=sent)
        assert socket == (426 if status == 200 else 403)


async def test_open_takes_no_key_and_no_proxy(serving: Any) -> None:
    """--open is for this machine: a forwarding header says that somebody else is behind the call."""
    wire: Wire = await serving(open=True, key=None)
    peer = await wire.dial()
    assert (await peer.hello(new_token(), create={"team": "wire"}))["t"] == "welcome"
    assert (await wire.call("POST", "/v1/sessions", json={}))[0] == 201
    for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"):
        status, problem = await wire.call("POST", "/v1/sessions", json={}, headers={name: "for=1.2.3.4"})
        assert (status, problem["code"]) == (403, "forbidden")
    assert (await wire.call("GET", "/v1/sessions", KEY))[0] == 401


async def test_posts_are_json_only(wire: Wire) -> None:
    """A form on a foreign page can post, but not as application/json without being asked for."""
    for content in ("text/plain", "application/x-www-form-urlencoded"):
        status, problem = await wire.call("POST", "/v1/sessions", KEY, data=b"{}", headers={"Content-Type": content})
        assert (status, problem["code"]) == (415, "not_json")


@pytest.mark.parametrize(
    "body, code",
    [
        (b"{", "bad_frame"),
        (b"", "bad_frame"),
        (b"[]", "bad_frame"),
        (b'{"team":1}', "bad_frame"),
        (b" " * 70_000, "too_large"),
    ],
)
async def test_bodies_that_are_none_are_problems(wire: Wire, body: bytes, code: str) -> None:
    """Also those that are far too large."""
    status, problem = await wire.call(
        "POST", "/v1/sessions", KEY, data=body, headers={"Content-Type": "application/json"}
    )
    assert problem["code"] == code
    assert status == (413 if code == "too_large" else 400)


@pytest.mark.parametrize("path, status", [("/nowhere", 404), ("/v1/sessions/x/y/z", 404), ("/livez", 200)])
async def test_every_answer_says_how_it_may_be_used(wire: Wire, path: str, status: int) -> None:
    """nosniff, no-store, a strict policy, and no name of a library."""
    async with wire.http.get(wire.url + path) as answer:
        assert answer.status == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Server"] == "steward"


async def test_the_wrong_method_names_the_right_ones(wire: Wire) -> None:
    """405 with Allow, as a problem document."""
    async with wire.http.put(wire.url + "/livez") as answer:
        assert answer.status == 405
        assert "GET" in answer.headers["Allow"]
        assert (await answer.json(content_type=None))["code"] == "method_not_allowed"


async def test_the_lifecycle_can_be_read(wire: Wire) -> None:
    """The spec that this server runs, as data."""
    status, spec = await wire.call("GET", "/v1/lifecycle")
    assert status == 200
    assert set(spec["machines"]["session"]["states"]) >= {"initializing", "active", "terminated", "error"}
    drawn = spec["pictures"]["session"]
    assert [node["name"] for node in drawn["nodes"]] == list(spec["machines"]["session"]["states"])
    assert ("initializing", "active") in {(edge["source"], edge["target"]) for edge in drawn["edges"]}
    assert {"terminate"} <= {event for edge in drawn["edges"] if edge["source"] is None for event in edge["events"]}


async def test_a_leaving_server_tells_everyone_and_takes_nobody(wire: Wire) -> None:
    """L13: not ready, sockets are closed with 4000, new ones get the same."""
    token = new_token()
    peer, _ = await wire.create(token)
    silent = await wire.dial()
    assert (await wire.call("GET", "/readyz"))[0] == 200
    wire.parts.desk.is_leaving = True
    status, problem = await wire.call("GET", "/readyz")
    assert (status, problem["code"]) == (503, "not_ready")
    await silent.hello(token, n=2)
    assert await silent.closed() == 4000
    status, problem = await wire.call("POST", "/v1/sessions", KEY, json={})
    assert (status, problem["code"]) == (503, "leaving")
    await stop(wire.runner)
    assert await peer.closed() == 4000


async def test_a_creation_cut_by_its_client_is_whole_or_nothing(wire: Wire) -> None:
    """C5: cancelled at any time, the books are right."""
    for n in range(20):
        call = asyncio.ensure_future(wire.call("POST", "/v1/sessions", KEY, json={"team": "wire"}))
        for _ in range(n):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait({call})
    async with asyncio.timeout(ANSWER_S):
        while True:
            _, listed = await wire.call("GET", "/v1/sessions", KEY)
            for item in listed["sessions"]:
                await wire.call("DELETE", f"/v1/sessions/{item['sid']}", KEY)
            if not listed["sessions"]:
                break
    counts = wire.parts.manager.counts()
    assert counts["live"] == 0
    assert counts["created"] == counts["final"]


async def test_a_slow_creation_holds_up_nobody_else(wire: Wire) -> None:
    """Each session begins by itself; the slow one is welcomed too, and is told when it is active."""
    slow = await wire.dial()
    welcome = await slow.hello(new_token(), create={"options": {"is_slow": True}}, auth=KEY)
    assert welcome["state"] == "initializing"
    await wire.create()
    GATES[welcome["sid"]].set()
    await slow.state("active")
