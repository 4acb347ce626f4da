"""What a session's creator asked of its time limits: the `option` of a timer in the lifecycle file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..errors import Refused
from ..plan import KindPlan, TimerPlan
from ..units import DURATION_S_MAX, TooLong, parse_duration

ASKED: Final = "asked"  # where the lengths stand in the root's data, in seconds


def take_asked(plan: KindPlan, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """(the options that are none of the file's, the lengths asked for by option). Raises Refused for no duration."""
    names = {timer.option for state in plan.states.values() for timer in state.timers if timer.option}
    rest = {name: value for name, value in options.items() if name not in names}
    return rest, {name: _length(name, options[name]) for name in options if name in names}


def _length(name: str, value: Any) -> float:
    try:
        seconds = parse_duration(value)
    except TooLong:
        return DURATION_S_MAX  # it is cut to what the file allows
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        text = f"option {name!r}: write a duration longer than zero, a number with its unit: 30s, 5m or 1h"
        raise Refused("bad_payload", text)
    return seconds


def seconds_of(timer: TimerPlan, data: Mapping[str, Any]) -> float:
    """How long a timer runs in an actor with these data: as asked for, and never longer than the file allows."""
    asked = data.get(ASKED)
    wanted = asked.get(timer.option) if timer.option and isinstance(asked, Mapping) else None
    is_length = isinstance(wanted, int | float) and not isinstance(wanted, bool) and wanted > 0
    return min(float(wanted), timer.most_s) if is_length else timer.seconds  # type: ignore[arg-type]


def window_of(plan: KindPlan, data: Mapping[str, Any]) -> float | None:
    """How long a root waits for a connection: the first deadline of a state that `connected` leaves."""
    waits = [state for state in plan.states.values() if "connected" in state.own]
    return min((seconds_of(timer, data) for state in waits for timer in state.timers), default=None)
