"""A journal in memory: for tests, simulations and trials. Same order and verdicts as on disk, nothing survives
the process; what was written survives close() and a later open(), also in another loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Any

from .base import Append, SessionRow, TokenRow
from .changes import Change, Head, fingerprint, make
from .queued import Job, QueuedJournal, run_changes, run_reads


@dataclass(slots=True)
class _Stored:
    row: SessionRow  # but for what its head says
    head: Head
    records: list[bytes] = field(default_factory=list)  # first_rev is at 0
    asked: list[int] = field(default_factory=list)  # the fingerprint of each one's append
    updates: list[bytes] = field(default_factory=list)  # trimmed + 1 is at 0
    tokens: list[TokenRow] = field(default_factory=list)


class MemoryStore:
    """Sessions in a dict, in the order of their creation."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Stored] = {}
        self._tokens: dict[bytes, TokenRow] = {}
        self.failures: deque[Exception] = deque()  # what the next changes get instead of being made

    def open(self) -> None:
        """There is nothing to open."""

    def close(self) -> None:
        """There is nothing to let go of."""

    def write(self, changes: Sequence[Change]) -> list[Any]:
        return [self._write(change) for change in changes]

    def _write(self, change: Change) -> Any:
        if self.failures:
            return self.failures.popleft()
        return make(self, change)

    def head(self, sid: str) -> Head | None:
        stored = self._sessions.get(sid)
        return stored.head if stored else None

    def create(self, session: SessionRow) -> Head:
        head = Head(0, session.fence, seq=session.trimmed, trimmed=session.trimmed)
        self._sessions[session.sid] = _Stored(session, head)
        return head

    def extend(self, append: Append, before: Head, after: Head) -> None:
        stored = self._sessions[append.sid]
        stored.records.append(append.record)
        stored.asked.append(fingerprint(append))
        stored.updates.extend(append.updates)
        del stored.records[: after.first_rev - before.first_rev]
        del stored.asked[: after.first_rev - before.first_rev]
        del stored.updates[: after.trimmed - before.trimmed]
        self._change_tokens(stored, append)
        if stored.row.ended_at is None:
            stored.row = replace(stored.row, ended_at=append.ended_at)

    def _change_tokens(self, stored: _Stored, append: Append) -> None:
        for token in [token for token in stored.tokens if token.id in append.revoked]:
            stored.tokens.remove(token)
            del self._tokens[token.digest]
        stored.tokens.extend(append.tokens)
        self._tokens.update((token.digest, token) for token in append.tokens)

    def keep(self, sid: str, head: Head) -> None:
        self._sessions[sid].head = head

    def forget(self, sid: str, head: Head) -> None:
        for token in self._sessions.pop(sid).tokens:
            del self._tokens[token.digest]

    def asked(self, head: Head, sid: str, rev: int) -> tuple[bytes, int]:
        stored, at = self._sessions[sid], rev - head.first_rev
        return stored.records[at], stored.asked[at]

    def session(self, sid: str) -> SessionRow | None:
        stored = self._sessions.get(sid)
        return stored.head.row_of(stored.row) if stored else None

    def sessions(self) -> list[SessionRow]:
        return [stored.head.row_of(stored.row) for stored in self._sessions.values()]

    def records(self, sid: str, after: int, limit: int | None) -> list[bytes]:
        stored = self._sessions.get(sid)
        if stored is None:
            return []
        first = max(after - stored.head.first_rev + 1, 0)
        return stored.records[first : None if limit is None else first + limit]

    def updates(self, sid: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        stored = self._sessions.get(sid)
        if stored is None:
            return []
        first = max(after - stored.head.trimmed, 0)
        found = stored.updates[first : first + max(limit, 0)]
        return list(enumerate(found, start=stored.head.trimmed + first + 1))

    def token(self, digest: bytes) -> TokenRow | None:
        found = self._tokens.get(digest)
        return found if found is not None and compare_digest(found.digest, digest) else None

    def tokens(self, sid: str) -> list[TokenRow]:
        stored = self._sessions.get(sid)
        return list(stored.tokens) if stored else []


class MemoryJournal(QueuedJournal):
    """What is queued in one turn of the loop is durable in the next. Faults for tests: hold, release, fail_next."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._memory = store or MemoryStore()
        super().__init__(self._memory)
        self._jobs: deque[Job] = deque()
        self._is_woken = False
        self._is_held = False

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._lose_queued()
            self._is_held = False
        self._loop = loop

    def _lose_queued(self) -> None:
        # Only a loop that was stopped without close() leaves anything: like a crash before the disk was asked.
        for job in self._jobs:
            self._forget(job)
        self._jobs.clear()
        self._is_woken = False

    async def close(self) -> None:
        self.release()
        if self._loop is not None:
            self._loop = None
            self._run()

    def hold(self) -> None:
        """Stall like a disk that does not answer: nothing is written or read until release()."""
        self._is_held = True

    def release(self) -> None:
        self._is_held = False
        self._wake()

    def fail_next(self, error: Exception, count: int = 1) -> None:
        """Give the next count changes (appends, claims, drops) this error; nothing of them is written."""
        self._memory.failures.extend([error] * count)

    def _put(self, job: Job) -> None:
        self._jobs.append(job)
        self._wake()

    def _wake(self) -> None:
        if self._loop is not None and self._jobs and not self._is_woken and not self._is_held:
            self._is_woken = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._is_woken = False
        if self._is_held:
            return
        jobs = list(self._jobs)
        self._jobs.clear()
        self._settle(run_changes(self._memory, jobs))
        self._settle(run_reads(jobs))
