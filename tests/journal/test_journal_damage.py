"""What a damaged file gives: its name and what to do, or what was written. Never anything else."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from engine.errors import Corrupt, JournalError
from engine.journal import inspection, schema
from engine.journal.sqlite import SqliteStore
from engine.journal.wal import FRAME_BYTES, HEADER_BYTES
from tests.journal.damaging import SIDS, answers, faults, fill, opened
from tests.journal.making import commit
from tests.server.long import size

FLIPS = size(250, 40_000)
PAGE = 4096


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a journal, and all it has to say."""
    path = tmp_path_factory.mktemp("whole") / "journal.db"
    with opened(path) as store:
        fill(store)
    with opened(path) as store:
        expected = answers(store)
    return path.read_bytes(), expected


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def positions(size: int, count: int) -> list[int]:
    """Bits all over the file; a third of them where a page is described, which is little and where most is at stake."""
    dice = random.Random(11)
    pages = [page * PAGE for page in range(size // PAGE)]
    near = [dice.randrange(at * 8, (at + 120) * 8) for at in dice.choices(pages, k=count // 3)]
    return near + [dice.randrange(size * 8) for _ in range(count - len(near))]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("is_large", [False, True], ids=["every page looked at", "only those that lead to the rest"])
def test_a_flipped_bit_is_named_or_harmless(
    whole: tuple[bytes, dict[str, Any]], path: Path, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1, R4: whatever bit it is, wherever: what is given back is what was written, or the damage has a name."""
    if is_large:
        monkeypatch.setattr(inspection, "WHOLE_BYTES_MAX", 0)
    data, expected = whole
    named = 0
    for bit in positions(len(data), FLIPS):
        path.write_bytes(flipped(data, bit))
        named += bool(faults(path, expected))
        for beside in path.parent.glob("journal.db-*"):
            beside.unlink()
    assert named > FLIPS / 10


def _became_of(crashed: Path, before: dict[str, Any], after: dict[str, Any]) -> str:
    try:
        with opened(crashed) as store:
            found = answers(store)
    except Corrupt as error:
        return "named" if "its -wal is damaged" in str(error) else "misnamed"
    assert found in (before, after)
    return "after" if found == after else "before"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("wal_pages, begun_anew", [(schema.WAL_PAGES, 0), (48, 2)], ids=["its first time", "its third"])
def test_a_flipped_bit_in_the_wal_loses_no_commit_in_silence(
    path: Path, wal_pages: int, begun_anew: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L2: SQLite would take all that is behind it for a crash's remains. Only the very last commit may be either. What
    lies behind the end, of before the log was begun anew, is nobody's loss."""
    monkeypatch.setattr(schema, "WAL_PAGES", wal_pages)
    crashed = path.with_name("crashed")
    with opened(path) as store:
        fill(store)
        before = answers(store)
        assert store.write([commit(2, b"the last", sid="s.short")]) == [None]
        after = answers(store)
        data, wal = path.read_bytes(), path.with_name("journal.db-wal").read_bytes()
        end = HEADER_BYTES + store.db.execute("PRAGMA wal_checkpoint(noop)").fetchall()[0][1] * FRAME_BYTES
    assert int.from_bytes(wal[12:16], "big") == begun_anew
    assert (end < len(wal)) is (begun_anew > 0)
    seen = {"before": 0, "after": 0, "named": 0}
    for bit in [*range(0, HEADER_BYTES * 8, 16), *positions(end // PAGE * PAGE, FLIPS // 8)]:
        crashed.write_bytes(data)
        crashed.with_name("crashed-wal").write_bytes(flipped(wal, bit))
        seen[_became_of(crashed, before, after)] += 1
    assert seen["named"] > seen["before"]
    assert not seen["after"]
    for wal_left in (wal, wal[:end], flipped(wal, (end + 4000) * 8) if begun_anew else wal):
        crashed.write_bytes(data)
        crashed.with_name("crashed-wal").write_bytes(wal_left)
        assert _became_of(crashed, before, after) == "after"


def test_what_is_damaged_in_one_session_is_kept_from_nobody_else(
    whole: tuple[bytes, dict[str, Any]], path: Path
) -> None:
    """C7: a body that is not as it was written costs its own session; the others are read and written as ever."""
    data, expected = whole
    path.write_bytes(data.replace(b"9 9 9 9", b"9 9 8 9"))
    with opened(path) as store:
        with pytest.raises(Corrupt, match=r"session s.long is damaged: update \d+ is not as it was written") as caught:
            store.updates("s.long", 0, 100)
        assert caught.value.sid == "s.long"
        assert store.records("s.long", 0, None) == expected["records s.long"]
        for sid in set(SIDS) - {"s.long"}:
            assert store.updates(sid, 0, 100) == expected[f"updates {sid}"]
        assert store.write([commit(2, b"more", sid="s.short")]) == [None]


def doctored(store: SqliteStore, statement: str) -> None:
    assert store.db.execute(f"{statement} RETURNING 1").fetchall()


@pytest.mark.parametrize(
    "statement, asked, says",
    [
        ("DELETE FROM records WHERE place = {0} + 5", "records", "record 5 is missing"),
        ("DELETE FROM records WHERE place = {0} + 11", "records", "record 11 is missing"),
        ("DELETE FROM records WHERE place > {0}", "records", "record 1 is missing"),
        ("UPDATE records SET place = {0} + 12 WHERE place = {0} + 11", "records", "record 11 is missing"),
        ("UPDATE records SET place = {0} WHERE place = {0} + 1", "records", "record 0 is there and should not be"),
        ("UPDATE records SET body = x'78' WHERE place = {0} + 2", "records", "record 2 is not as it was written"),
        ("UPDATE records SET asked = asked + 1 WHERE place = {0} + 2", "records", "record 2 is not as it was written"),
        ("DELETE FROM updates WHERE place = {0} + 5", "updates", "update 5 is missing"),
        ("DELETE FROM updates WHERE place = {0} + 21", "updates", "update 21 is missing"),
        ("DELETE FROM updates WHERE place > {0}", "updates", "update 1 is missing"),
        ("UPDATE updates SET body = x'00' WHERE place = {0} + 3", "updates", "update 3 is not as it was written"),
    ],
)
def test_what_is_missing_or_changed_is_found_and_named(path: Path, statement: str, asked: str, says: str) -> None:
    """L1: a hole, also at the end, is not a shorter log; whoever reads is told the session and the number."""
    with opened(path) as store:
        fill(store)
        number = store.db.execute("SELECT number FROM sessions WHERE sid = 's.long'").get
        doctored(store, statement.format(f"({number} << 32)"))
        ask = {"records": lambda: store.records("s.long", 0, None), "updates": lambda: store.updates("s.long", 0, 100)}
        with pytest.raises(Corrupt, match=f"session s.long is damaged: {says}"):
            ask[asked]()


@pytest.mark.parametrize(
    "statement, says",
    [
        ("DELETE FROM sessions WHERE sid = 's.short'", "sessions and their heads"),
        ("DELETE FROM heads WHERE number = 4", "sessions and their heads"),
        ("UPDATE sessions SET user = 'eve' WHERE sid = 's.short'", "a session's row is not as it was written"),
        ("UPDATE heads SET fence = fence - 1 WHERE number = 2", "a session's head is not as it was written"),
        ("UPDATE heads SET rev = rev - 1, seq = seq - 2 WHERE number = 2", "a session's head is not as it was written"),
        ("UPDATE tokens SET role = 'observe' WHERE number = 4", "a right is not as it was written"),
        ("UPDATE tokens SET session = 99 WHERE number = 4", "a right is not as it was written"),
        ("DROP TABLE updates", "its tables are not those that were made"),
    ],
)
def test_a_file_whose_directory_is_wrong_is_refused(path: Path, statement: str, says: str) -> None:
    """L6, L12: by these rows everything else is found and everybody's rights are known; so they are looked at first."""
    with opened(path) as store:
        fill(store)
        store.db.execute(statement)
    with pytest.raises(Corrupt, match=says) as caught, opened(path):
        pass
    assert f"`steward repair {path}`" in str(caught.value)
    assert caught.value.sid == ""


def test_damage_that_is_met_while_writing_costs_one_session(path: Path) -> None:
    """C7: what is damaged while it is served fails the appends that need it, not those beside them."""
    with opened(path) as store:
        fill(store)
    with opened(path) as store:
        doctored(store, "UPDATE heads SET crc = crc + 1 WHERE number = 2")
        verdicts = store.write([commit(12, b"x", sid="s.long", fence=1), commit(2, b"y", sid="s.short")])
        assert isinstance(verdicts[0], Corrupt)
        assert verdicts[0].sid == "s.long"
        assert verdicts[1] is None


def test_a_row_where_none_was_written_costs_one_session(path: Path) -> None:
    """C7: it is damage, and no disk that refuses everybody's commits; asking again would not help."""
    with opened(path) as store:
        fill(store)
        number = store.db.execute("SELECT number FROM sessions WHERE sid = 's.long'").get
        doctored(store, f"INSERT INTO updates VALUES (({number} << 32) + 22, x'00', 0)")
        verdicts = store.write([commit(12, b"x", sid="s.long", fence=1), commit(2, b"y", sid="s.short")])
        assert isinstance(verdicts[0], Corrupt)
        assert (verdicts[0].sid, verdicts[1]) == ("s.long", None)


@pytest.mark.parametrize("length", [1, 50, 99, 100, 4095, 4096, 5000, 8192, 40_000])
def test_a_file_that_was_cut_is_refused(whole: tuple[bytes, dict[str, Any]], path: Path, length: int) -> None:
    """A copy that was not finished, a disk that lost its end: named, with what to do, and left as it is."""
    path.write_bytes(whole[0][:length])
    with pytest.raises(JournalError, match=r"journal\.db: it is (damaged|not a SQLite database).*`steward repair"):
        SqliteStore(str(path)).open()
    assert path.read_bytes() == whole[0][:length]
