"""What a value that pydantic refused should have been, in words for who sent it. The value itself is not repeated: it
may be a secret."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

NAME_CHARS_MAX: Final = 40  # of an unknown name that is repeated to who wrote it
_NUMBER: Final = "has to be a number"
_WHOLE: Final = "has to be a whole number"
_BOOL: Final = "has to be true or false"
_OBJECT: Final = "has to be an object"
_LIST: Final = "has to be a list"
# By pydantic's own names of what is wrong; {…} is filled in from the error's context.
_WORDS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "string_type": "has to be text",
    "string_pattern_mismatch": "has to look like {pattern}",
    "string_too_short": "has to have at least {min_length} characters",
    "string_too_long": "may have at most {max_length} characters",
    "string_unicode": "has to be text that UTF-8 can carry",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "is far too large a number",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "has to be a finite number",
    "bool_type": _BOOL,
    "bool_parsing": _BOOL,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "path_type": "has to be a path",
    "literal_error": "has to be {expected}",
    "enum": "has to be {expected}",
    "greater_than": "has to be more than {gt}",
    "greater_than_equal": "has to be at least {ge}",
    "less_than": "has to be less than {lt}",
    "less_than_equal": "has to be at most {le}",
    "too_short": "has to have at least {min_length} items",
    "too_long": "may have at most {max_length} items",
    "extra_forbidden": "there is no such key",
}


def sentence(item: Mapping[str, Any]) -> str:
    """One of a ValidationError's errors(), without where it is."""
    words = _WORDS.get(item["type"])
    if words is not None:
        return words.format_map(item.get("ctx") or {})
    return str(item["msg"]).removeprefix("Value error, ").replace("Input should", "has to")


def unknown(noun: str, name: str, known: Collection[str], spell: Callable[[str], str] = repr) -> str:
    """`no option 'wite'; did you mean 'white'?`, or which there are if nothing is near."""
    shown = name if len(name) <= NAME_CHARS_MAX else name[: NAME_CHARS_MAX - 1] + "…"
    near = get_close_matches(shown, known, n=1)
    if near:
        return f"no {noun} {shown!r}; did you mean {spell(near[0])}?"
    return f"no {noun} {shown!r}; " + (f"there are: {', '.join(known)}" if known else "there are none")
