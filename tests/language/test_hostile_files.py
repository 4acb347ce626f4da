"""Files that would crash, stall or deceive a YAML reader are refused with a place and a code."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import loader
from engine.errors import Diagnostic, SpecError
from engine.loader import load_spec, parse_spec
from engine.registry import Registry

EMPTY = Registry()
VALID = (Path(__file__).parent / "files" / "valid.yaml").read_bytes()


def refusal(text: bytes) -> Diagnostic:
    """The last diagnostic of a file that cannot be read."""
    with pytest.raises(SpecError) as caught:
        parse_spec(text, EMPTY)
    assert not caught.value.is_readable
    return caught.value.diagnostics[-1]


def laughs(levels: int) -> bytes:
    """Nine aliases to nine aliases and so on: a few lines that stand for 9**levels nodes."""
    lines = ["a0: &a0 [" + ", ".join(["lol"] * 9) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, levels)]
    return "\n".join(lines).encode()


HOSTILE = {
    "over 1 MiB": (b"#" * (1024 * 1024 + 1), "1:1", "too-large"),
    "not UTF-8": (b"name: a\nlabel: \xff\xfe", "2:8", "not-utf8"),
    "UTF-16": ("lifecycle: 1".encode("utf-16"), "1:1", "not-utf8"),
    "NUL": (b"name: a\nlabel: b\0c", "2:9", "bad-character"),
    "NUL by escape": (b'name: "a\\0b"', "1:7", "bad-character"),
    "half a surrogate pair": (b'name: "\\ud800"', "1:7", "bad-character"),
    "a control character": (b"name: a\nlabel: \x07", "2:8", "bad-character"),
    "a character beyond Unicode": (b'name: "\\UFFFFFFFF"', "1:10", "yaml-syntax"),
    "an endless version": (b"%YAML 1." + b"1" * 5000 + b"\n---\na: b", "1:9", "yaml-syntax"),
    "bad YAML": (b"name: [a, b", "1:12", "yaml-syntax"),
    "a tab": (b"a:\n\tb: c", "2:1", "yaml-syntax"),
    "nothing": (b"", "1:1", "yaml-syntax"),
    "a comment alone": (b"# later", "1:1", "yaml-syntax"),
    "two documents": (b"name: a\n---\nname: b", "2:1", "several-documents"),
    "nesting as lists": (b"[" * 51, "1:51", "too-deep"),
    "nesting as mappings": (b"{a: " * 51, "1:201", "too-deep"),
    "nesting that crashes C parsers": (b"[" * 1_000_000, "1:51", "too-deep"),
    "nesting by aliases": (
        b"a: &a " + b"[" * 30 + b"]" * 30 + b"\nb: " + b"[" * 30 + b"*a" + b"]" * 30,
        "2:34",
        "too-deep",
    ),
    "too many nodes": (b"[" + b"a," * 50_000 + b"]", "1:100000", "too-many-nodes"),
    "billion laughs": (laughs(9), "5:35", "too-many-nodes"),
    "too many aliases": (b"a: &a b\nc: [" + b"*a," * 1001 + b"]", "2:3005", "too-many-aliases"),
    "an alias to an ancestor": (b"a: &a\n  b: [*a]", "2:7", "alias-cycle"),
    "an alias to nothing": (b"a: *b", "1:4", "unknown-alias"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_its_place(name: str) -> None:
    """Whoever may write lifecycle.yaml must not be able to crash the process that checks it."""
    text, place, code = HOSTILE[name]
    found = refusal(text)
    assert (f"{found.line}:{found.column}", found.code) == (place, code)


def test_aliases_are_followed_as_far_as_they_are_bounded(registry: Registry) -> None:
    """The bound is on what aliases stand for, so ordinary ones stay usable."""
    spec = parse_spec(VALID, registry)
    packed = spec.machines["order"].states["packed"]
    assert packed.transitions["unhealthy"] == packed.transitions["child_ended"]


def test_a_file_that_is_not_there_is_not_readable(tmp_path: Path) -> None:
    """A wrong path and a wrong file have different exit codes."""
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "lifecycle.yaml", EMPTY)
    assert not caught.value.is_readable
    assert [item.code for item in caught.value.diagnostics] == ["missing-file"]


def test_a_file_without_end_is_read_up_to_its_limit() -> None:
    """A device or a pipe given as the file must not fill the memory."""
    with pytest.raises(SpecError) as caught:
        load_spec(Path("/dev/zero"), EMPTY)
    assert [item.code for item in caught.value.diagnostics] == ["too-large"]


def test_load_and_parse_give_the_same(registry: Registry) -> None:
    """There is one reading of a file, wherever its text comes from."""
    path = Path(__file__).parent / "files" / "valid.yaml"
    assert load_spec(path, registry) == parse_spec(VALID, registry)


def test_the_limits_are_those_of_the_language() -> None:
    """They are documented; changing one changes which files can be read."""
    limits = (loader.FILE_BYTES_MAX, loader.NESTING_MAX, loader.NODES_MAX, loader.ALIASES_MAX)
    assert limits == (1_048_576, 50, 50_000, 1_000)


@given(text=st.binary(max_size=200))
def test_any_bytes_give_a_spec_or_a_spec_error(text: bytes) -> None:
    """Anything else would be a bug of ours shown to an author."""
    parsed_or_refused(text, EMPTY)


YAML_BITS = st.sampled_from(
    [
        *("{", "}", "[", "]", ":", ": ", "- ", "\n", "  ", "&a ", "*a", "!x ", "<<", "?", ",", "#", "|", ">", "'", '"'),
        *("null", "~", "yes", "1:30", "0x1f", "2026-01-02", "=", "%", "@", "`", "---", "...", "-1", "1e9"),
        *("\t", "\ufeff", "\x85", "\u2028", "é"),
    ]
)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_mutation_of_a_valid_file_gives_a_spec_or_a_spec_error(data: st.DataObject, registry: Registry) -> None:
    """A file being edited is wrong most of the time, in every way there is."""
    text = VALID.decode()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 30)))
        text = text[:start] + data.draw(YAML_BITS | st.text(max_size=3)) + text[end:]
    parsed_or_refused(text.encode("utf-8", "surrogatepass"), registry)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_value_swapped_for_another_gives_a_spec_or_a_spec_error(data: st.DataObject, registry: Registry) -> None:
    """Well-formed nonsense gets past the parser and must be met further inside."""
    words = VALID.decode().split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        index, other = data.draw(st.tuples(*[st.integers(0, len(words) - 1)] * 2))
        words[index] = data.draw(st.sampled_from([words[other], "[]", "{}", "[[a]]", "{a: {b: c}}", "''", "~", "1.5"]))
    parsed_or_refused(" ".join(words).encode(), registry)


def parsed_or_refused(text: bytes, registry: Registry) -> None:
    try:
        parse_spec(text, registry)
    except SpecError as error:
        refused = error
    else:
        return
    places = [(item.line, item.column) for item in refused.diagnostics]
    assert places == sorted(places)
    assert all(line >= 1 and column >= 1 for line, column in places)
    assert places
