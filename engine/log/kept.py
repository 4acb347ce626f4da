"""How much of a session's log is kept: counted as it is written and as it is read back, never by reading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..records import Record

LOG_EVENTS_MAX: Final = 10_000
LOG_BYTES_MAX: Final = 16 * 1024 * 1024
LOG_AGE_S: Final = 24 * 3600.0
LEFT_SHARE: Final = 0.75  # of a limit, after it was reached: so that one snapshot is paid for by a quarter of a log
HELD_SHARE: Final = 1.25  # of a limit, up to which a slow reader holds back what it has not read
AGAIN_SHARE: Final = 0.125  # of a limit: how much more there is before a log that could not be trimmed is tried again


@dataclass(frozen=True, slots=True)
class LogLimits:
    """What of the log of a live session is kept at most, before the older part of it goes. events: updates for
    clients, and as many records; bytes: both together; age_s: of the oldest update."""

    events: int = LOG_EVENTS_MAX
    bytes: int = LOG_BYTES_MAX
    age_s: float = LOG_AGE_S

    def scaled(self, share: float) -> LogLimits:
        return LogLimits(round(self.events * share), round(self.bytes * share), self.age_s * share)


@dataclass(slots=True)
class Kept:
    """records and record_bytes: since the last snapshot, which is not among them, whatever its size. update_bytes:
    of all updates that are kept. oldest_at: when the first of those was written, in UTC seconds."""

    records: int = 0
    record_bytes: int = 0
    snapshot_bytes: int = 0
    update_bytes: int = 0
    oldest_at: float | None = None

    def add(self, record: Record, size: int, told: int) -> None:
        """Count one commit: the bytes of its record, and of its updates."""
        if record.op == "snapshot":
            self.update_bytes, self.oldest_at = record.body["kept"]
            self.records, self.record_bytes, self.snapshot_bytes = 0, 0, size
            return
        self.records += 1
        self.record_bytes += size
        self.update_bytes += told
        if told and self.oldest_at is None:
            self.oldest_at = record.at

    def is_over(self, limits: LogLimits, updates: int, now: float) -> bool:
        """Whether a snapshot is due. updates: how many are kept. The bytes that a snapshot needs by itself are not
        held against the log, or one of a large session would be due again at once."""
        return (
            self.records > limits.events
            or updates > limits.events
            or self.record_bytes + self.update_bytes > max(limits.bytes, self.snapshot_bytes)
            or (self.oldest_at is not None and now - self.oldest_at > limits.age_s)
        )
