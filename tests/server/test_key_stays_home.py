"""The key of a data directory goes to the server that runs there, or to this machine, and nowhere else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from server.cli import steward
from server.cli_options import server_of
from server.config import load
from server.dialling import Dialler, Stopped, http_session
from server.remote import RemoteError, fetch

KEY = "k" * 43
HERE = "http://127.0.0.1:8080"
ELSEWHERE = "https://steward.example"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with a key, and with the address of its server."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".steward"
    folder.mkdir(mode=0o700)
    (folder / "key").touch(0o600)
    (folder / "key").write_text(KEY + "\n")
    return folder


def recorded(data: Path, url: str) -> None:
    (data / "address").write_text(json.dumps({"url": url, "pid": 1}))


def run(*args: str, **environment: str) -> Result:
    return CliRunner().invoke(steward, args, prog_name="steward", env=environment)


@pytest.mark.parametrize("url", [None, HERE, "http://localhost:9000", "http://[::1]:9000/", "http://127.8.0.1"])
def test_this_machine_gets_it(url: str | None) -> None:
    assert server_of(load(), url, None) == (url or HERE, KEY)


def test_the_address_that_the_server_wrote_down_gets_it(data: Path) -> None:
    """Also one that is no loopback address: only our own server writes there."""
    recorded(data, "http://192.0.2.7:8080")
    assert server_of(load(), None, None) == ("http://192.0.2.7:8080", KEY)
    assert server_of(load(), "http://192.0.2.7:8080/", None)[1] == KEY


@pytest.mark.parametrize(
    "url",
    [ELSEWHERE, "http://192.0.2.7:8081", "http://localhost.example", "http://127.0.0.1@example.com", "http://127.1.ex"],
)
def test_another_address_gets_none_until_one_is_given(data: Path, url: str) -> None:
    """What nearly looks like this machine is not."""
    recorded(data, "http://192.0.2.7:8080")
    for command in (["sessions"], ["log", "s.x"], ["play"]):
        result = run(*command, "--url", url)
        assert result.exit_code == 2, result.output
        assert all(text in result.output for text in ("is not sent there", "STEWARD_KEY", "--key"))
    assert server_of(load(), url, "mine") == (url, "mine")
    assert server_of(load(), url, None, needs_key=False) == (url, None)


class Turnstile(BaseHTTPRequestHandler):
    """Sends everybody to /elsewhere, and writes down who came there with which credentials."""

    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        type(self).seen.append((self.path, self.headers["Authorization"]))
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/elsewhere")
        self.end_headers()

    def log_message(self, *given: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def turnstile() -> Iterator[str]:
    Turnstile.seen = []
    server = HTTPServer(("127.0.0.1", 0), Turnstile)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_environment_has_a_place_for_it(turnstile: str) -> None:
    """On a command line everybody on the machine could read it; and the variable is no misspelt setting."""
    result = run("sessions", "--url", turnstile, STEWARD_KEY="from-the-environment")
    assert result.exit_code == 1
    assert Turnstile.seen == [("/v1/sessions", "Bearer from-the-environment")]


def test_no_redirect_takes_it_along(turnstile: str) -> None:
    """Python's own client would send the header to wherever it is sent."""
    with pytest.raises(RemoteError, match="302"):
        fetch(turnstile, KEY, "/v1/sessions")
    assert Turnstile.seen == [("/v1/sessions", f"Bearer {KEY}")]


def test_no_proxy_of_the_environment_gets_it(turnstile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would see the key of this machine's own server."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(RemoteError, match="302"):
        fetch(turnstile, KEY, "/v1/sessions")


async def test_no_redirect_takes_a_hello_along(turnstile: str) -> None:
    """A hello has the key in it, so it waits for the server that was named."""
    async with http_session() as http:
        client = Dialler(http, turnstile, {"team": "chess"}, KEY)
        with pytest.raises(Stopped, match="another address"):
            await asyncio.wait_for(anext(client.frames()), 10)
    assert Turnstile.seen == [("/v1/ws", None)]
