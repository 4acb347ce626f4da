"""The playground's files and questions over HTTP: what a browser is told, and that nothing else gets out."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest

from server.pages import POLICY, read_files
from tests.server.conftest import Wire

STATIC = Path(__file__).parents[2] / "server" / "static"


async def test_the_page_comes_with_its_policy(wire: Wire) -> None:
    """No script but our own files, no frame around it, nothing from elsewhere, and a browser asks before it reuses."""
    async with wire.http.get(wire.url + "/") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-cache"
    assert "unsafe-inline" not in POLICY
    assert "'unsafe-eval'" not in POLICY


async def test_a_file_that_is_known_is_not_sent_again(wire: Wire) -> None:
    """A page that is opened every day costs one short answer a file."""
    async with wire.http.get(wire.url + "/static/app.js") as first:
        assert (first.status, first.content_type) == (200, "text/javascript")
        etag = first.headers["ETag"]
    async with wire.http.get(wire.url + "/static/app.js", headers={"If-None-Match": etag}) as again:
        assert (again.status, await again.read()) == (304, b"")
        assert again.headers["ETag"] == etag
    async with wire.http.get(wire.url + "/static/app.js", headers={"If-None-Match": '"other"'}) as changed:
        assert changed.status == 200


async def test_vendored_files_are_kept_for_ever(wire: Wire) -> None:
    """Their folder has the version in its name, so what is under one address never changes."""
    name = next(name for name in read_files(STATIC) if name.endswith("/index.js"))
    async with wire.http.get(f"{wire.url}/static/{name}") as answer:
        assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../pages.py",
        "/static/..%2fpages.py",
        "/static/%2e%2e/pages.py",
        "/static/vendor/../../pages.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/",
        "/static/vendor",
        "/static/nothing.js",
    ],
)
async def test_no_path_leads_out_of_the_folder(wire: Wire, path: str) -> None:
    """Sent as it stands: clients tidy such paths up before they send them."""
    with socket.create_connection(("127.0.0.1", wire.port)) as raw:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{wire.port}\r\nConnection: close\r\n\r\n"
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(raw, request.encode())
        status = (await loop.sock_recv(raw, 64)).split(b" ")[1]
    assert status in (b"400", b"404")


def test_every_file_of_the_page_refers_to_files_that_are_there() -> None:
    """There is no build step that would find a wrong name."""
    files = read_files(STATIC)
    for name, file in files.items():
        if name.startswith("vendor/") or not name.endswith((".js", ".html")):
            continue
        text = file.body.decode()
        wanted = re.findall(r'from "\./([^"]+)"', text) + re.findall(r'(?:src|href)="/static/([^"]+)"', text)
        assert set(wanted) <= set(files), name


def test_text_never_becomes_markup() -> None:
    """What agents and people say reaches the page as text: nothing in it parses text as HTML."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\son\w+=|style=\""
    )
    for name, file in read_files(STATIC).items():
        if not name.startswith("vendor/") and name.endswith((".js", ".html")):
            assert not forbidden.search(file.body.decode()), name


async def test_the_teams_tell_their_options(wire: Wire) -> None:
    status, found = await wire.call("GET", "/v1/teams")
    assert (status, found["teams"], found["allow_breaking"]) == (200, [], False)


async def test_each_machine_is_told_as_dot(wire: Wire) -> None:
    async with wire.http.get(wire.url + "/v1/lifecycle/diagram.dot?machine=session") as answer:
        assert answer.status == 200
        assert (await answer.text()).lstrip().startswith(("digraph", "//"))
    status, problem = await wire.call("GET", "/v1/lifecycle/diagram.dot?machine=nobody")
    assert (status, problem["code"]) == (400, "bad_frame")
    assert "session" in problem["detail"]
