"""Descriptions for machines say what the server does. conftest.py holds every frame and every answer of the other
tests against them; here they are held against the routes, the parser and their own rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server import description, frames
from server.app import build
from server.config import load
from server.descriptions import SERVED
from server.frames import BadFrame
from tests.server.conftest import FILES, Wire, registry

API = Path(__file__).parents[2] / "docs" / "api"
PAGES = {"/", "/static/{name}"}  # for browsers, not for programs
CLIENT = jsonschema.Draft202012Validator({**description.frames_schema(), "oneOf": [{"$ref": "#/$defs/client"}]})


def references(plain: Any) -> Iterator[str]:
    if isinstance(plain, dict):
        if isinstance(plain.get("$ref"), str):
            yield plain["$ref"]
        for value in plain.values():
            yield from references(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from references(value)


def at(whole: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        whole = whole[part.replace("~1", "/").replace("~0", "~")]
    return whole


@pytest.mark.parametrize("name", SERVED)
def test_every_reference_leads_somewhere(name: str) -> None:
    whole = SERVED[name]()
    assert [one for one in references(whole) if at(whole, one) is None] == []


def test_the_frames_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(description.frames_schema())


async def test_every_call_is_described_and_no_other(tmp_path: Path) -> None:
    """A route that is added without its description would be found by nobody's generator."""
    from engine.journal.memory import MemoryJournal
    from engine.loader import load_spec

    spec = load_spec(FILES / "wire.yaml", registry())
    app = build(load({"data": tmp_path}, file=None), spec, registry(), MemoryJournal(), key="k" * 43)
    served = {
        (route.method, resource.canonical)
        for resource in app.router.resources()
        for route in resource
        if route.method != "HEAD" and resource.canonical not in PAGES
    }
    named = {("GET", f"/v1/{name}") for name in SERVED}
    assert {*served - {("GET", "/v1/{name}")}, *named} == set(description.OPERATIONS)


@pytest.mark.parametrize("name", SERVED)
async def test_descriptions_are_served_as_they_are_checked_in(wire: Wire, name: str) -> None:
    async with wire.http.get(f"{wire.url}/v1/{name}") as answer:
        assert answer.status == 200
        assert await answer.json() == json.loads((API / name).read_text())


scalars = st.none() | st.booleans() | st.integers(-2, 2**53) | st.text(max_size=8) | st.just("x" * 43)
values = scalars | st.dictionaries(st.text(max_size=4), scalars, max_size=2) | st.lists(scalars, max_size=2)
hellos = st.fixed_dictionaries(
    {"t": st.just("hello"), "token": st.just("x" * 43) | values},
    optional={
        "cid": st.just("tab-1") | values,
        "n": st.integers(0, 3) | values,
        "cur": st.fixed_dictionaries({"epoch": st.text(max_size=3), "seq": st.integers(-1, 3)}) | values,
        "auth": values,
        "role": st.sampled_from(["control", "observe", "admin"]),
        "more": values,
    },
)
commands = st.fixed_dictionaries(
    {"t": st.just("cmd"), "c": st.integers(0, 3) | values, "name": st.sampled_from(["say", "", "1a"]) | values},
    optional={
        "args": st.dictionaries(st.text(max_size=3), scalars, max_size=2) | values,
        "to": st.sampled_from(["/", "/main", "main"]) | values,
        "ttl_ms": st.integers(-1, 5) | values,
    },
)


@settings(deadline=None)
@given(hellos | commands | st.fixed_dictionaries({"t": values}))
def test_the_schema_takes_what_the_server_takes(frame: dict[str, Any]) -> None:
    """Who checks frames against the schema before sending them sends none that is refused, and holds none back."""
    try:
        frames.parse(json.dumps(frame).encode())
        is_taken = True
    except BadFrame:
        is_taken = False
    assert CLIENT.is_valid(frame) is is_taken


def test_one_mistake_is_seen() -> None:
    """The hook in conftest.py fails where a frame has more than is described."""
    from tests.server.conftest import described

    good = {"t": "ping", "head": 1}
    assert described(good) == good
    with pytest.raises(AssertionError):
        described({**good, "tail": 1})
    with pytest.raises(ValueError, match="head"):
        described({"t": "ping"})
