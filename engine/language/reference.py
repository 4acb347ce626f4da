"""What docs/language.md and docs/check.md say in tables, made from the code, and the JSON Schema beside them.

`python -m engine.language.reference --write` renews all; `--check` only says which are out of date (exit code 1).
The prose around the generated blocks is written by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from .. import loader, units
from ..proofs.explain import EXPLANATIONS
from ..spec import BUILT_IN_RESOURCES, CONDITIONS, ENGINE_EVENTS, OWN_EVENTS, SENDERS, STEP_TIMEOUT_S
from . import forms, payload
from .builtins import BUILT_IN
from .diagnostics import CODES
from .forms import Form
from .schema import SCHEMA_FILE, schema_text

DOCS_FILE: Final = Path(__file__).parents[2] / "docs" / "language.md"
CHECK_FILE: Final = DOCS_FILE.with_name("check.md")
_BLOCK: Final = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

SENDER_TEXTS: Final[Mapping[str, str]] = {
    "client": "a connection of the session's user",
    "admin": "an operator",
    "parent": "the actor that started this one",
    "child": "an actor that this one started",
}
EVENT_TEXTS: Final[Mapping[str, str]] = {
    "done": "`run` has ended; carries its result",
    "failed": "`run`, or a `do` for an event of the actor itself, has failed; carries the error",
    "child_ended": "a child is at its end, asked for or not; carries id, kind, state and report",
    "restored": "the process was started again, or the session comes back into memory; once, parents first, before "
    "events from outside",
    "reloaded": "another version of this file applies from here on",
    "connected": "a client is attached",
    "last_connection_lost": "no client is attached any more",
    "unhealthy": "the checks of `health` were ill often enough",
    "limit_exceeded": "more is held than `limits` allows",
    "stop": "the parent wants this actor to end",
}
RESOURCE_TEXTS: Final[Mapping[str, str]] = {
    "children": "actors this one started: `stop` to all at once, then their ends are awaited",
    "processes": "child processes, each in its own process group",
    "tasks": "tasks a handler spawned",
    "files": "files a handler opened",
}
_UNIT_TEXTS: Final[Mapping[str, str]] = {
    "ms": "milliseconds",
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
}


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _keys() -> str:
    return "\n\n".join(f"**{form.noun.capitalize()}**: {form.text}.\n\n{_form(form)}" for form in forms.FORMS)


def _form(form: Form) -> str:
    rows = ((f"`{key.name}`" + (" (needed)" if key.is_required else ""), key.text) for key in form.keys)
    return table(("key", "meaning"), rows)


def _texts(head: str, names: Iterable[str], texts: Mapping[str, str]) -> str:
    return table((head, "meaning"), ((f"`{name}`", texts[name]) for name in names))


def _built_in() -> str:
    return table(
        ("name", "role", "arguments", "meaning"),
        (
            (f"`{name}`", role, ", ".join(f"`{field}`" for field in model.model_fields) or "none", _sentence(model))
            for (role, name), model in BUILT_IN.items()
        ),
    )


def _sentence(model: type[object]) -> str:
    return " ".join((model.__doc__ or "").split())


def _units() -> str:
    durations = [(f"`{unit}`", _UNIT_TEXTS[unit]) for unit in units.SECONDS]
    sizes = [(f"`{unit}`", f"{count:,} bytes" if count > 1 else "bytes") for unit, count in units.BYTES.items()]
    return table(("unit", "meaning"), [*durations, *sizes])


def _limits() -> str:
    rows = (
        ("size of the file", f"{loader.FILE_BYTES_MAX:,} bytes"),
        ("nesting, aliases written out", str(loader.NESTING_MAX)),
        ("nodes, aliases written out", f"{loader.NODES_MAX:,}"),
        ("aliases", f"{loader.ALIASES_MAX:,}"),
        ("nesting of a payload type", str(payload.TYPE_NESTING_MAX)),
        ("nesting of a `json` value", str(payload.JSON_NESTING_MAX)),
        ("time of a step without `timeout`, outside `run`", units.show_duration(STEP_TIMEOUT_S)),
    )
    return table(("limit", "at most"), rows)


def _proofs() -> str:
    """A heading, the line of the table and the whole text of each code."""
    return "\n\n".join(
        f"### `{code}`\n\n{'Warning' if one.is_warning else 'Problem'}: {one.short}.\n\n{one.text}"
        for code, one in EXPLANATIONS.items()
    )


BLOCKS: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "keys": _keys,
        "senders": lambda: _texts("sender", SENDERS, SENDER_TEXTS),
        "own-events": lambda: _texts("event", (*OWN_EVENTS, "stop"), EVENT_TEXTS),
        "conditions": lambda: _texts("condition", CONDITIONS, EVENT_TEXTS),
        "resources": lambda: _texts("kind", BUILT_IN_RESOURCES, RESOURCE_TEXTS),
        "built-in": _built_in,
        "units": _units,
        "limits": _limits,
        "proofs": _proofs,
        "codes": lambda: table(("code", "what is wrong"), ((f"`{code}`", text) for code, text in CODES.items())),
    }
)


def renewed(text: str) -> str:
    """A page with every generated block as the code has it now. Raises KeyError for an unknown block."""
    return _BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found['name']]()}\n{found[3]}", text)


def blocks_in(text: str) -> set[str]:
    return {found["name"] for found in _BLOCK.finditer(text)}


def outdated() -> dict[Path, str]:
    """Generated files that differ from what the code says, with the text they should have."""
    assert set(EVENT_TEXTS) == set(ENGINE_EVENTS), "every event of the engine has its sentence"
    pages = {path: renewed(path.read_text(encoding="utf-8")) for path in (DOCS_FILE, CHECK_FILE)}
    wanted = {**pages, SCHEMA_FILE: schema_text()}
    return {path: text for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m engine.language.reference", description="Reference pages from code.")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", action="store_true", help="renew what is out of date")
    choice.add_argument("--check", action="store_true", help="exit 1 if anything is out of date")
    options = parser.parse_args(arguments)
    found = outdated()
    for path, text in found.items():
        if options.write:
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{'renewed' if options.write else 'out of date'}: {path}\n")
    return 1 if found and options.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
