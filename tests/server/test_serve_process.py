"""A real `steward serve` process: how it starts, why it does not, and how it stops."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import ANSWER_S, LIFECYCLE, START_S, new_token

pytestmark = pytest.mark.e2e


async def test_it_says_where_it_listens_and_the_key_is_private(serve: Any) -> None:
    """Rule 9: a random key, in a file that only this user can read and in a URL's fragment."""
    server = await (await serve("--port", "0")).ready()
    key_file = server.data / "key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert key_file.read_text().strip() == server.key
    assert len(server.key) >= 43
    assert json.loads((server.data / "address").read_text())["url"] == server.url


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_one_signal_stops_it_and_sessions_go_on_in_the_next(serve: Any, number: signal.Signals) -> None:
    """L13: everyone is told, nothing is lost, exit in time; the same token and key go on afterwards."""
    server = await (await serve("--port", "0")).ready()
    token = new_token()
    peer = await server.dial()
    welcome = await peer.hello(token, create={"team": "wire"}, auth=server.key)
    await peer.state("active")
    await peer.cmd(1, "say", args={"text": "before"})
    first = await peer.res(1)
    began = time.monotonic()
    server.process.send_signal(number)
    assert await peer.closed() == 4000
    assert await server.code() == 0
    assert time.monotonic() - began < 20
    assert not (server.data / "address").exists()

    successor = await (await serve("--port", "0")).ready()
    assert successor.key == server.key
    again = await successor.dial()
    assert (await again.hello(token, n=2))["sid"] == welcome["sid"]
    await again.cmd(1, "say", args={"text": "before"})
    assert await again.res(1) == {**first, "dup": True}
    assert [event["data"]["text"] for event in again.events if event["kind"] == "agent.message"] == ["before"]
    assert again.events[: len(peer.events)] == peer.events


@pytest.mark.parametrize("gap_s", [0.0, 0.005, 0.02])
async def test_impatient_signals_do_not_change_the_exit_code(serve: Any, gap_s: float) -> None:
    """A third Ctrl-C finds an interpreter that is leaving and has dropped its handlers; the stop is orderly all the
    same."""
    server = await (await serve("--port", "0")).ready()
    for _ in range(6):
        with suppress(ProcessLookupError):
            server.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(time.sleep, gap_s)  # the gap is what is tested
    assert await server.code() == 0
    assert "Traceback" not in await server.errors()


async def test_a_second_signal_ends_the_grace(serve: Any) -> None:
    """A handler that hangs gets the grace, unless somebody insists."""
    server = await (await serve("--port", "0", STEWARD_GRACE_S="60")).ready()
    peer = await server.dial()
    await peer.hello(new_token(), create={"team": "wire"}, auth=server.key)
    await peer.state("active")
    await peer.cmd(1, "wait")
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert await peer.closed() == 4000
    server.process.send_signal(signal.SIGTERM)
    await server.code()
    assert time.monotonic() - began < 40


async def test_a_second_signal_ends_a_process_that_is_stuck(serve: Any) -> None:
    """A handler that spins and swallows everything: nothing but the end of the process ends it, and that comes."""
    server = await (await serve("--port", "0", STEWARD_GRACE_S="60")).ready()
    peer = await server.dial()
    await peer.hello(new_token(), create={"team": "wire"}, auth=server.key)
    await peer.state("active")
    await peer.cmd(1, "spin")
    began = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    server.process.send_signal(signal.SIGTERM)
    assert await server.code() == 70
    assert time.monotonic() - began < 40


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("moment", ["data", "data/key", "data/log.sqlite"])
async def test_a_signal_during_the_start_stops_it_too(serve: Any, tmp_path: Path, moment: str, times: int) -> None:
    """At any moment: what was begun is let go, without a traceback."""
    server = await serve("--port", "0")
    async with asyncio.timeout(START_S):
        while not (tmp_path / moment).exists() and server.process.returncode is None:
            await asyncio.to_thread(lambda: None)
    for _ in range(times):
        with suppress(ProcessLookupError):
            server.process.send_signal(signal.SIGTERM)
    assert await server.code() == 0
    assert "Traceback" not in await server.errors()


async def test_a_signal_before_anything_ran_ends_it(serve: Any) -> None:
    """The interpreter itself is only just starting."""
    server = await serve("--port", "0")
    server.process.send_signal(signal.SIGTERM)
    assert await server.code() in (0, -signal.SIGTERM)


async def test_after_kill_9_everything_answered_is_there(serve: Any) -> None:
    """L2: what a client has seen is in the log."""
    server = await (await serve("--port", "0")).ready()
    token = new_token()
    peer = await server.dial()
    await peer.hello(token, create={"team": "wire"}, auth=server.key)
    await peer.state("active")
    for c in range(1, 20):
        await peer.cmd(c, "say", args={"text": str(c)})
    for c in range(1, 20):
        await peer.res(c)
    server.process.kill()
    await server.code()
    successor = await (await serve("--port", "0")).ready()
    again = await successor.dial()
    await again.hello(token, n=2)
    await again.until(lambda frame: frame.get("seq") == peer.events[-1]["seq"])
    assert again.events == peer.events


async def test_a_port_in_use_is_one_sentence(serve: Any) -> None:
    """And says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = await serve("--port", str(port))
        assert await server.code() == 1
        assert (await server.errors()).strip() == (
            f"steward: cannot listen on 127.0.0.1 port {port}: address already in use; "
            "choose another with --port, or --port 0 for any free one"
        )


async def test_a_data_directory_that_cannot_be_is_one_sentence(serve: Any, tmp_path: Path) -> None:
    """A file stands where the directory should be (rights would not stop a superuser)."""
    (tmp_path / "file").write_text("")
    server = await serve("--port", "0", data=tmp_path / "file" / "data")
    assert await server.code() == 1
    errors = await server.errors()
    assert errors.startswith("steward: the data directory ")
    assert "choose another with --data" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "flags, code, text",
    [
        (("--lifecycle", "nowhere.yaml"), 2, "nowhere.yaml"),
        (("--host", "0.0.0.0"), 2, "api_keys"),
        (("--open", "--host", "192.0.2.1"), 2, "api_keys"),
        (("--port", "70000"), 2, "port"),
        (("--config", "nowhere.toml"), 2, "nowhere.toml"),
    ],
)
async def test_what_cannot_be_served_is_said(serve: Any, flags: tuple[str, ...], code: int, text: str) -> None:
    """Never a traceback."""
    server = await serve("--port", "0", *flags)
    assert await server.code() == code
    errors = await server.errors()
    assert text in errors
    assert "Traceback" not in errors


async def test_a_file_that_lost_a_state_which_sessions_are_in_is_refused_whole(serve: Any, tmp_path: Path) -> None:
    """With the count, and nothing changed: the old file still goes on with them."""
    server = await (await serve("--port", "0")).ready()
    token = new_token()
    peer = await server.dial()
    await peer.hello(token, create={"team": "wire"}, auth=server.key)
    await peer.state("active")
    server.process.terminate()
    await server.code()
    text = LIFECYCLE.read_text().replace("active", "busy").replace("reconnecting", "away")
    (tmp_path / "other.yaml").write_text(text)
    refused = await serve("--port", "0", "--lifecycle", str(tmp_path / "other.yaml"))
    assert await refused.code() == 1
    errors = await refused.errors()
    assert "(1)" in errors
    assert "Traceback" not in errors
    successor = await (await serve("--port", "0")).ready()
    assert (await (await successor.dial()).hello(token, n=2))["t"] == "welcome"


@pytest.mark.parametrize("request_text", [b"", b"GET /v1/ws HTTP/1.1\r\nHost: loc"])
async def test_whoever_sends_no_request_is_cut(serve: Any, request_text: bytes) -> None:
    """Rule 14: the time to say hello begins with the connection, not with the first request on it."""
    server = await (await serve("--port", "0", STEWARD_HELLO_S="0.3")).ready()
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_text)
    async with asyncio.timeout(ANSWER_S):
        assert await reader.read() == b""
    writer.close()


async def test_two_servers_do_not_share_a_data_directory(serve: Any) -> None:
    """L6: at most one writer; the second is told, and the first is found as before."""
    first = await (await serve("--port", "0")).ready()
    second = await serve("--port", "0")
    assert await second.code() == 1
    errors = await second.errors()
    assert errors.startswith("steward: ")
    assert "Traceback" not in errors
    assert json.loads((first.data / "address").read_text())["url"] == first.url


async def test_logs_for_machines_are_json_and_tell_no_secret(serve: Any) -> None:
    """Rule 15: neither key nor token, and the session where it is known."""
    server = await (await serve("--port", "0", "--log-format", "json", "--log-level", "debug")).ready()
    token = new_token()
    peer = await server.dial()
    welcome = await peer.hello(token, create={"team": "wire"}, auth=server.key)
    await peer.state("active")
    await peer.cmd(1, "trip")
    await peer.res(1)
    server.process.terminate()
    await server.code()
    text = await server.errors()
    lines = [json.loads(line) for line in text.splitlines()]
    assert any(line.get("sid") == welcome["sid"] for line in lines)
    assert all({"ts", "level", "logger", "msg"} <= set(line) for line in lines)
    assert server.key not in text
    assert token not in text


async def test_a_file_of_which_a_leak_is_proved_is_not_served(serve: Any, tmp_path: Path) -> None:
    """C1: before anything runs, with the way to it; what is only a warning goes to the log."""
    file = tmp_path / "leaky.yaml"
    file.write_text(LIFECYCLE.read_text().replace("{leak: [], done", "{done"))
    server = await serve("--port", "0", "--lifecycle", str(file))
    assert await server.code() == 1
    said = await server.errors()
    assert "'terminated' is entered by done while stone may still be held" in said
    assert "created → initializing → terminate → terminating → leak: take_stone acquired stone → done" in said
