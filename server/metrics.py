"""What Prometheus asks for: counters that follow every commit, and gauges that are read when somebody asks.

No label names a session or a user. Every label's values are bounded by the lifecycle file or by this code.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from engine.actor import Actor
from engine.observer import Observer
from engine.records import Record
from engine.session import Session
from engine.sessions import SessionManager

if TYPE_CHECKING:
    from .pool import Pool

DISK_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
WORK_S: Final = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
LIFE_S: Final = (1, 10, 60, 300, 1_800, 3_600, 14_400, 43_200, 86_400)


class Metrics(Observer):
    """The counters of one process, over all its sessions."""

    __slots__ = (
        "_cleaned",
        "_cleaned_s",
        "_commands",
        "_commit_s",
        "_created",
        "_ended",
        "_life_s",
        "_reconnected_s",
        "_refused",
        "_registry",
        "_state_s",
        "_transitions",
        "_updates",
    )

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each of ours, which says when this process began
        self._registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._created = Counter("steward_sessions_created", "Sessions that began.", registry=registry)
        self._refused = Counter(
            "steward_sessions_refused", "Sessions that were asked for and not given.", ["code"], registry=registry
        )
        self._ended = Counter("steward_sessions_ended", "Sessions that ended, by why.", ["cause"], registry=registry)
        self._life_s = Histogram(
            "steward_session_duration_seconds", "From creation to end.", ["cause"], buckets=LIFE_S, registry=registry
        )
        self._transitions = Counter(
            "steward_transitions",
            "Changes of state that are in the log.",
            ["kind", "from_state", "to_state", "event"],
            registry=registry,
        )
        self._state_s = Histogram(
            "steward_state_duration_seconds",
            "From entering a state to leaving it.",
            ["kind", "state"],
            buckets=WORK_S,
            registry=registry,
        )
        self._reconnected_s = Histogram(
            "steward_reconnection_seconds",
            "From the last connection's loss to the next connection.",
            buckets=WORK_S,
            registry=registry,
        )
        self._cleaned = Counter(
            "steward_cleanup_resources",
            "Resources that a clean-up looked after, by what became of them.",
            ["resource", "verdict"],
            registry=registry,
        )
        self._cleaned_s = Histogram(
            "steward_cleanup_seconds",
            "How long the clean-up of one kind of resource took.",
            ["resource"],
            buckets=WORK_S,
            registry=registry,
        )
        self._commands = Counter(
            "steward_commands", "Commands of clients that are in the log, by outcome.", ["status"], registry=registry
        )
        self._updates = Counter("steward_updates", "Numbered events for clients.", registry=registry)
        self._commit_s = Histogram(
            "steward_journal_commit_seconds",
            "From handing a commit to the store to its answer.",
            buckets=DISK_S,
            registry=registry,
        )

    def follow(self, manager: SessionManager, pool: Pool) -> None:
        """Have what lives now told as well, whenever somebody asks."""
        self._registry.register(Now(manager, pool))

    @property
    def content_type(self) -> str:
        return CONTENT_TYPE_LATEST

    def text(self) -> bytes:
        return generate_latest(self._registry)

    # What the engine tells

    def created(self, session: Session) -> None:
        self._created.inc()

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def committed(self, actor: Actor, record: Record, updates: int) -> None:
        body = record.body
        if updates:
            self._updates.inc(updates)
        if (outcome := body.get("outcome")) is not None:
            self._commands.labels(outcome[3]["status"]).inc()
        if "to" in body and record.op == "step":
            self._moved(actor, body, record.at - actor.entered_at)
        if body.get("ended"):
            self._over(actor, body, record.at)

    def landed(self, seconds: float) -> None:
        self._commit_s.observe(seconds)

    def _moved(self, actor: Actor, body: Any, seconds: float) -> None:
        self._transitions.labels(actor.kind, body["from"], body["to"], body["event"]).inc()
        self._state_s.labels(actor.kind, body["from"]).observe(seconds)
        if actor.parent is None and body["event"] == "connected":
            self._reconnected_s.observe(seconds)

    def _over(self, actor: Actor, body: Any, at: float) -> None:
        report = body.get("report", actor.report)
        if report is not None:
            self._let_go(report)
        if actor.parent is None:
            cause = (actor.session.cause or {}).get("code", "closed")
            self._ended.labels(cause).inc()
            self._life_s.labels(cause).observe(at - actor.session.created_at)

    def _let_go(self, report: dict[str, Any]) -> None:
        """What an actor's own clean-up did; its children's are in their own reports."""
        seconds: dict[str, float] = {}
        for item in report["items"]:
            if "report" in item:
                continue
            self._cleaned.labels(item["kind"], item["verdict"]).inc()
            seconds[item["kind"]] = max(seconds.get(item["kind"], 0.0), item["seconds"])
        for kind, longest in seconds.items():
            self._cleaned_s.labels(kind).observe(longest)


class Now(Collector):
    """What is the case at the moment somebody asks."""

    def __init__(self, manager: SessionManager, pool: Pool) -> None:
        self._manager = manager
        self._pool = pool

    def describe(self) -> list[Metric]:
        """Nothing is counted before the first question."""
        return []

    def collect(self) -> Iterator[Metric]:
        counts = self._manager.counts()
        yield _by("steward_sessions", "Live sessions.", "state", counts["by_state"])
        yield GaugeMetricFamily("steward_sessions_asleep", "Live sessions that are out of memory.", counts["asleep"])
        yield GaugeMetricFamily(
            "steward_sessions_unreadable", "Stored sessions that cannot be read.", counts["unreadable"]
        )
        yield GaugeMetricFamily("steward_timers", "Deadlines that are armed.", counts["timers"])
        held = self._held()
        yield GaugeMetricFamily("steward_memory_bytes", "Memory that live sessions account for.", held.pop("memory", 0))
        yield _by("steward_resources", "What live sessions hold.", "resource", held)
        yield GaugeMetricFamily("steward_connections", "Open WebSockets.", len(self._pool.connections))
        yield GaugeMetricFamily(
            "steward_loop_lag_seconds", "How late the loop's turns come.", self._manager.admission.lag_s()
        )
        yield GaugeMetricFamily(
            "steward_store_degraded", "1 while the store takes nothing.", float(self._manager.admission.is_degraded)
        )

    def _held(self) -> Tally[str]:
        held: Tally[str] = Tally()
        for session in self._manager.sessions():
            if session.root is not None:
                held.update(session.root.holdings.ledger.counts)
        return held


def _by(name: str, what: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
