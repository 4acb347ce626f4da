"""Payload types of events, from the texts a lifecycle file declares to a check of each message."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from ..errors import ArgumentError

TYPE_NESTING_MAX: Final = 8
JSON_NESTING_MAX: Final = 64  # well under what JSON encoders and Python's own stack allow
INT_MIN: Final = -(2**63)  # what every JSON reader on the way keeps exactly
INT_MAX: Final = 2**63 - 1
TYPE_NAMES: Final = ("str", "int", "float", "bool", "json")

Check: TypeAlias = Callable[[Any], Any]  # gives the value as it is kept, or raises ValueError with a sentence


@dataclass(frozen=True, slots=True)
class Field:
    type: str
    check: Check
    is_nullable: bool


class PayloadType:
    """What one event carries. Unknown fields are errors; a missing field is one unless its type ends in `| None`."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self._fields = fields

    @property
    def types(self) -> Mapping[str, str]:
        """Field name to type text, in the declared order."""
        return {name: field.type for name, field in self._fields.items()}

    def check(self, payload: Any) -> dict[str, Any]:
        """payload with its fields in declared order, missing nullable ones as None.

        Raises ArgumentError with every problem: (field name, sentence), the name "" for the payload as a whole.
        """
        if not isinstance(payload, Mapping):
            raise ArgumentError([("", "the payload must be an object")])
        problems = [(str(name), self._unknown()) for name in payload if name not in self._fields]
        checked: dict[str, Any] = {}
        for name, field in self._fields.items():
            if payload.get(name) is None and field.is_nullable:
                checked[name] = None
            elif name not in payload:
                problems.append((name, f"is missing; it must be {field.type}"))
            else:
                try:
                    checked[name] = field.check(payload[name])
                except ValueError as error:
                    problems.append((name, str(error)))
        if problems:
            raise ArgumentError(problems)
        return checked

    def _unknown(self) -> str:
        known = ", ".join(self._fields)
        return f"is not a field of this event (it has: {known})" if known else "is not expected: no fields are declared"


def compile_payload(decl: Mapping[str, str]) -> PayloadType:
    """Raises ArgumentError with a problem for each field whose type text is none."""
    fields: dict[str, Field] = {}
    problems: list[tuple[str, str]] = []
    for name, text in decl.items():
        try:
            fields[name] = compile_type(text)
        except ValueError as error:
            problems.append((name, str(error)))
    if problems:
        raise ArgumentError(problems)
    return PayloadType(MappingProxyType(fields))


def compile_type(text: str) -> Field:
    """One type: `str`, `int`, `float`, `bool`, `json`, `[T]`, `T | None`. Raises ValueError naming what it is not."""
    return _compile(text, TYPE_NESTING_MAX)


def _compile(text: str, levels: int) -> Field:
    stripped = text.strip()
    if levels == 0:
        raise ValueError(f"lists nest at most {TYPE_NESTING_MAX} deep")
    if stripped.endswith("None") and stripped[:-4].rstrip().endswith("|"):
        inner = _compile(stripped[:-4].rstrip()[:-1], levels - 1)
        return Field(f"{inner.type} | None", _or_none(inner.check), is_nullable=True)
    if stripped.startswith("[") and stripped.endswith("]"):
        inner = _compile(stripped[1:-1], levels - 1)
        return Field(f"[{inner.type}]", _list_of(inner.check), is_nullable=False)
    if stripped in _CHECKS:
        return Field(stripped, _CHECKS[stripped], is_nullable=False)
    shown = stripped if len(stripped) <= 40 else stripped[:39] + "…"
    raise ValueError(f"no payload type {shown!r}")


def _or_none(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _list_of(check: Check) -> Check:
    def check_list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(f"must be a list, not {_name(value)}")
        checked = []
        for index, item in enumerate(value):
            try:
                checked.append(check(item))
            except ValueError as error:
                raise ValueError(f"item {index} {error}") from None
        return checked

    return check_list


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {_name(value)}")
    if not _is_unicode(value):
        raise ValueError("must be text that UTF-8 can carry")
    return value


def _int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"must be an integer, not {_name(value)}")
    if not INT_MIN <= value <= INT_MAX:
        raise ValueError("must be an integer of 64 bits")
    return value


def _float(value: Any) -> float:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(_int(value))
    if not isinstance(value, float):
        raise ValueError(f"must be a number, not {_name(value)}")
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {_name(value)}")
    return value


def _json(value: Any, levels: int = JSON_NESTING_MAX) -> Any:
    """A copy, so what a handler keeps cannot change what the log says."""
    if levels == 0:
        raise ValueError(f"nests deeper than {JSON_NESTING_MAX}")
    if isinstance(value, list):
        return [_json(item, levels - 1) for item in value]
    if isinstance(value, dict):
        return {_key(key): _json(item, levels - 1) for key, item in value.items()}
    if value is None:
        return None
    for kind, check in _SCALARS:
        if isinstance(value, kind):
            return check(value)
    raise ValueError(f"holds {_name(value)}, which JSON cannot say")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"holds a key that is {_name(key)}; JSON keys are text")
    return _str(key)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: legal in JSON's escapes, impossible on the wire and in the log
        return False
    return True


def _name(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)


_NAMES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "text",
    list: "a list",
    dict: "an object",
}
_SCALARS: Final[tuple[tuple[type, Check], ...]] = ((bool, _bool), (int, _int), (float, _float), (str, _str))
_CHECKS: Final[Mapping[str, Check]] = {"str": _str, "int": _int, "float": _float, "bool": _bool, "json": _json}
