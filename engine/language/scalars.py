"""What plain text in a lifecycle file stands for: JSON's readings only, and a refusal where YAML 1.1 has another.

YAML 1.1 turns `on` and `no` into booleans, `1:30` into 90, `017` into 15 and `2026-01-02` into a date. Whoever wrote
that meant something else, and a reader of YAML 1.2 would see something else.
"""

from __future__ import annotations

import math
import re
from typing import Final

_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,30}([eE][-+][0-9]{1,3})?")
_CLOCK: Final = re.compile(r"[0-9]+(:[0-9]+)+")
_CLOCK_TEXT_MAX: Final = 20
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})

REWORD: Final = "choose another name, or quote it"


class Ambiguous(Exception):
    """Text that YAML 1.1 reads in its own way. meaning: how; hint: what to write instead."""

    def __init__(self, meaning: str, hint: str) -> None:
        super().__init__(meaning)
        self.meaning = meaning
        self.hint = hint


def read_plain(text: str, tag: str) -> str | int | float | bool | None:
    """The JSON value of unquoted text; tag is YAML 1.1's reading: str, null, bool, int, float, timestamp, value.

    Raises Ambiguous.
    """
    if tag == "str":
        return text
    if tag == "null":
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if tag == "int" and _INTEGER.fullmatch(text):
        return int(text)
    if tag == "float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    raise Ambiguous(_meaning(text, tag), _hint(text, tag))


def _meaning(text: str, tag: str) -> str:
    if len(text) > _CLOCK_TEXT_MAX or not _CLOCK.fullmatch(text):
        return _MEANINGS.get(tag, f"a {tag}")
    number = 0
    for part in text.split(":"):
        number = number * 60 + int(part)
    return f"the number {number}"


def _hint(text: str, tag: str) -> str:
    if tag == "bool":
        return f"{REWORD}; a boolean is written true or false"
    if _CLOCK.fullmatch(text):
        return "a duration has a unit, as 90s or 5m; else quote it"
    return "quote it, or write a plain decimal number"


_MEANINGS: Final = {
    "bool": "a boolean",
    "int": "a number in its own notation",
    "float": "a number in its own notation",
    "timestamp": "a date",
    "merge": "a merge key",
    "value": "a default value",
}
