"""Payload types: what a message may carry is what the file says, no more and no less."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.codec import decode, encode
from engine.errors import ArgumentError
from engine.language.payload import compile_payload

FITS = [
    ("str", "", ""),
    ("str", "é", "é"),
    ("int", 0, 0),
    ("int", -(2**63), -(2**63)),
    ("float", 1.5, 1.5),
    ("float", 3, 3.0),
    ("bool", False, False),
    ("json", None, None),
    ("json", {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
    ("[int]", [], []),
    ("[float]", [1, 2.5], [1.0, 2.5]),
    ("[str | None]", ["a", None], ["a", None]),
    ("[[int]]", [[1], []], [[1], []]),
    ("str | None", None, None),
    ("[str] | None", None, None),
    (" [ str|None ]|None ", ["a", None], ["a", None]),
]
FITS_NOT = [
    ("str", 1),
    ("str", None),
    ("str", "\ud800"),
    ("int", True),
    ("int", 1.0),
    ("int", "1"),
    ("int", 2**63),
    ("float", "1"),
    ("float", True),
    ("float", float("nan")),
    ("float", float("inf")),
    ("bool", 0),
    ("bool", "true"),
    ("json", float("nan")),
    ("json", {1: 2}),
    ("json", {"a": {1, 2}}),
    ("json", 2**70),
    ("[int]", 1),
    ("[int]", [1, "2"]),
    ("[int]", {"0": 1}),
    ("[int | None]", None),
    ("[int] | None", [None]),
]
NO_TYPES = [
    "",
    "string",
    "None",
    "None | str",
    "str |",
    "| None",
    "[str",
    "str]",
    "[]",
    "[str, int]",
    "str | int",
    "a" * 99,
]


@pytest.mark.parametrize("type_text, given, kept", FITS)
def test_a_value_of_the_type_is_kept(type_text: str, given: Any, kept: Any) -> None:
    """Handlers rely on the exact type: 3 in a float field is 3.0 for all of them."""
    checked = compile_payload({"field": type_text}).check({"field": given})
    assert checked == {"field": kept}
    assert type(checked["field"]) is type(kept)


@pytest.mark.parametrize("type_text, given", FITS_NOT)
def test_a_value_of_another_type_is_refused_by_its_field(type_text: str, given: Any) -> None:
    """The client is told which field to mend."""
    with pytest.raises(ArgumentError) as caught:
        compile_payload({"field": type_text}).check({"field": given})
    assert [name for name, _ in caught.value.problems] == ["field"]


@pytest.mark.parametrize("type_text", NO_TYPES)
def test_what_is_no_type_is_refused_when_the_file_is_loaded(type_text: str) -> None:
    """A type that is only looked at when a message comes would fail in front of a user."""
    with pytest.raises(ArgumentError) as caught:
        compile_payload({"field": type_text, "fine": "str"})
    assert [name for name, _ in caught.value.problems] == ["field"]


def test_a_type_nests_only_so_deep() -> None:
    """Types come from a file; its reader must not run out of stack."""
    with pytest.raises(ArgumentError):
        compile_payload({"field": "[" * 5000 + "str" + "]" * 5000})


def test_every_problem_of_a_payload_is_named_at_once() -> None:
    """A client mends its message in one go."""
    payload_type = compile_payload({"uci": "str", "ply": "int", "note": "str | None"})
    with pytest.raises(ArgumentError) as caught:
        payload_type.check({"ply": "4", "nte": "hi"})
    assert caught.value.problems == (
        ("nte", "is not a field of this event (it has: uci, ply, note)"),
        ("uci", "is missing; it must be str"),
        ("ply", "must be an integer, not text"),
    )


def test_what_may_be_left_out_is_there_as_none() -> None:
    """A handler asks payload["note"] without asking first whether it came."""
    assert compile_payload({"note": "str | None"}).check({}) == {"note": None}


def test_an_event_without_payload_takes_nothing() -> None:
    """A field nobody declared is a client's mistake, not a secret door to handlers."""
    with pytest.raises(ArgumentError):
        compile_payload({}).check({"a": 1})
    assert compile_payload({}).check({}) == {}


@pytest.mark.parametrize("payload", [None, [], "a", 1])
def test_a_payload_is_an_object(payload: Any) -> None:
    """The wire can carry anything; fields have names."""
    with pytest.raises(ArgumentError):
        compile_payload({}).check(payload)


def test_json_that_nests_too_deep_is_refused() -> None:
    """The log's encoder has a limit, and a commit is no place to meet it."""
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ArgumentError):
        compile_payload({"field": "json"}).check({"field": deep})


def test_json_is_copied() -> None:
    """What a sender changes afterwards must not change what was checked."""
    given: dict[str, Any] = {"a": [1]}
    checked = compile_payload({"field": "json"}).check({"field": given})
    given["a"].append(2)
    assert checked == {"field": {"a": [1]}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON, type_text=st.sampled_from(["str", "int", "float", "bool", "json", "[json]", "[int | None] | None"]))
def test_whatever_passes_survives_the_log(value: Any, type_text: str) -> None:
    """A value the log cannot give back would make a restart differ from the run before it."""
    try:
        checked = compile_payload({"field": type_text}).check({"field": value})
    except ArgumentError:
        return
    assert decode(encode(checked)) == checked
    assert compile_payload({"field": type_text}).check(checked) == checked
