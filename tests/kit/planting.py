"""Planting a bug in the engine, within this process: functions keep their identity and get other code."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, NamedTuple

import yaml

FILE: Final = Path(__file__).parent / "files" / "bugs.yaml"


class Bug(NamedTuple):
    """line: as it stands in the module of the engine, once. wrong: what takes its place. breaks: an invariant."""

    name: str
    module: str
    line: str
    wrong: str
    breaks: str


BUGS: Final = [Bug(**one) for one in yaml.safe_load(FILE.read_text(encoding="utf-8"))]


def module_of(bug: Bug) -> ModuleType:
    return importlib.import_module(f"engine.{bug.module}")


def patched(bug: Bug) -> str:
    """The module's source with the bug in it. Raises AssertionError if the line is not there once."""
    text = Path(module_of(bug).__file__ or "").read_text(encoding="utf-8")
    assert text.count(bug.line) == 1, f"{bug.module}.py has this {text.count(bug.line)} times:\n{bug.line}"
    return text.replace(bug.line, bug.wrong)


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    module = module_of(bug)
    wrong = dict(_codes(compile(patched(bug), module.__file__ or "", "exec")))
    changed = [one for one in _functions(module) if one.__code__ != wrong[one.__code__.co_qualname]]
    right = [one.__code__ for one in changed]
    assert changed, f"{bug.name}: no function is another one with it"
    for one in changed:
        one.__code__ = wrong[one.__code__.co_qualname]
    try:
        yield
    finally:
        for one, code in zip(changed, right, strict=True):
            one.__code__ = code


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one.co_qualname, one
            yield from _codes(one)


def _functions(module: ModuleType) -> Iterator[Any]:
    """Functions of a module and methods of its classes."""
    places = [vars(module), *(vars(one) for one in vars(module).values() if inspect.isclass(one))]
    found = (_function(value) for place in places for value in place.values())
    return (one for one in found if one is not None and one.__code__.co_filename == module.__file__)


def _function(value: Any) -> Callable[..., Any] | None:
    plain = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    plain = inspect.unwrap(plain) if callable(plain) else plain
    return plain if inspect.isfunction(plain) else None
