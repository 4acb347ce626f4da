"""Any sequence of changes, against a model that is nothing but dicts."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.errors import JournalError
from engine.journal import Append, Journal, SessionRow, TokenRow, Trim
from engine.journal.memory import MemoryJournal
from engine.journal.sqlite import SqliteJournal
from tests.journal.making import right, row

SIDS = ("s.a", "s.b", "s.c")


@dataclass
class Known:
    """One session in the model."""

    row: SessionRow
    appends: list[Append] = field(default_factory=list)  # of all revisions
    updates: list[bytes] = field(default_factory=list)  # of all numbers
    tokens: list[TokenRow] = field(default_factory=list)


@dataclass(frozen=True)
class Wish:
    """A change, told in terms of what is stored when its turn comes."""

    what: str
    sid: str
    rev_off: int
    fence_off: int
    updates: tuple[bytes, ...]
    tokens: tuple[str, ...]
    revoked: tuple[str, ...]
    ends: bool
    is_cancelled: bool
    trim: tuple[int, int] | None  # how far behind its own rev and last seq


TOKENS = st.lists(st.sampled_from(["t1", "t2", "t3"]), max_size=2).map(tuple)
MOSTLY_RIGHT = st.sampled_from([0, 0, 0, 0, 0, 1, -1])
WISHES = st.builds(
    Wish,
    what=st.sampled_from(["create", "commit", "commit", "commit", "commit", "again", "claim", "drop"]),
    sid=st.sampled_from(SIDS),
    rev_off=MOSTLY_RIGHT,
    fence_off=MOSTLY_RIGHT,
    updates=st.lists(st.binary(max_size=3), max_size=3).map(tuple),
    tokens=st.one_of(st.just(()), st.just(()), TOKENS),
    revoked=st.one_of(st.just(()), TOKENS),
    ends=st.sampled_from([False, False, False, True]),
    is_cancelled=st.sampled_from([False, False, False, True]),
    trim=st.one_of(st.none(), st.tuples(st.integers(-1, 4), st.integers(-1, 6))),
)


class JournalMachine(RuleBasedStateMachine):
    """Subclasses say which journal."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model: dict[str, Known] = {}
        self.journal: Journal = self.make()
        self.count = 0

    def make(self) -> Journal:
        raise NotImplementedError

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.run(self.journal.close())
        self.runner.close()

    @initialize()
    def begin(self) -> None:
        self.run(self.journal.open())

    @rule()
    def reopen(self) -> None:
        self.run(self.journal.close())
        self.run(self.journal.open())

    @rule(wishes=st.lists(WISHES, min_size=1, max_size=8))
    def change_together(self, wishes: list[Wish]) -> None:
        self.run(self._change_together(wishes))

    async def _change_together(self, wishes: list[Wish]) -> None:
        asked: list[tuple[asyncio.Future[Any], Any]] = []
        for wish in wishes:
            future, expected = self._ask(wish)
            await asyncio.sleep(0)  # a claim or a drop is queued when its task first runs
            if wish.is_cancelled:
                future.cancel()
            asked.append((future, expected))
        results = await asyncio.gather(*(future for future, _ in asked), return_exceptions=True)
        for result, (_, expected) in zip(results, asked, strict=True):
            if isinstance(expected, type) and not isinstance(result, asyncio.CancelledError):
                assert isinstance(result, expected), result
            elif not isinstance(result, asyncio.CancelledError):
                assert result == expected

    def _ask(self, wish: Wish) -> tuple[asyncio.Future[Any], Any]:
        known = self.model.get(wish.sid)
        if wish.what == "drop":
            self.model.pop(wish.sid, None)
            return asyncio.ensure_future(self.journal.drop(wish.sid)), None
        if wish.what == "claim":
            if known is None:
                return asyncio.ensure_future(self.journal.claim(wish.sid)), KeyError
            known.row = replace(known.row, fence=known.row.fence + 1)
            return asyncio.ensure_future(self.journal.claim(wish.sid)), known.row
        if wish.what == "again" and known is not None:
            # Some commit of its own once more: confirmed under the fence that made it, as long as its record is kept.
            again = known.appends[-1 - self.count % len(known.appends)]
            is_known = again.fence == known.row.fence and again.rev >= known.row.first_rev
            return self.journal.append(again), None if is_known else JournalError
        append = self._appended(wish, known)
        return self.journal.append(append), self._model_append(append, known, is_next=self._is_next(wish, known))

    def _is_next(self, wish: Wish, known: Known | None) -> bool:
        return wish.rev_off == wish.fence_off == 0 and (known is None) == (wish.what == "create")

    def _appended(self, wish: Wish, known: Known | None) -> Append:
        self.count += 1
        fence, rev = (known.row.fence, known.row.rev) if known else (0, 0)
        return Append(
            wish.sid,
            fence + wish.fence_off,
            rev + 1 + wish.rev_off,
            b"record %d" % self.count,
            wish.updates,
            session=row(wish.sid) if wish.what == "create" else None,
            tokens=tuple(right(token, wish.sid) for token in wish.tokens),
            revoked=tuple(f"id-{token}" for token in wish.revoked),
            ended_at=float(self.count) if wish.ends else None,
            trim=self._trim(wish, known),
        )

    def _trim(self, wish: Wish, known: Known | None) -> Trim | None:
        if wish.trim is None:
            return None
        rev, seq = (known.row.rev + 1, known.row.seq) if known else (1, 0)
        return Trim(rev - wish.trim[0], seq + len(wish.updates) - wish.trim[1])

    def _model_append(self, append: Append, known: Known | None, *, is_next: bool) -> type[JournalError] | None:
        if not is_next or (append.trim is not None and self._is_too_much(append.trim, append, known)):
            return JournalError
        kept = [token for token in known.tokens if token.id not in append.revoked] if known else []
        elsewhere = [token for sid, other in self.model.items() if sid != append.sid for token in other.tokens]
        digests = [token.digest for token in (*kept, *elsewhere, *append.tokens)]
        if len(set(digests)) < len(digests):
            return JournalError
        if known is None:
            known = self.model[append.sid] = Known(row(append.sid))
        known.appends.append(append)
        known.updates.extend(append.updates)
        known.tokens = [*kept, *append.tokens]
        ended_at = append.ended_at if known.row.ended_at is None else known.row.ended_at
        known.row = replace(known.row, rev=append.rev, seq=len(known.updates), ended_at=ended_at)
        if append.trim is not None:
            first_rev = max(known.row.first_rev, append.trim.records)
            known.row = replace(known.row, first_rev=first_rev, trimmed=max(known.row.trimmed, append.trim.updates))
        return None

    def _is_too_much(self, trim: Trim, append: Append, known: Known | None) -> bool:
        seq = (known.row.seq if known else 0) + len(append.updates)
        return trim.records > append.rev or trim.updates > seq

    @invariant()
    def everything_stored_is_what_the_model_knows(self) -> None:
        self.run(self._compare())

    async def _compare(self) -> None:
        journal = self.journal
        assert await journal.sessions() == [known.row for known in self.model.values()]
        for sid in SIDS:
            known = self.model.get(sid, Known(row(sid)))
            assert await journal.session(sid) == (known.row if sid in self.model else None)
            first, trimmed = known.row.first_rev, known.row.trimmed
            assert await journal.records(sid) == [append.record for append in known.appends[first - 1 :]]
            for after, limit in ((0, 1), (first, 2), (known.row.rev - 1, 5), (known.row.rev, 5)):
                begin = max(after, first - 1)
                page = [append.record for append in known.appends[begin : begin + limit]]
                assert await journal.records(sid, after, limit) == page
            assert await journal.updates(sid, 0, 1000) == list(enumerate(known.updates, start=1))[trimmed:]
            assert await journal.tokens(sid) == known.tokens
            for token in known.tokens:
                assert await journal.token(token.digest) == token


class MemoryMachine(JournalMachine):
    def make(self) -> Journal:
        return MemoryJournal()


class SqliteMachine(JournalMachine):
    def make(self) -> Journal:
        self.directory = Path(tempfile.mkdtemp())
        return SqliteJournal(self.directory / "journal.db")

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.directory)


TestMemoryModel = MemoryMachine.TestCase
TestMemoryModel.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
TestSqliteModel = SqliteMachine.TestCase
TestSqliteModel.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
