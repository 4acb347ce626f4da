"""A journal in memory: for tests, simulations and trials. Same order and verdicts as on disk, nothing survives
the process; what was written survives close() and a later open(), also in another loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Any

from ..errors import JournalError
from .base import Append, SessionRow, TokenRow, refusal
from .queued import Change, Claim, Drop, Job, QueuedJournal, run_changes, run_reads


@dataclass(slots=True)
class _Stored:
    row: SessionRow
    records: list[bytes] = field(default_factory=list)
    updates: list[bytes] = field(default_factory=list)  # the update of seq is at seq - 1
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
        match change:
            case Append():
                return self._append(change)
            case Claim(sid):
                return self._claim(sid)
            case Drop(sid):
                return self._drop(sid)

    def _append(self, append: Append) -> JournalError | None:
        stored = self._sessions.get(append.sid)
        fence, rev = (stored.row.fence, stored.row.rev) if stored else (None, 0)
        refused = refusal(append, fence, rev) or self._known_digest(append)
        if refused is not None:
            return refused
        if stored is None:
            assert append.session is not None, "refusal() lets nothing else pass"
            stored = self._sessions[append.sid] = _Stored(replace(append.session, seq=0))
        self._extend(stored, append)
        return None

    def _known_digest(self, append: Append) -> JournalError | None:
        if not append.tokens:
            return None
        digests = [token.digest for token in append.tokens]
        ending = {token.digest for token in self.tokens(append.sid) if token.id in append.revoked}
        if len(set(digests)) < len(digests) or any(one in self._tokens and one not in ending for one in digests):
            return JournalError(f"a token of session {append.sid} is known already")
        return None

    def _extend(self, stored: _Stored, append: Append) -> None:
        stored.records.append(append.record)
        stored.updates.extend(append.updates)
        for token in [token for token in stored.tokens if token.id in append.revoked]:
            stored.tokens.remove(token)
            del self._tokens[token.digest]
        stored.tokens.extend(append.tokens)
        self._tokens.update((token.digest, token) for token in append.tokens)
        ended_at = append.ended_at if stored.row.ended_at is None else stored.row.ended_at
        stored.row = replace(stored.row, rev=append.rev, seq=len(stored.updates), ended_at=ended_at)

    def _claim(self, sid: str) -> SessionRow | KeyError:
        stored = self._sessions.get(sid)
        if stored is None:
            return KeyError(sid)
        stored.row = replace(stored.row, fence=stored.row.fence + 1)
        return stored.row

    def _drop(self, sid: str) -> None:
        stored = self._sessions.pop(sid, None)
        for token in stored.tokens if stored else ():
            del self._tokens[token.digest]

    def session(self, sid: str) -> SessionRow | None:
        stored = self._sessions.get(sid)
        return stored.row if stored else None

    def sessions(self) -> list[SessionRow]:
        return [stored.row for stored in self._sessions.values()]

    def records(self, sid: str) -> list[bytes]:
        stored = self._sessions.get(sid)
        return list(stored.records) if stored else []

    def updates(self, sid: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        stored = self._sessions.get(sid)
        first = max(after, 0)
        found = stored.updates[first : first + max(limit, 0)] if stored else []
        return list(enumerate(found, start=first + 1))

    def token(self, digest: bytes) -> TokenRow | None:
        found = self._tokens.get(digest)
        return found if found is not None and compare_digest(found.digest, digest) else None

    def tokens(self, sid: str) -> list[TokenRow]:
        stored = self._sessions.get(sid)
        return list(stored.tokens) if stored else []


class MemoryJournal(QueuedJournal):
    """What is queued in one turn of the loop is durable in the next. Faults for tests: hold, release, fail_next."""

    def __init__(self) -> None:
        self._memory = MemoryStore()
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
