"""What the engine itself offers to lifecycle files beside registered handlers: names and arguments."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from ..registry import Registry, Role, bind_arguments
from ..spec import Reference
from ..units import Duration


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CleanupArguments(Arguments):
    """Let go of what the actor holds, in the order of the machine's `cleanup`. only: these kinds, nothing else."""

    only: tuple[str, ...] = Field(default=(), min_length=1, description="kinds of resource; without it, all")


class WriteOffArguments(Arguments):
    """Pass what leaked to the node's audited list, so that the session may end."""


class EnteredBelowArguments(Arguments):
    """Whether state was entered fewer than count times within the last duration; restarts do not reset it."""

    state: str = Field(description="a state of this machine")
    count: Annotated[int, Field(strict=True, ge=1, le=1000)]
    within: Duration


BUILT_IN: Final[Mapping[tuple[Role, str], type[Arguments]]] = MappingProxyType(
    {
        ("action", "cleanup"): CleanupArguments,
        ("action", "write_off"): WriteOffArguments,
        ("guard", "entered_below"): EnteredBelowArguments,
    }
)


def is_built_in(role: Role, name: str) -> bool:
    return (role, name) in BUILT_IN


def built_in_names(role: Role) -> tuple[str, ...]:
    return tuple(sorted(name for its_role, name in BUILT_IN if its_role == role))


def check_arguments(registry: Registry, role: Role, ref: Reference) -> dict[str, Any]:
    """The validated arguments of a built-in or registered handler; a built-in wins over a handler of its name.

    Raises KeyError if there is neither, ArgumentError if it does not take the arguments.
    """
    model = BUILT_IN.get((role, ref.name))
    if model is not None:
        return bind_arguments(model, ref)
    return dict(registry.bind(role, ref).kwargs)


def with_named_argument(ref: Reference) -> Reference:
    """A built-in's one plain argument under its name, so that whoever asks `ref.args` sees both short forms alike."""
    models = [model for (_, name), model in BUILT_IN.items() if name == ref.name and ref.has_argument]
    if not models or len(models[0].model_fields) != 1:
        return ref
    return Reference(name=ref.name, args={next(iter(models[0].model_fields)): ref.argument})
