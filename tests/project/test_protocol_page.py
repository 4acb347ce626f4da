"""docs/protocol.md: its tables are those of the code, and its dialogue is one that the real server holds."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect

from engine.journal.memory import MemoryJournal
from engine.loader import load_spec
from engine.registry import Registry
from examples.chess import TEAM
from server import frames
from server.app import PARTS, build, stop
from server.codes import REMEDIES
from server.config import HANDLER_MODULES, Settings, load
from server.desk import TOKENS_PER_SESSION_MAX
from server.welcome import COMMANDS_IN_FLIGHT_MAX

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
KEY: Final = "k" * 43
TOKEN: Final = "t" * 43
ANSWER_S: Final = 10.0
ANY: Final = "…"


def cells(heading: str) -> list[list[str]]:
    """The rows of the tables below a heading, without their heads."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("|")]
    rules = [index for index, row in enumerate(rows) if set("".join(row)) <= {"-", " "}]
    heads = {index - 1 for index in rules}
    return [[cell.strip() for cell in row] for index, row in enumerate(rows) if index not in {*rules, *heads}]


def names(text: str) -> set[str]:
    """Fields of a table's cell: `a`, `b?: {inner}` are a and b."""
    return {re.split(r"[?: ]", part)[0] for part in re.findall(r"`([^`]+)`", text)}


def emitted() -> Iterator[tuple[str, set[str]]]:
    """(kind, the fields that stand there) of each event that a shipped handler or team emits by its name."""
    for path in sorted([*(ROOT / "handlers").glob("*.py"), *(ROOT / "examples").rglob("*.py")]):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            match call:
                case ast.Call(func=ast.Attribute(attr="emit"), args=[ast.Constant(value=str(kind)), data]):
                    keys = data.keys if isinstance(data, ast.Dict) else []
                    yield kind, {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def test_every_kind_of_event_is_told_with_its_fields() -> None:
    """A client is written from this page, and cannot guess what a handler says."""
    shown = {kind: names(row[1]) for row in cells("Kinds of event") for kind in re.findall(r"`([a-z.]+)`", row[0])}
    found = list(emitted())
    assert {kind for kind, _ in found} >= {"person.message", "agent.tool", "agent.handoff", "cleanup.report"}
    assert {kind for kind, _ in found} <= set(shown)
    assert [(kind, fields - shown[kind]) for kind, fields in found if fields - shown[kind]] == [
        ("agent.message", {"model"})
    ]
    assert {"session.state", "session.ended", "command.outcome"} <= set(shown)


def test_every_close_is_told_with_what_to_do() -> None:
    shown = {(int(code), name.strip("`"), int(status)) for code, name, status, _ in cells("Closes")}
    assert shown == {(one.close, name, one.status) for name, one in REMEDIES.items()}


def test_what_to_do_follows_from_the_range_of_the_code() -> None:
    """A client needs the range only, so a code in the wrong one would be obeyed wrongly."""
    says = {"40": "dial again", "41": "dial again after `retry_ms`", "43": "final", "44": "final", "45": "final"}
    wrong = [row for row in cells("Closes") if row[3].split(":")[0].split(" for ")[0] != says[row[0][:2]]]
    assert wrong == []
    assert all(REMEDIES[name.strip("`")].retry_ms for _, name, _, advice in cells("Closes") if "retry_ms" in advice)


def test_frames_of_clients_have_the_fields_that_are_parsed() -> None:
    rows = {row[0].strip("`"): names(row[1]) for row in cells("Frames")}
    assert rows["hello"] == set(frames.Hello.model_fields) - {"t"}
    assert rows["cmd"] == set(frames.Cmd.model_fields) - {"t"}


def test_the_limits_are_those_of_the_code() -> None:
    """Their defaults, where an operator may set them."""
    settings, text = Settings.model_construct(), {row[0]: row[1] for row in cells("Limits")}
    number = {name: int(re.sub(r"\D", "", re.split(r" [a-z]", value)[0])) for name, value in text.items()}
    assert number == {
        "a `hello`": frames.HELLO_BYTES_MAX,
        "a `cmd`": frames.COMMAND_BYTES_MAX,
        "any frame to the server": frames.FRAME_BYTES_MAX,
        "any frame from the server": frames.SERVER_FRAME_BYTES_MAX,
        "nesting of a frame": frames.NESTING_MAX,
        "commands": settings.commands_per_s,
        "commands without an answer": COMMANDS_IN_FLIGHT_MAX,
        "from connecting to `hello`": settings.hello_s,
        "an answer over HTTP": settings.answer_s,
        "tokens of one session": TOKENS_PER_SESSION_MAX,
        "control connections of one session": settings.control_max,
        "observers of one session": settings.observe_max,
        "connections without `welcome`": settings.unwelcomed_per_address_max,
    }
    assert f"{settings.commands_burst} in a burst" in text["commands"]
    assert f"{settings.unwelcomed_max:,} in all" in text["connections without `welcome`"]


@pytest.fixture
async def runner(tmp_path: Path) -> Any:
    """The shipped life, handlers and team behind a real socket."""
    registry = Registry.of(*HANDLER_MODULES)
    spec = load_spec(ROOT / "lifecycle.yaml", registry)
    services = {"teams": {"chess": TEAM}, "workspace_root": tmp_path / "workspaces"}
    app = build(load({"data": tmp_path}), spec, registry, MemoryJournal(), key=KEY, services=services)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner
    await stop(runner)


async def test_the_calls_are_those_of_the_server(runner: web.AppRunner) -> None:
    shown = {row[0].strip("`") for row in cells("HTTP beside it")}
    parts = runner.app[PARTS]
    routes = [*parts.http.routes(), *parts.transfers.routes()]
    assert shown == {f"{route.method} {route.path}" for route in routes} - {"GET /"}


def pattern(text: str) -> Any:
    """A frame of the page: … alone is any value."""
    return json.loads(re.sub(rf"(?<=: ){ANY}", f'"{ANY}"', text))


def is_as_shown(shown: dict[str, Any], got: dict[str, Any]) -> bool:
    """Whether a frame has the fields shown and no others; what is in `data` may have more."""
    return set(shown) == set(got) and fits(shown, got)


def fits(shown: Any, got: Any) -> bool:
    if isinstance(shown, dict):
        return isinstance(got, dict) and all(key in got and fits(shown[key], got[key]) for key in shown)
    if isinstance(shown, str) and shown.endswith(ANY):
        return shown == ANY or (isinstance(got, str) and got.startswith(shown[:-1]))
    return bool(shown == got)


class Reader:
    """A client that does what the page shows, and fills in what it leaves open."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._socket: ClientConnection | None = None
        self._got: list[Any] = []  # since the last send
        self.known: dict[str, Any] = {"token": TOKEN, "auth": KEY, "epoch": "", "seq": 0}

    async def send(self, shown: dict[str, Any]) -> None:
        if shown["t"] == "hello":
            await self.close()
            self._socket = await connect(self._url, proxy=None)
        assert self._socket is not None
        self._got.clear()
        await self._socket.send(json.dumps(self._filled(shown)))

    def _filled(self, shown: dict[str, Any]) -> dict[str, Any]:
        return {
            key: self._filled(value) if isinstance(value, dict) else self.known[key] if value == ANY else value
            for key, value in shown.items()
        }

    async def expect(self, shown: dict[str, Any]) -> None:
        """Read until this frame has come. A `res` may overtake events that its command did not cause itself."""
        try:
            async with asyncio.timeout(ANSWER_S):
                while not any(is_as_shown(shown, got) for got in self._got):
                    await self._read()
        except TimeoutError:
            pytest.fail(f"{shown} did not come; what came: {self._got}")

    async def _read(self) -> None:
        assert self._socket is not None
        got = json.loads(await self._socket.recv())
        self.known |= {key: got[key] for key in ("epoch", "seq") if key in got and got["t"] != "res"}
        self._got.append(got)

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()


@pytest.mark.e2e
async def test_the_dialogue_is_one_that_the_server_holds(runner: web.AppRunner) -> None:
    """Every frame shown comes before the client goes on."""
    reader = Reader(f"ws://127.0.0.1:{runner.addresses[0][1]}/v1/ws")
    section = PAGE.split("## A dialogue\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line[:1] in ("→", "←")]
    assert len(lines) > 10
    for line in lines:
        await (reader.send if line[0] == "→" else reader.expect)(pattern(line[1:]))
    await reader.close()


@pytest.mark.e2e
async def test_the_python_program_plays_its_match(runner: web.AppRunner) -> None:
    """Whoever begins with it sees its moves answered, and it ends."""
    shown = re.search(r"```python\n(.*?)```", PAGE, re.S)
    assert shown is not None
    text = shown[1].replace("http://127.0.0.1:8080", f"http://127.0.0.1:{runner.addresses[0][1]}")
    names: dict[str, Any] = {}
    exec(f"async def program(key):\n{textwrap.indent(text, '    ')}    return event, reply", names)
    async with asyncio.timeout(ANSWER_S):
        event, reply = await names["program"](KEY)
    assert (event["kind"], reply.ok) == ("session.ended", True)
