"""The longest that what a machine declares may take: a call, a run, a clean-up entry, the way from `stop` to the end.

Worst cases, every one of them: each time-out is used up, each task has to be forced, each probe hangs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from .spec import STEP_TIMEOUT_S, Retry
from .steps.scope import GRACE_S

if TYPE_CHECKING:
    from .plan import CleanupPlan, Row, StatePlan

PROBE_TIMEOUT_S: Final = 2.0
CHILDREN_MARGIN_S: Final = 5.0  # what a parent waits beyond its children's own bound, for the loop to come round


class Bounded(Protocol):
    """A step of the file, or a call compiled of it."""

    @property
    def timeout_s(self) -> float | None: ...
    @property
    def retry(self) -> Retry | None: ...


def call_bound(call: Bounded) -> float:
    """Every attempt at its time-out, and the longest pauses between them."""
    timeout_s = call.timeout_s or STEP_TIMEOUT_S
    if call.retry is None:
        return timeout_s + GRACE_S
    return call.retry.attempts * (timeout_s + GRACE_S) + (call.retry.attempts - 1) * call.retry.most_s


def entry_bound(entry: CleanupPlan) -> float:
    """`do` (or the built-in way), `force`, and a look."""
    do_s = entry.do.timeout_s or entry.timeout_s if entry.do else entry.timeout_s
    force_s = entry.force.timeout_s or STEP_TIMEOUT_S if entry.force else 0.0
    return do_s + GRACE_S + force_s + GRACE_S + PROBE_TIMEOUT_S


def cleanup_bound(cleanup: Iterable[CleanupPlan], only: Iterable[str] = ()) -> float:
    """only: these kinds; without it, all."""
    kinds = set(only)
    return sum(entry_bound(entry) for entry in cleanup if not kinds or entry.kind in kinds)


def partial_bound(plan: StatePlan, cleanup: tuple[CleanupPlan, ...]) -> float:
    """The partial clean-ups of one state's run, which leaving it waits for."""
    kinds = {kind for call in plan.run if call.bound is None for kind in call.args.get("only", ())}
    return cleanup_bound(cleanup, kinds) if kinds else 0.0


def row_bound(row: Row) -> float:
    return sum(call_bound(call) for call in row.do)


def stop_bound(
    cleanup: tuple[CleanupPlan, ...], states: Mapping[str, StatePlan], machine_rows: Mapping[str, tuple[Row, ...]]
) -> float:
    """A step under way, a partial clean-up that leaving waits for, the end of the activity, then every entry at its
    worst."""
    rows = [row for plan in states.values() for choices in plan.rows.values() for row in choices]
    rows += [row for choices in machine_rows.values() for row in choices]
    step_s = max((row_bound(row) for row in rows), default=0.0)
    partial_s = max((partial_bound(plan, cleanup) for plan in states.values()), default=0.0)
    return step_s + partial_s + 3 * GRACE_S + cleanup_bound(cleanup)
