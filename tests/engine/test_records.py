"""What travels cannot be changed on its way."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from engine.records import Caller, Command, Event, Message, Outcome


@pytest.mark.parametrize(
    "given",
    [Event("say"), Outcome("done"), Command("c", 1, "d"), Caller("ann"), Message("/", Event("say"))],
    ids=lambda one: type(one).__name__,
)
def test_what_a_handler_is_given_it_cannot_change(given: Any) -> None:
    """M3, L5: an event without its command would be committed without its outcome, and count twice."""
    for field in fields(given):
        with pytest.raises(FrozenInstanceError):
            setattr(given, field.name, None)
