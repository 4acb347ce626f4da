"""The settings of server/config.py and server/callers.py as the tables of docs/operating.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.language.reference import table

from .callers import ApiKey, IdentityProvider
from .config import PREFIX, Settings

# Where a number's unit stands in its name: seconds last, so that `_per_s` is found first.
UNITS: Final = {"_per_s": "a second", "_s": "seconds"}
TYPES: Final = {"string": "text", "boolean": "`true` or `false`", "array": "list of texts", "object": "table of texts"}
BOUNDS: Final = {
    "minimum": "from {:,g}",
    "exclusiveMinimum": "above {:,g}",
    "maximum": "to {:,g}",
    "minLength": "not empty",
}


def settings() -> str:
    schema = Settings.model_json_schema()["properties"]
    rows = [
        (f"`{name}`", f"`{PREFIX}{name.upper()}`", field.description or "", form(name, schema[name]), default(field))
        for name, field in Settings.model_fields.items()
    ]
    return table(("`steward.toml`", "environment", "what it is", "form", "left out"), rows)


def api_keys() -> str:
    return _inner("[[api_keys]]", ApiKey)


def jwt() -> str:
    return _inner("[jwt]", IdentityProvider)


def _inner(name: str, model: type[BaseModel]) -> str:
    """The keys of a table within the settings."""
    schema = model.model_json_schema()["properties"]
    rows = (
        (f"`{key}`", field.description or "", form(key, schema[key]), default(field))
        for key, field in model.model_fields.items()
    )
    return table((f"key of `{name}`", "what it is", "form", "left out"), rows)


def form(name: str, schema: dict[str, Any]) -> str:
    """What may stand there, in words."""
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("items", {}).get("$ref"):
        return "tables, see below"
    if "anyOf" in schema:  # it may be left out
        given = next(one for one in schema["anyOf"] if one.get("type") != "null")
        return "a table, see below" if "$ref" in given else form(name, given)
    if "enum" in schema.get("items", {}):
        return "list of " + ", ".join(f"`{one}`" for one in schema["items"]["enum"])
    return ", ".join(_form(name, schema))


def _form(name: str, schema: dict[str, Any]) -> Iterator[str]:
    kind = {"integer": "whole number", "number": "number"}.get(schema["type"]) or TYPES[schema["type"]]
    bounds = [text.format(schema[key]) for key, text in BOUNDS.items() if key in schema]
    yield " ".join([kind, *bounds])
    if schema["type"] in ("integer", "number"):
        yield from [unit for ending, unit in UNITS.items() if name.endswith(ending)][:1]
    if schema.get("format") == "path":
        yield "a path"
    if "pattern" in schema:
        yield f"`{schema['pattern']}`"


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "not allowed"
    value = field.get_default(call_default_factory=True)
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case dict():
            return ", ".join(f"`{key}`" for key in value)
        case None | () | frozenset() if not value:
            return "none"
        case tuple():
            return ", ".join(f"`{one}`" for one in value)
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{value}`"
