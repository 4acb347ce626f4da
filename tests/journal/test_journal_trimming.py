"""What every store promises when a commit lets go of what was before it, and when the same append is asked again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from engine.errors import Fenced, JournalError
from engine.journal import Append, Journal, Trim
from tests.journal.making import commit, creation, head, right, row, stored


@pytest.fixture
async def trimmed(journal: Journal) -> Journal:
    """A session of four records and six updates, with two of each left, between two others."""
    for sid in ("s.before", "s.one", "s.after"):
        await journal.append(creation(sid, updates=(b"1", b"2")))
    await journal.append(commit(2, b"3"))
    await journal.append(commit(3, b"4", b"5"))
    await journal.append(replace(commit(4, b"6"), trim=Trim(records=3, updates=4)))
    return journal


async def test_a_commit_trims_what_was_before_it(trimmed: Journal) -> None:
    """A log is bounded by what a commit lets go of, and the row tells whoever reads what is gone."""
    assert await stored(trimmed) == replace(head(row(), rev=4, seq=6), first_rev=3, trimmed=4)
    assert await trimmed.records("s.one") == [b"record 3", b"record 4"]
    assert await trimmed.updates("s.one", 4, 10) == [(5, b"5"), (6, b"6")]
    for sid in ("s.before", "s.after"):
        assert await stored(trimmed, sid) == head(row(sid), rev=1, seq=2)
        assert await trimmed.updates(sid, 0, 10) == [(1, b"1"), (2, b"2")]
        assert await trimmed.records(sid) == [b"created"]


@pytest.mark.parametrize("after, limit, expected", [(0, 10, [5, 6]), (3, 1, [5]), (4, 1, [5]), (5, 9, [6]), (6, 9, [])])
async def test_what_is_read_from_before_the_trim_begins_behind_it(
    trimmed: Journal, after: int, limit: int, expected: list[int]
) -> None:
    """L4: a cursor from before gets what there is; the reader sees the gap by the row, and says so first."""
    assert [seq for seq, _ in await trimmed.updates("s.one", after, limit)] == expected


async def test_a_trim_may_be_named_again_and_goes_only_forward(trimmed: Journal) -> None:
    """Whoever snapshots need not know what is gone; and nothing comes back."""
    await trimmed.append(replace(commit(5, b"7"), trim=Trim(records=2, updates=0)))
    assert await stored(trimmed) == replace(head(row(), rev=5, seq=7), first_rev=3, trimmed=4)
    assert len(await trimmed.records("s.one")) == 3


async def test_a_trim_may_take_everything_but_its_own_record(trimmed: Journal) -> None:
    """The numbers go on where they were, so that no reader can take a later update for an earlier one (L1)."""
    await trimmed.append(replace(commit(5, b"7"), trim=Trim(records=5, updates=7)))
    assert await trimmed.records("s.one") == [b"record 5"]
    assert await trimmed.updates("s.one", 0, 10) == []
    await trimmed.append(commit(6, b"8"))
    assert await trimmed.updates("s.one", 0, 10) == [(8, b"8")]
    assert await stored(trimmed) == replace(head(row(), rev=6, seq=8), first_rev=5, trimmed=7)
    assert await trimmed.claim("s.one") == replace(head(row(), rev=6, seq=8, fence=1), first_rev=5, trimmed=7)


@pytest.mark.parametrize("trim", [Trim(records=6, updates=0), Trim(records=0, updates=8)])
async def test_a_trim_of_what_is_not_written_yet_is_refused(trimmed: Journal, trim: Trim) -> None:
    """A reckoning that is wrong must not cost what comes later."""
    with pytest.raises(JournalError, match="cannot let go of"):
        await trimmed.append(replace(commit(5, b"7"), trim=trim))
    assert await stored(trimmed) == replace(head(row(), rev=4, seq=6), first_rev=3, trimmed=4)
    assert len(await trimmed.updates("s.one", 0, 10)) == 2


async def test_trims_and_appends_of_one_batch_have_their_order(journal: Journal) -> None:
    """A snapshot and the commits around it are written together; each leaves what it should."""
    later = [replace(commit(rev, b"%d" % rev), trim=Trim(rev - 1, rev - 2)) for rev in range(2, 40)]
    await asyncio.gather(*map(journal.append, [creation(updates=(b"1",)), *later]))
    assert await journal.records("s.one") == [b"record 38", b"record 39"]
    assert await journal.updates("s.one", 0, 10) == [(38, b"38"), (39, b"39")]


async def test_a_trimmed_session_is_dropped_whole(trimmed: Journal) -> None:
    """C3: and one that is created under its sid begins anew."""
    await trimmed.drop("s.one")
    await trimmed.append(creation(updates=(b"a",)))
    assert await stored(trimmed) == head(row(), rev=1, seq=1)
    assert await trimmed.updates("s.one", 0, 10) == [(1, b"a")]


async def test_a_session_may_begin_behind_what_was_trimmed_elsewhere(journal: Journal) -> None:
    """L1: one that moves here keeps its numbers, though what they stood for stayed behind."""
    moved = replace(row(), trimmed=40)
    await journal.append(Append("s.one", 0, 1, b"moved", (b"41",), session=moved))
    assert await stored(journal) == replace(row(), rev=1, seq=41, trimmed=40)
    assert await journal.updates("s.one", 0, 10) == [(41, b"41")]


ASKED_TWICE = [
    pytest.param(commit(2, b"b"), id="a commit"),
    pytest.param(
        replace(commit(2), tokens=(right("n"),), revoked=("id-t",), ended_at=5.0), id="with rights and an end"
    ),
    pytest.param(replace(commit(2, b"b", b"c"), trim=Trim(2, 3)), id="with a trim that took its own updates"),
]


@pytest.mark.parametrize("append", ASKED_TWICE)
async def test_the_same_append_asked_again_is_written_once(journal: Journal, append: Append) -> None:
    """L5: whoever lost the answer asks again, in the same batch or later, and nothing is doubled."""
    await journal.append(creation(updates=(b"a",), tokens=(right("t"),)))
    await asyncio.gather(journal.append(append), journal.append(append))
    once = await stored(journal)
    await journal.append(append)
    assert await stored(journal) == once
    assert once.rev == 2
    await journal.append(commit(3, b"z"))
    await journal.append(append)  # another one has been written behind it
    assert await journal.records("s.one") == [b"created", b"record 2", b"record 3"][once.first_rev - 1 :]
    assert (await stored(journal)).seq == once.seq + 1


async def test_the_same_creation_asked_again_makes_one_session(journal: Journal) -> None:
    """C5: of a creation whose answer was lost there is one, with its rights."""
    made = creation(updates=(b"a",), tokens=(right("t"),))
    await asyncio.gather(journal.append(made), journal.append(made))
    assert await stored(journal) == head(row(), rev=1, seq=1)
    assert await journal.tokens("s.one") == [right("t")]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(commit(2, b"b", b"x"), id="more updates"),
        pytest.param(commit(2), id="fewer"),
        pytest.param(commit(2, b"B"), id="another update"),
        pytest.param(commit(2, b"", b"b"), id="cut elsewhere"),
        pytest.param(replace(commit(2, b"b"), record=b"other"), id="another record"),
        pytest.param(replace(commit(2, b"b"), tokens=(right("n"),)), id="a right more"),
        pytest.param(replace(commit(2, b"b"), revoked=("id-t",)), id="a right less"),
        pytest.param(replace(commit(2, b"b"), ended_at=1.0), id="an end"),
        pytest.param(replace(commit(2, b"b"), trim=Trim(2, 0)), id="a trim"),
    ],
)
async def test_another_append_at_a_stored_revision_is_refused(journal: Journal, other: Append) -> None:
    """L6: two writers that each made revision 2 must not both believe in theirs."""
    await journal.append(creation(updates=(b"a",), tokens=(right("t"),)))
    await journal.append(commit(2, b"b"))
    with pytest.raises(Fenced):
        await journal.append(other)
    assert await stored(journal) == head(row(), rev=2, seq=2)


@pytest.mark.parametrize("fence", [0, 1, 2])
async def test_the_same_append_is_refused_once_its_writer_is_fenced_off(journal: Journal, fence: int) -> None:
    """L6: the new owner goes by what it read when it claimed; to the old one nothing is confirmed any more."""
    await journal.append(creation())
    await journal.append(commit(2, b"b"))
    await journal.claim("s.one")
    with pytest.raises(Fenced):
        await journal.append(replace(commit(2, b"B" if fence else b"b"), fence=fence))


async def test_the_same_append_is_refused_once_its_record_is_trimmed(trimmed: Journal) -> None:
    """What is gone cannot be compared; nobody waits for an answer that long."""
    with pytest.raises(Fenced):
        await trimmed.append(commit(2, b"3"))
