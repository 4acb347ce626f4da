"""The JSON Schema of lifecycle files, for editors: the short forms as people write them.

Names of handlers, states and events are not in it; the loader checks those.
`python -m engine.language.reference --write` writes it beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from ..proofs.explain import ACCEPTABLE
from ..spec import LANGUAGE_VERSION, SENDERS
from ..units import DURATION_PATTERN, SIZE_PATTERN
from . import forms
from .forms import FIELD_PATTERN, NAME_PATTERN, Form, Key

Schema: TypeAlias = dict[str, Any]
SCHEMA_FILE: Final = Path(__file__).parents[1] / "lifecycle.schema.json"
_SCALAR_TYPE: Final = r"(str|int|float|bool|json)"


def schema() -> Schema:
    """The whole schema; the same text each time."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A lifecycle file",
        **_form(forms.FILE),
        "$defs": _definitions(),
    }


def schema_text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _form(form: Form) -> Schema:
    return {
        "description": form.text,
        "type": "object",
        "additionalProperties": False,
        "required": [key.name for key in form.keys if key.is_required],
        "properties": {key.name: {**_TYPES[key.type](key), "description": key.text} for key in form.keys},
    }


def _map(value: Schema, pattern: str = "") -> Schema:
    if not pattern:
        return {"type": "object", "additionalProperties": value}
    return {"type": "object", "patternProperties": {pattern: value}, "additionalProperties": False}


def _list(items: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": items, "minItems": least}


def _one_or_more(items: Schema, least: int = 1) -> Schema:
    return {"anyOf": [items, _list(items, least)]}


def _definitions() -> Schema:
    called = {"type": "object", "minProperties": 1, "maxProperties": 1}
    step_keys = [key.name for key in forms.STEP.keys]
    name = {"type": "string", "minLength": 1}
    transition = {"anyOf": [{"description": "a target state", **name}, _form(forms.TRANSITION)]}
    return {
        "duration": {"type": "string", "pattern": DURATION_PATTERN, "examples": ["250ms", "30s", "5m", "8h", "1d"]},
        "size": {"type": "string", "pattern": SIZE_PATTERN, "examples": ["64KB", "256MB"]},
        "payload_type": {
            "anyOf": [
                {"type": "string", "pattern": rf"^\s*\[*\s*{_SCALAR_TYPE}[\s\]|None]*$"},
                {"type": "array", "items": _ref("payload_type"), "minItems": 1, "maxItems": 1},
            ]
        },
        "reference": {"description": "name, or {name: {argument: value}}", "anyOf": [name, called]},
        "step": {
            "anyOf": [name, {**called, "propertyNames": {"not": {"enum": step_keys}}}, _form(forms.STEP)],
        },
        "guard": {
            "anyOf": [
                name,
                {**called, "propertyNames": {"not": {"enum": ["all", "any", "not"]}}},
                *(
                    {"type": "object", "properties": {word: value}, "required": [word], "additionalProperties": False}
                    for word, value in (
                        ("all", _list(_ref("guard"), 1)),
                        ("any", _list(_ref("guard"), 1)),
                        ("not", _ref("guard")),
                    )
                ),
            ]
        },
        "choices": _one_or_more(transition, least=0),
        "timed_choices": {
            "anyOf": [
                {"description": "a target state", **name},
                _form(forms.TIMED),
                _list(transition, 1),
            ]
        },
        "machine": _form(forms.MACHINE),
        "state": _form(forms.STATE),
        "event": _form(forms.EVENT),
        "retry": _form(forms.RETRY),
        "limits": _form(forms.LIMITS),
        "health": _form(forms.HEALTH),
        "cleanup_entry": {"anyOf": [{"description": "a built-in kind", **name}, _form(forms.CLEANUP)]},
    }


def _count(key: Key) -> Schema:
    return {"type": "integer", "minimum": key.least, "maximum": key.most}


_TYPES: Final[Mapping[str, Callable[[Key], Schema]]] = MappingProxyType(
    {
        "text": lambda key: {"type": "string"},
        "name": lambda key: {"type": "string", "minLength": 1},
        "names": lambda key: {**_list({"type": "string", "minLength": 1}), "uniqueItems": True},
        "flag": lambda key: {"type": "boolean"},
        "count": _count,
        "duration": lambda key: _ref("duration"),
        "size": lambda key: _ref("size"),
        "version": lambda key: {"const": LANGUAGE_VERSION},
        "senders": lambda key: {**_list({"enum": list(SENDERS)}, 1), "uniqueItems": True},
        "payload": lambda key: _map(_ref("payload_type"), FIELD_PATTERN),
        "machines": lambda key: {**_map(_ref("machine"), NAME_PATTERN), "minProperties": 1},
        "states": lambda key: _map(_ref("state"), NAME_PATTERN),
        "events": lambda key: _map(_ref("event"), NAME_PATTERN),
        "owns": lambda key: _map(_count(key)),
        "renamed": lambda key: _map(_map({"type": "string", "minLength": 1})),
        "transitions": lambda key: _map(_ref("choices")),
        "option": lambda key: {**_map(_ref("duration"), NAME_PATTERN), "minProperties": 1, "maxProperties": 1},
        "accept": lambda key: {
            "type": "object",
            "properties": {code: {"type": "string", "minLength": 1} for code in ACCEPTABLE},
            "additionalProperties": False,
        },
        "timers": lambda key: _map(_ref("timed_choices"), DURATION_PATTERN),
        "steps": lambda key: _one_or_more(_ref("step")),
        "step": lambda key: _ref("step"),
        "references": lambda key: _list(_ref("reference")),
        "cleanup": lambda key: _list(_ref("cleanup_entry")),
        "arguments": lambda key: {},
        "reference": lambda key: _ref("reference"),
        "guard": lambda key: _ref("guard"),
        "retry": lambda key: _ref("retry"),
        "limits": lambda key: _ref("limits"),
        "health": lambda key: _ref("health"),
    }
)
