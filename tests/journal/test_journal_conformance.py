"""What every store promises, shown on each of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from engine.errors import Busy, Fenced, JournalError
from engine.journal import Append, Journal, TokenRow, Trim, queued
from engine.journal.base import PLACE_LAST
from tests.journal.making import commit, creation, head, right, row, stored


async def settle(*appends: asyncio.Future[None]) -> list[str]:
    """Wait for all; what became of each: "ok" or the name of its error."""
    results = await asyncio.gather(*appends, return_exceptions=True)
    return ["ok" if result is None else type(result).__name__ for result in results]


async def test_a_created_session_is_stored_whole(journal: Journal) -> None:
    """C5: a creation is one append: the row, the first record, the first updates and the first right."""
    await journal.append(creation(updates=(b"hello", b"world"), tokens=(right("t"),)))
    assert await journal.session("s.one") == head(row(), rev=1, seq=2)
    assert await journal.records("s.one") == [b"created"]
    assert await journal.updates("s.one", 0, 10) == [(1, b"hello"), (2, b"world")]
    assert await journal.tokens("s.one") == [right("t")]


async def test_appends_are_written_in_the_order_of_the_calls(journal: Journal) -> None:
    """M2: nobody awaits one before asking for the next, and still the log has the order of the calls."""
    appends = [journal.append(creation()), *(journal.append(commit(rev)) for rev in range(2, 1500))]
    await asyncio.gather(*appends)
    assert await journal.records("s.one") == [b"created", *(b"record %d" % rev for rev in range(2, 1500))]


async def test_verdicts_come_in_the_order_of_the_appends(journal: Journal) -> None:
    """What depends on an append (a frame to a client) must not overtake what depends on an earlier one."""
    told: list[int] = []
    appends = [journal.append(creation() if rev == 1 else commit(rev)) for rev in range(1, 50)]
    for rev, append in enumerate(appends, start=1):
        append.add_done_callback(partial(lambda rev, _: told.append(rev), rev))
    await asyncio.gather(*appends)
    assert told == list(range(1, 50))


async def test_an_append_is_not_durable_in_the_turn_it_was_asked_in(journal: Journal) -> None:
    """Whoever forgets to await must notice with every store, not only with the one that has a disk."""
    append = journal.append(creation())
    assert not append.done()
    await append


@pytest.mark.parametrize("rev", [1, 2, 4, 0, -1])
async def test_a_revision_that_is_not_the_next_is_fenced_and_writes_nothing(journal: Journal, rev: int) -> None:
    """L6: two writers of one session cannot both make revision 3."""
    await journal.append(creation(updates=(b"a",), tokens=(right("t"),)))
    await journal.append(commit(2, b"b"))
    with pytest.raises(Fenced, match=r"revision 2 under fence 0"):
        await journal.append(
            replace(commit(rev, b"x"), tokens=(right("new"),), revoked=("id-t",), ended_at=1.0),
        )
    assert await stored(journal) == head(row(), rev=2, seq=2)
    assert await journal.records("s.one") == [b"created", b"record 2"]
    assert await journal.updates("s.one", 0, 10) == [(1, b"a"), (2, b"b")]
    assert await journal.tokens("s.one") == [right("t")]


async def test_a_claim_fences_off_the_writer_before_it(journal: Journal) -> None:
    """L6: a process that was thought dead and wakes up appends nothing more."""
    await journal.append(creation())
    assert await journal.claim("s.one") == head(row(), rev=1, seq=0, fence=1)
    assert await settle(journal.append(commit(2, fence=0)), journal.append(commit(2, fence=1))) == ["Fenced", "ok"]
    assert (await stored(journal)).rev == 2


async def test_what_was_queued_before_a_claim_is_in_the_row_it_returns(journal: Journal) -> None:
    """The new owner starts from that row: an append that slips in behind it would be lost to it."""
    appends = [journal.append(creation(updates=(b"a",))), journal.append(commit(2, b"b"))]
    assert await journal.claim("s.one") == head(row(), rev=2, seq=2, fence=1)
    assert await settle(*appends, journal.append(commit(3))) == ["ok", "ok", "Fenced"]


async def test_claims_at_once_each_get_a_fence_of_their_own(journal: Journal) -> None:
    """L6: of any number of rivals only the last one may write."""
    await journal.append(creation())
    rows = await asyncio.gather(*(journal.claim("s.one") for _ in range(5)))
    assert [claimed.fence for claimed in rows] == [1, 2, 3, 4, 5]


async def test_a_session_that_is_not_there_cannot_be_claimed(journal: Journal) -> None:
    """The caller tells "gone" from "the store is ill" by the type."""
    with pytest.raises(KeyError):
        await journal.claim("s.none")


async def test_a_session_is_created_once(journal: Journal) -> None:
    """C5: two creations of one sid: one session, and the second leaves no trace."""
    twice = replace(creation(updates=(b"other",), tokens=(right("other"),)), record=b"other")
    assert await settle(journal.append(creation()), journal.append(twice)) == ["ok", "Fenced"]
    assert await journal.records("s.one") == [b"created"]
    assert await journal.token(right("other").digest) is None


@pytest.mark.parametrize(
    "append",
    [
        pytest.param(commit(1), id="no session row"),
        pytest.param(replace(creation(), rev=2), id="not revision 1"),
        pytest.param(replace(creation(), fence=1), id="not its fence"),
        pytest.param(replace(creation(), session=row("s.two")), id="another session's row"),
    ],
)
async def test_a_session_begins_with_its_row_at_revision_1(journal: Journal, append: Append) -> None:
    """Anything else is a writer that believes in a session which is not there (dropped, another store)."""
    with pytest.raises(Fenced):
        await journal.append(append)
    assert await journal.sessions() == []
    assert await journal.records("s.one") == []


async def test_a_session_may_be_created_under_a_fence(journal: Journal) -> None:
    """One that moves here from another store keeps its fence, so that old owners stay fenced off."""
    await journal.append(Append("s.one", 7, 1, b"moved", session=row(fence=7)))
    assert await settle(journal.append(commit(2)), journal.append(commit(2, fence=7))) == ["Fenced", "ok"]


async def test_a_refused_append_spoils_none_of_its_batch(journal: Journal) -> None:
    """C7: sessions share a group commit, not its verdict. Behind a refusal the same session is refused too."""
    appends = [
        creation("s.one"),
        creation("s.two"),
        commit(3, b"x", sid="s.one"),  # a gap
        commit(2, b"a", sid="s.two"),
        commit(4, b"x", sid="s.one"),  # was meant to follow the one with the gap
        commit(3, b"b", sid="s.two"),
        commit(2, b"c", sid="s.none"),
        commit(2, b"d", sid="s.one"),
    ]
    verdicts = await settle(*map(journal.append, appends))
    assert verdicts == ["ok", "ok", "Fenced", "ok", "Fenced", "ok", "Fenced", "ok"]
    assert await journal.updates("s.one", 0, 10) == [(1, b"d")]
    assert await journal.updates("s.two", 0, 10) == [(1, b"a"), (2, b"b")]


async def test_an_append_the_store_cannot_take_spoils_none_of_its_batch(journal: Journal) -> None:
    """C7: one that breaks in the store itself (here a token that is known) is refused alone."""
    appends = [
        creation("s.one", tokens=(right("t"),)),
        creation("s.two", tokens=(right("t", "s.two"),)),
        creation("s.three"),
        commit(2, b"a", sid="s.one"),
    ]
    assert await settle(*map(journal.append, appends)) == ["ok", "Violation", "ok", "ok"]
    assert [found.sid for found in await journal.sessions()] == ["s.one", "s.three"]
    assert await journal.token(right("t").digest) == right("t")


async def test_updates_are_numbered_without_gaps_across_appends(journal: Journal) -> None:
    """L1: the numbers come from the store, so an append with none, or one that was refused, leaves no hole."""
    appends = [creation(updates=(b"1",)), commit(2), commit(3, b"2", b"3"), commit(9, b"x"), commit(4, b"4")]
    await settle(*map(journal.append, appends))
    assert await journal.updates("s.one", 0, 100) == [(1, b"1"), (2, b"2"), (3, b"3"), (4, b"4")]
    assert (await stored(journal)).seq == 4


async def test_sessions_have_numbers_of_their_own(journal: Journal) -> None:
    """C7: what lies next to a session in the store is never read as part of it."""
    await asyncio.gather(*(journal.append(creation(sid, updates=(sid.encode(),))) for sid in ("s.a", "s.b", "s.c")))
    assert await journal.updates("s.b", 0, 10) == [(1, b"s.b")]
    assert await journal.updates("s.b", 1, 10) == []
    assert await journal.records("s.b") == [b"created"]


@pytest.mark.parametrize(
    "after, limit, expected",
    [
        (0, 3, [1, 2, 3]),
        (2, 100, [3, 4, 5]),
        (4, 1, [5]),
        (5, 10, []),
        (2**40, 10, []),
        (0, 0, []),
        (0, -1, []),
        (-7, 2, [1, 2]),
    ],
)
async def test_updates_are_read_after_a_number_and_up_to_a_limit(
    journal: Journal, after: int, limit: int, expected: list[int]
) -> None:
    """L11: a client's cursor, whatever it claims, reads a bounded piece and never another session's."""
    await journal.append(creation(updates=tuple(b"%d" % seq for seq in range(1, 6))))
    await journal.append(creation("s.two", updates=(b"foreign",)))
    assert [seq for seq, _ in await journal.updates("s.one", after, limit)] == expected


async def test_bytes_come_back_as_they_went_in(journal: Journal) -> None:
    """L1: the same bytes for everyone; the store has no opinion of them."""
    odd = (b"", b"\0", b"\xff\xfe", "\N{SNOWMAN}".encode(), b"x" * 300_000)
    await journal.append(Append("s.one", 0, 1, b"\0\xff", odd, session=row()))
    assert [update for _, update in await journal.updates("s.one", 0, 10)] == list(odd)
    assert await journal.records("s.one") == [b"\0\xff"]


async def test_a_question_sees_the_appends_asked_before_it(journal: Journal) -> None:
    """A session that is found right after it was asked for is there, without anyone awaiting in between."""
    append = journal.append(creation(updates=(b"a",)))
    assert await journal.updates("s.one", 0, 10) == [(1, b"a")]
    await append


async def test_a_token_is_found_by_its_digest_alone(journal: Journal) -> None:
    """L12: a foreign one, or nearly the right one, finds nothing."""
    await journal.append(creation(tokens=(right("a"), right("b", role="observe"))))
    assert await journal.token(right("b").digest) == right("b", role="observe")
    nearly = right("b").digest[:-1] + bytes([right("b").digest[-1] ^ 1])
    for wrong in (right("c").digest, nearly, right("b").digest[:-1], right("b").digest + b"\0", b""):
        assert await journal.token(wrong) is None


async def test_a_revoked_token_is_gone_with_its_commit(journal: Journal) -> None:
    """L12: revoking and giving a new one is one commit; nobody is locked out or in between the two."""
    await journal.append(creation(tokens=(right("old"), right("other"))))
    await journal.append(replace(commit(2), revoked=("id-old", "id-unknown"), tokens=(right("new"),)))
    assert await journal.token(right("old").digest) is None
    assert await journal.tokens("s.one") == [right("other"), right("new")]


async def test_a_token_may_be_given_again_by_the_commit_that_revokes_it(journal: Journal) -> None:
    """Rights end before new ones begin, so that a role can be changed in one commit."""
    await journal.append(creation(tokens=(right("t"),)))
    await journal.append(replace(commit(2), revoked=("id-t",), tokens=(right("t", role="observe"),)))
    assert await journal.token(right("t").digest) == right("t", role="observe")


async def test_a_session_revokes_only_its_own_tokens(journal: Journal) -> None:
    """C7: ids are given within a session; two sessions may have the same ones."""
    same = replace(right("b", "s.two"), id="id-a")
    await journal.append(creation(tokens=(right("a"),)))
    await journal.append(creation("s.two", tokens=(same,)))
    await journal.append(replace(commit(2), revoked=("id-a",)))
    assert await journal.token(right("a").digest) is None
    assert await journal.token(same.digest) == same


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param((right("known"),), id="known"),
        pytest.param((right("new"), right("new")), id="twice"),
        pytest.param((right("new", "s.two"),), id="of another session"),
    ],
)
async def test_a_token_that_would_be_ambiguous_is_refused(journal: Journal, tokens: tuple[TokenRow, ...]) -> None:
    """L12: one digest, one right."""
    await journal.append(creation(tokens=(right("known"),)))
    with pytest.raises(JournalError):
        await journal.append(replace(commit(2, b"x"), tokens=tokens))
    assert await stored(journal) == head(row(), rev=1, seq=0)
    assert await journal.tokens("s.one") == [right("known")]


async def test_a_session_ends_once(journal: Journal) -> None:
    """How long its log is kept counts from there; a second end must not prolong it."""
    await journal.append(creation())
    await journal.append(replace(commit(2), ended_at=0.0))
    await journal.append(replace(commit(3), ended_at=20.5))
    assert await stored(journal) == head(row(), rev=3, seq=0, ended_at=0.0)


async def test_a_dropped_session_leaves_nothing(journal: Journal) -> None:
    """C3: what is forgotten is forgotten whole, and its neighbours are not."""
    for sid in ("s.one", "s.two", "s.three"):
        await journal.append(creation(sid, updates=(b"a", b"b"), tokens=(right(sid, sid),)))
    await journal.drop("s.two")
    await journal.drop("s.none")
    assert await journal.session("s.two") is None
    assert await journal.records("s.two") == []
    assert await journal.updates("s.two", 0, 10) == []
    assert await journal.tokens("s.two") == []
    assert await journal.token(right("s.two", "s.two").digest) is None
    for sid in ("s.one", "s.three"):
        assert len(await journal.updates(sid, 0, 10)) == 2
        assert await journal.tokens(sid) == [right(sid, sid)]


async def test_a_drop_has_its_place_among_the_appends(journal: Journal) -> None:
    """Everything asked in one turn, one batch: what comes before is forgotten, what comes after is refused."""
    before = [journal.append(creation(updates=(b"old",), tokens=(right("t"),))), journal.append(commit(2, b"old"))]
    dropped = asyncio.ensure_future(journal.drop("s.one"))
    await asyncio.sleep(0)
    after = [journal.append(commit(3)), journal.append(creation(updates=(b"new",), tokens=(right("t"),)))]
    await dropped
    assert await settle(*before, *after) == ["ok", "ok", "Fenced", "ok"]
    assert await journal.updates("s.one", 0, 10) == [(1, b"new")]


async def test_sessions_are_listed_oldest_first(journal: Journal) -> None:
    """By creation, not by name or by a clock that was set back."""
    for sid in ("s.c", "s.a", "s.b"):
        await journal.append(creation(sid))
    await journal.append(commit(2, b"u", sid="s.a"))
    await journal.drop("s.c")
    await journal.append(creation("s.c"))
    assert await journal.sessions() == [
        head(row("s.a"), rev=2, seq=1),
        head(row("s.b"), rev=1, seq=0),
        head(row("s.c"), rev=1, seq=0),
    ]


async def test_what_is_not_there_is_empty(journal: Journal) -> None:
    """Reading needs no claim and no certainty that there is a session."""
    assert await journal.session("s.none") is None
    assert await journal.sessions() == []
    assert await journal.records("s.none") == []
    assert await journal.updates("s.none", 0, 10) == []
    assert await journal.tokens("s.none") == []
    assert await journal.token(b"none") is None


async def test_a_waiter_that_is_cancelled_changes_nothing_for_its_append(journal: Journal) -> None:
    """M6: the commit is written in its place, and the next one follows it."""
    appends = [journal.append(creation()), journal.append(commit(2, b"a")), journal.append(commit(3, b"b"))]
    appends[1].cancel()
    await asyncio.gather(appends[0], appends[2])
    assert await journal.updates("s.one", 0, 10) == [(1, b"a"), (2, b"b")]


async def test_a_claim_that_is_cancelled_may_have_happened_and_harms_no_later_one(journal: Journal) -> None:
    """A fence that was raised for nobody only costs a number."""
    await journal.append(creation())
    cancelled = asyncio.ensure_future(journal.claim("s.one"))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert (await journal.claim("s.one")).fence == 2


async def test_too_many_appends_are_busy_and_then_taken_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L11: a disk that stalls costs a bounded number of waiting appends; those already taken are written."""
    monkeypatch.setattr(queued, "APPENDS_QUEUED_MAX", 3)
    appends = [journal.append(creation()), journal.append(commit(2)), journal.append(commit(3))]
    with pytest.raises(Busy):
        journal.append(commit(4))
    await asyncio.gather(*appends)
    await journal.append(commit(4))
    assert (await stored(journal)).rev == 4


async def test_too_many_bytes_are_busy_but_one_large_append_is_taken(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L11: the bound is on memory as well; what is larger than the bound could otherwise never be written."""
    monkeypatch.setattr(queued, "APPEND_BYTES_QUEUED_MAX", 1000)
    large = journal.append(creation(updates=(b"x" * 5000,)))
    with pytest.raises(Busy):
        journal.append(commit(2))
    await large
    await asyncio.gather(journal.append(commit(2)), journal.append(commit(3)))


async def test_a_closed_journal_says_so(journal: Journal) -> None:
    """A late append is told, as an outcome and not as a crash of whoever asked; closing twice is no mistake."""
    await journal.append(creation())
    await journal.close()
    await journal.close()
    with pytest.raises(JournalError, match="not open"):
        await journal.append(commit(2))
    with pytest.raises(JournalError, match="not open"):
        await journal.records("s.one")


async def test_close_writes_what_is_queued_and_open_finds_it_again(journal: Journal) -> None:
    """L13: a stop loses nothing that was taken, and the same journal can be opened again."""
    appends = [journal.append(creation()), *(journal.append(commit(rev, b"u")) for rev in range(2, 900))]
    await asyncio.gather(journal.close(), journal.close())
    assert await settle(*appends) == ["ok"] * 899
    await journal.open()
    await journal.open()
    assert await stored(journal) == head(row(), rev=899, seq=898)
    await journal.append(commit(900))


async def test_a_log_that_is_full_costs_nobody_else_anything(journal: Journal) -> None:
    """L1, C7: above its last place there is no other, least of all in the log of the session that was made after it."""
    almost = replace(row(), trimmed=PLACE_LAST - 1)
    await journal.append(replace(creation(), session=almost))
    await journal.append(creation("s.two"))
    told = await settle(
        journal.append(commit(2, b"the last")),
        journal.append(commit(2, b"a", sid="s.two")),
        journal.append(commit(3, b"one more")),
        journal.append(commit(3, b"b", sid="s.two")),
    )
    assert told == ["ok", "ok", "Violation", "ok"]
    assert await journal.updates("s.one", PLACE_LAST - 1, 10) == [(PLACE_LAST, b"the last")]
    assert await journal.updates("s.two", 0, 10) == [(1, b"a"), (2, b"b")]
    # What is said to nobody still is written, and what was is let go of.
    await journal.append(commit(3))
    await journal.append(replace(commit(4), trim=Trim(records=4, updates=PLACE_LAST)))
    await journal.append(commit(5))
    assert await journal.records("s.one") == [b"record 4", b"record 5"]
    await journal.drop("s.one")
    assert await journal.updates("s.two", 0, 10) == [(1, b"a"), (2, b"b")]
