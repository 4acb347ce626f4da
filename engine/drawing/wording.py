"""The words of a drawing: guards, steps and references as a line of text that an author recognises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ..spec import STEP_TIMEOUT_S, Guard, Reference, Step
from ..units import BYTES, show_duration

LINE_CHARS_MAX: Final = 40  # a wider node pushes the others off the page


def show_step(step: Step) -> str:
    """`start_agents within 10s, 3 attempts`: the name, its arguments and what bounds it."""
    bound = "" if step.timeout_s in (None, STEP_TIMEOUT_S) else f" within {show_duration(step.timeout_s or 0.0)}"
    again = f", {step.retry.attempts} attempts" if step.retry else ""
    return f"{show_reference(step.ref)}{bound}{again}"


def show_guard(guard: Guard) -> str:
    """`not a and (b or c)`, parenthesised where the file's nesting needs it."""
    if guard.ref is not None:
        return show_reference(guard.ref)
    if guard.op == "not":
        return f"not {_operand(guard.items[0])}"
    word = " and " if guard.op == "all" else " or "
    return word.join(_operand(item) for item in guard.items)


def _operand(guard: Guard) -> str:
    is_joined = guard.op in ("all", "any") and len(guard.items) > 1
    return f"({show_guard(guard)})" if is_joined else show_guard(guard)


def show_reference(ref: Reference) -> str:
    """`name`, `name(value)` or `name(argument=value, …)`, as the file gave them; the built-in guard as a phrase."""
    if ref.name == "entered_below" and {"state", "count"} <= ref.args.keys():
        within = f" in {_value(ref.args['within'])}" if "within" in ref.args else ""
        return f"entered {_value(ref.args['state'])} below {_value(ref.args['count'])} times{within}"
    if ref.has_argument:
        return f"{ref.name}({_value(ref.argument)})"
    if not ref.args:
        return ref.name
    return f"{ref.name}({', '.join(f'{name}={_value(value)}' for name, value in ref.args.items())})"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_value(item)}' for key, item in value.items())}}}"
    names = {True: "true", False: "false", None: "null"}
    return names[value] if isinstance(value, bool | None) else one_line(str(value))


def one_line(text: str) -> str:
    """What cannot be printed is marked: a control character would make the drawing no XML."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))


def show_size(count: int) -> str:
    unit = next(unit for unit in reversed(BYTES) if count % BYTES[unit] == 0)
    return f"{count // BYTES[unit]}{unit}"


def wrapped(text: str, chars_max: int = LINE_CHARS_MAX) -> Iterator[str]:
    """text in lines of at most chars_max characters where it has spaces to break at."""
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > chars_max:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
    if line:
        yield line
