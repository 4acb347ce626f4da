"""What docs/protocol.md and docs/operating.md say in tables about frames, closes, limits and settings, made from the
code that parses and sends them.

`python -m server.reference --write` renews them; `--check` only says whether they are out of date (exit code 1).
The prose around the generated blocks is written by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from engine.language.reference import table

from . import settings_table
from .codes import REMEDIES
from .config import Settings
from .descriptions import SERVED
from .desk import TOKENS_PER_SESSION_MAX
from .frames import (
    COMMAND_BYTES_MAX,
    FRAME_BYTES_MAX,
    HELLO_BYTES_MAX,
    NESTING_MAX,
    NUMBER_MAX,
    SERVER_FRAME_BYTES_MAX,
    Cmd,
    Frame,
    Hello,
)
from .problems import OUTCOME_STATUS
from .welcome import COMMANDS_IN_FLIGHT_MAX

DOCS: Final = Path(__file__).parent.parent / "docs"
CLIENT_FRAMES: Final[Mapping[str, type[Frame]]] = MappingProxyType({"hello": Hello, "cmd": Cmd})
_BLOCK: Final = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TEXTS: Final[Mapping[str, str]] = {
    "hello": "the first frame, once: a right to a session (`token`), or to make one (`create` and `auth`)",
    "cmd": "an event for an actor: for the session itself, or for `to`, as `/main/arbiter`; `ttl_ms` says how long it "
    "may still be begun",
}
# What a client does follows from the range of the code alone.
_RANGES: Final[Mapping[int, str]] = {
    40: "dial again",
    41: "dial again after `retry_ms`",
    43: "final: bring a valid token or credentials",
    44: "final: a bug, do not repeat",
}


def _client_frames() -> str:
    rows = ((f"`{name}`", ", ".join(_fields(model)), _TEXTS[name]) for name, model in CLIENT_FRAMES.items())
    return table(("client → server", "fields", ""), rows)


def _fields(model: type[Frame]) -> Iterator[str]:
    """`name`, with ? if it may be left out, and what it holds if that is an object or one of a few words."""
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        if name == "t":
            continue
        form = _plain(schema["properties"][name], schema)
        inner = ""
        if "properties" in form:
            inner = ": {" + ", ".join(_key(key, form) for key in form["properties"]) + "}"
        elif "enum" in form:
            inner = ": " + " | ".join(form["enum"])
        yield f"`{name}{'' if field.is_required() else '?'}{inner}`"


def _key(name: str, form: dict[str, Any]) -> str:
    return name if name in form.get("required", ()) else f"{name}?"


def _plain(form: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without the `or null` of what may be left out, and with what it refers to."""
    form = next((one for one in form.get("anyOf", ()) if one.get("type") != "null"), form)
    return dict(schema["$defs"][form["$ref"].rsplit("/", 1)[-1]]) if "$ref" in form else form


def _client_fields() -> str:
    rows = []
    for frame, model in CLIENT_FRAMES.items():
        schema = model.model_json_schema()
        for name in model.model_fields:
            if name != "t":
                form = _plain(schema["properties"][name], schema)
                rows.append((f"`{frame}`", f"`{name}`", _form(form, schema), _default(schema["properties"][name])))
    return table(("frame", "field", "form", "left out"), rows)


def _form(form: dict[str, Any], schema: dict[str, Any]) -> str:
    if "properties" in form:
        inner = form["properties"].items()
        return "; ".join(f"`{_key(name, form)}`: {_form(_plain(one, schema), schema)}" for name, one in inner)
    if "enum" in form:
        return " or ".join(f"`{one}`" for one in form["enum"])
    texts = {"string": "text", "integer": "whole number", "object": "JSON object"}
    bounds = [
        f"{word} {form[key]:,}" for key, word in (("minimum", "from"), ("maximum", "to")) if form.get(key) is not None
    ]
    pattern = f"`{form['pattern']}`" if "pattern" in form else ""
    length = f"at most {form['maxLength']:,} characters" if "maxLength" in form else ""
    text = " ".join([texts[form["type"]], *bounds]).replace(f"{NUMBER_MAX:,}", "2^53 - 1")
    return ", ".join(one for one in (text, pattern, length) if one)


def _default(field: dict[str, Any]) -> str:
    if "default" in field:
        return "nothing" if field["default"] is None else f"`{field['default']}`"
    return "`{}`" if field.get("type") == "object" else "not allowed"


def _closes() -> str:
    rows = (
        (str(one.close), f"`{name}`", str(one.status), _RANGES.get(one.close // 100, f"final: {one.title}"))
        for name, one in sorted(REMEDIES.items(), key=lambda item: item[1].close)
    )
    return table(("code", "name", "HTTP", "what to do"), rows)


def _statuses() -> str:
    return table(
        ("code", "HTTP"), [*((f"`{code}`", str(one)) for code, one in OUTCOME_STATUS.items()), ("others", "409")]
    )


def _limits() -> str:
    one = Settings.model_construct()
    rows = (
        ("a `hello`", f"{HELLO_BYTES_MAX:,} bytes"),
        ("a `cmd`", f"{COMMAND_BYTES_MAX:,} bytes"),
        ("any frame to the server", f"{FRAME_BYTES_MAX:,} bytes"),
        (
            "any frame from the server",
            f"{SERVER_FRAME_BYTES_MAX:,} bytes; larger `data` becomes `{{truncated: true, href}}`, a page of the log",
        ),
        ("nesting of a frame", str(NESTING_MAX)),
        (
            "commands",
            f"{one.commands_per_s:g} in a second, {one.commands_burst} in a burst; above it they wait, over HTTP 429",
        ),
        ("commands without an answer", str(COMMANDS_IN_FLIGHT_MAX)),
        ("from connecting to `hello`", f"{one.hello_s:g} s"),
        ("an answer over HTTP", f"{one.answer_s:g} s; then `store_unavailable`, and what was begun goes on"),
        ("tokens of one session", str(TOKENS_PER_SESSION_MAX)),
        ("control connections of one session", str(one.control_max)),
        ("observers of one session", str(one.observe_max)),
        (
            "connections without `welcome`",
            f"{one.unwelcomed_per_address_max} an address, {one.unwelcomed_max:,} in all",
        ),
    )
    return table(("limit", "at most"), rows)


PAGES: Final = (DOCS / "protocol.md", DOCS / "operating.md")
BLOCKS: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "client-frames": _client_frames,
        "client-fields": _client_fields,
        "api-keys": settings_table.api_keys,
        "closes": _closes,
        "jwt": settings_table.jwt,
        "limits": _limits,
        "settings": settings_table.settings,
        "statuses": _statuses,
    }
)


def renewed(text: str) -> str:
    """A page with every generated block as the code has it now. Raises KeyError for an unknown block."""
    return _BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found['name']]()}\n{found[3]}", text)


def described() -> dict[Path, str]:
    """The descriptions for machines, as files that are read without a server."""
    return {DOCS / "api" / name: json.dumps(made(), indent=1) + "\n" for name, made in SERVED.items()}


def blocks_in(text: str) -> set[str]:
    return {found["name"] for found in _BLOCK.finditer(text)}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m server.reference", description="Protocol tables from the code.")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", action="store_true", help="renew what is out of date")
    choice.add_argument("--check", action="store_true", help="exit 1 if anything is out of date")
    options = parser.parse_args(arguments)
    wanted = {**{path: renewed(path.read_text("utf-8")) for path in PAGES}, **described()}
    found = {path: text for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in found.items():
        if options.write:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{'renewed' if options.write else 'out of date'}: {path}\n")
    return 1 if found and options.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
