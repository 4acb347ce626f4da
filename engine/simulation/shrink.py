"""A history that breaks something, made as short as it still breaks the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from .script import Script, Terms

TRIES_MAX: Final = 400
PLAIN: Final = Terms(is_shuffled=False)


def shrink(script: Script, still_breaks: Callable[[Script], bool]) -> Script:
    """Leave out faults, steps and what is unusual in the terms, one after another, as long as still_breaks says so."""
    tries = 0
    smaller: Script | None = script
    while smaller is not None:
        script, smaller = smaller, None
        for candidate in _simpler(script):
            tries += 1
            if tries > TRIES_MAX:
                return script
            if still_breaks(candidate):
                smaller = candidate
                break
    return script


def _simpler(script: Script) -> Iterator[Script]:
    """What is one thing less, the largest things first."""
    half = len(script.steps) // 2
    if half > 1:
        yield replace(script, steps=script.steps[:half])
        yield replace(script, steps=script.steps[half:])
    for at in range(len(script.faults)):
        yield replace(script, faults=_without(script.faults, at))
    for at in reversed(range(len(script.steps))):
        yield replace(script, steps=_without(script.steps, at))
    for name in Terms.__dataclass_fields__:
        if getattr(script.terms, name) != getattr(PLAIN, name):
            yield replace(script, terms=replace(script.terms, **{name: getattr(PLAIN, name)}))


def _without(items: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    return items[:at] + items[at + 1 :]
