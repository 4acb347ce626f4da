"""A small shop of handlers, and the valid file that the language tests start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from engine.registry import Registry, action, check, guard, probe
from engine.units import Duration

FILES = Path(__file__).parent / "files"


@guard()
def is_paid(ctx: Any) -> bool:
    return True


@guard()
def rich(ctx: Any, *, than: int, currency: str = "EUR") -> bool:
    return True


@action(acquires="desk")
def open_desk(ctx: Any) -> None: ...


@action(acquires="van")
def hire_van(ctx: Any) -> None: ...


@action(acquires="files")
def open_book(ctx: Any) -> None: ...


@action()
def close_desk(ctx: Any) -> None: ...


@action()
def burn_desk(ctx: Any) -> None: ...


@action()
def bank(ctx: Any) -> None: ...


@action()
def shelve(ctx: Any, *, count: Annotated[int, Field(ge=1)]) -> None: ...


@check()
def stock(ctx: Any) -> str | None:
    return None


@check()
def oldest(ctx: Any, *, limit: Duration) -> str | None:
    return None


@probe("desk")
def desk_is_gone(resource: Any) -> bool:
    return True


@pytest.fixture(scope="session")
def registry() -> Registry:
    given = (is_paid, rich, open_desk, hire_van, open_book, close_desk, burn_desk, bank, shelve, stock, oldest)
    return Registry.of(*given, desk_is_gone)


@pytest.fixture(scope="session")
def valid() -> str:
    return (FILES / "valid.yaml").read_text()
