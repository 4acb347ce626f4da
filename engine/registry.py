"""Handlers that lifecycle.yaml may name: decorated functions, found in named modules, with checked arguments.

Nothing in a lifecycle file imports or evaluates code: a name resolves here or nowhere.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel as ArgumentModel
from pydantic import ConfigDict, ValidationError, create_model

from .errors import ArgumentError, RegistryError
from .spec import Reference
from .straight import never_suspends

Role = Literal["guard", "action", "probe", "check"]
Function = TypeVar("Function", bound=Callable[..., Any])
_MARK: Final = "__steward_handler__"
# What pydantic calls a type, in the words of the language.
WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What a decorator says about a function."""

    role: Role
    name: str
    acquires: frozenset[str] = frozenset()
    releases: frozenset[str] = frozenset()
    survives: bool = False
    once: bool = False


def guard(name: str | None = None) -> Callable[[Function], Function]:
    """A synchronous, pure `(ctx, *, arguments) -> bool` that transitions may ask."""
    return _marker("guard", name)


def action(
    name: str | None = None,
    *,
    acquires: str | Iterable[str] = (),
    releases: str | Iterable[str] = (),
    survives: bool = False,
    once: bool = False,
) -> Callable[[Function], Function]:
    """A `(ctx, *, arguments)`, plain or async, for `do`, `run` and `cleanup`.

    acquires: kinds of resource it may open through ctx.resources; any other kind is refused there. "children" says
    that it may start some: `steward check` then takes it that only those of its kind do that say so.
    releases: kinds it closes itself, outside `cleanup`.
    survives: what it acquires outlives a restart of the process, so a restored `run` need not call it again.
    once: it keeps what is held already, so that an actor has one of each kind at most; a second one is refused.
    """
    return _marker("action", name, acquires, releases, survives, once)


def probe(kind: str) -> Callable[[Function], Function]:
    """A `(resource) -> bool`, plain or async, that looks whether a resource of kind is really gone."""
    return _marker("probe", kind)


def check(name: str | None = None) -> Callable[[Function], Function]:
    """A health check `(ctx, *, arguments) -> str | None`, plain or async; a string says what is ill."""
    return _marker("check", name)


def _marker(
    role: Role,
    name: str | None,
    acquires: str | Iterable[str] = (),
    releases: str | Iterable[str] = (),
    survives: bool = False,
    once: bool = False,
) -> Callable[[Function], Function]:
    if callable(name):
        raise RegistryError(f"@{role} on {name.__name__} needs brackets: @{role}({'...' if role == 'probe' else ''})")

    def mark(function: Function) -> Function:
        if role == "guard" and inspect.iscoroutinefunction(function):
            raise RegistryError(f"guard {function.__name__} is async; guards are synchronous and pure")
        given = Mark(role, name or function.__name__, _names(acquires), _names(releases), survives, once)
        setattr(function, _MARK, given)
        return function

    return mark


def _names(value: str | Iterable[str]) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value)


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered function, its mark, and the model its arguments must fit. is_straight: it is `async` and cannot
    suspend; see straight.py."""

    mark: Mark
    function: Callable[..., Any]
    arguments: type[ArgumentModel]
    is_async: bool
    is_straight: bool = False

    @property
    def name(self) -> str:
        return self.mark.name


@dataclass(frozen=True, slots=True)
class Bound:
    """A handler with the arguments of one place in the file, validated."""

    handler: Handler
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.handler.name

    def __call__(self, ctx: Any) -> Any:
        return self.handler.function(ctx, **self.kwargs)


class Registry:
    """Names to handlers, one name space a role."""

    def __init__(self, handlers: Iterable[Handler] = ()) -> None:
        self._handlers: dict[tuple[Role, str], Handler] = {}
        for handler in handlers:
            self._add(handler)

    @classmethod
    def of(cls, *sources: ModuleType | str | Callable[..., Any]) -> Registry:
        """The decorated functions of modules (by name or object), and functions given directly.

        Raises RegistryError naming the module that did not import and why, or a name given twice.
        """
        registry = cls()
        for source in sources:
            for function in _functions(source):
                registry._add(_handler(function))
        return registry

    def _add(self, handler: Handler) -> None:
        key = (handler.mark.role, handler.name)
        known = self._handlers.get(key)
        if known is not None and known.function is not handler.function:
            raise RegistryError(
                f"two handlers are registered as {handler.mark.role} {handler.name!r}: "
                f"{_place(known.function)} and {_place(handler.function)}; give one of them another name"
            )
        self._handlers[key] = handler

    def names(self, role: Role) -> tuple[str, ...]:
        return tuple(sorted(name for kind, name in self._handlers if kind == role))

    def handlers(self) -> tuple[Handler, ...]:
        return tuple(self._handlers[key] for key in sorted(self._handlers))

    def get(self, role: Role, name: str) -> Handler | None:
        return self._handlers.get((role, name))

    def bind(self, role: Role, ref: Reference) -> Bound:
        """Raises KeyError if no such handler is registered, ArgumentError if it does not take the arguments."""
        handler = self._handlers[role, ref.name]
        return Bound(handler, bind_arguments(handler.arguments, ref))


def bind_arguments(model: type[ArgumentModel], ref: Reference) -> dict[str, Any]:
    """Validated keyword arguments of one reference. Raises ArgumentError with every problem."""
    given = dict(ref.args)
    if ref.has_argument:
        fields = list(model.model_fields)
        if len(fields) != 1:
            takes = f"arguments {', '.join(fields)}" if fields else "no arguments"
            raise ArgumentError([("", f"{ref.name} takes {takes}, so a single plain value is not enough")])
        given = {fields[0]: ref.argument}
    try:
        checked = model.model_validate(given)
    except ValidationError as error:
        raise ArgumentError([_problem(model, item) for item in error.errors()]) from None
    return {name: getattr(checked, name) for name in model.model_fields}


def _problem(model: type[ArgumentModel], item: Any) -> tuple[str, str]:
    name = str(item["loc"][0]) if item["loc"] else ""
    texts = {
        "extra_forbidden": f"takes no argument {name!r} (it takes: {', '.join(model.model_fields) or 'none'})",
        "missing": f"needs the argument {name!r}",
    }
    wanted = WORDS.get(item["type"].partition("_")[0])
    if wanted is not None and item["type"].endswith(("_type", "_parsing")):
        return name, f"must be {wanted}, not {item['input']!r}"
    plain = str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return name, texts.get(item["type"], plain)


def _functions(source: ModuleType | str | Callable[..., Any]) -> list[Callable[..., Any]]:
    if callable(source) and not isinstance(source, str):
        if not hasattr(source, _MARK):
            raise RegistryError(f"{_place(source)} is not decorated with @guard, @action, @probe or @check")
        return [source]
    module = _load(source) if isinstance(source, str) else source
    assert isinstance(module, ModuleType)
    return [value for value in vars(module).values() if inspect.isfunction(value) and hasattr(value, _MARK)]


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise RegistryError(f"the handler module {name!r} does not import: {type(error).__name__}: {error}") from error


def _handler(function: Callable[..., Any]) -> Handler:
    mark: Mark = getattr(function, _MARK)
    is_async = inspect.iscoroutinefunction(function)
    return Handler(mark, function, _argument_model(function), is_async, never_suspends(function))


def _argument_model(function: Callable[..., Any]) -> type[ArgumentModel]:
    """A model of every parameter after the first, which is the ctx (or a probe's resource)."""
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise RegistryError(f"{_place(function)} takes *{parameter.name}; handlers name every argument")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints.get(parameter.name, Any), default)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, strict=False)
    return create_model(f"{function.__name__}_arguments", __config__=config, **fields)


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', function)}"
