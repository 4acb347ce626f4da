"""What is saved of a damaged journal: whole sessions, as they were; the rest by name; the damaged file as it is."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.errors import JournalError
from engine.journal.files import FileLock
from engine.journal.salvage import Salvaged, salvage
from engine.journal.sqlite import SqliteStore
from engine.journal.wal import FRAME_BYTES, HEADER_BYTES
from server.cli import steward
from tests.journal.damaging import SIDS, answers, fill, opened
from tests.journal.making import commit
from tests.journal.test_journal_damage import flipped, positions
from tests.server.long import size

FLIPS = size(24, 5_000)
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def expected(path: Path) -> dict[str, Any]:
    """A journal at path, and all it has to say."""
    with opened(path) as store:
        fill(store)
    with opened(path) as store:
        return answers(store)


def damage(path: Path, change: Callable[[bytes], bytes]) -> bytes:
    changed = change(path.read_bytes())
    path.write_bytes(changed)
    return changed


def check(saved: Salvaged, expected: dict[str, Any]) -> None:
    """What is in the new file is what was in the old one before it was damaged, session by session."""
    with opened(saved.out) as store:
        found = answers(store)
    assert [row.sid for row in found["sessions"]] == [sid for sid in SIDS if sid in saved.whole]
    for sid in saved.whole:
        for what in ("session", "records", "updates", "some updates"):
            assert found[f"{what} {sid}"] == expected[f"{what} {sid}"]
        if not saved.rights_lost:
            assert found[f"tokens {sid}"] == expected[f"tokens {sid}"]
        for right in found[f"tokens {sid}"]:
            assert right in expected[f"tokens {sid}"]
    named = {sid for sid, _ in saved.lost}
    assert set(SIDS) <= {*saved.whole, *named} or "" in named or any(sid.startswith("number") for sid in named)


def test_a_whole_journal_comes_out_as_it_was(path: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    """Everything is carried over: rights, fences, what was trimmed and when it ended; and it can be gone on with."""
    saved = salvage(path, tmp_path / "new")
    assert (saved.whole, saved.lost, saved.rights_lost) == (list(SIDS), [], False)
    with opened(saved.out) as store:
        assert answers(store) == expected
        assert store.write([commit(12, b"on", sid="s.long", fence=1), commit(2, b"on", sid="s.short")]) == [None, None]


def test_what_a_crash_left_in_the_wal_is_saved_too(path: Path, tmp_path: Path) -> None:
    """L2: what was acknowledged last is there and nowhere else."""
    store = SqliteStore(str(path))
    store.open()
    fill(store)
    expected = answers(store)
    copy = tmp_path / "crashed.sqlite"
    for suffix in ("", "-wal"):
        Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    store.close()
    saved = salvage(copy, tmp_path / "new")
    assert saved.whole == list(SIDS)
    with opened(saved.out) as new:
        assert answers(new) == expected


def test_a_log_that_lost_its_last_commits_goes_on_under_a_new_epoch(path: Path, tmp_path: Path) -> None:
    """L1, L4: what a client saw of it may be gone, and other events come under the same numbers. What was saved is a
    prefix, and everybody who comes back is told that it is not the log they know."""
    with opened(path) as store:
        fill(store)
        expected = answers(store)
        copy = tmp_path / "crashed.sqlite"
        copy.write_bytes(path.read_bytes())
        wal = Path(f"{path}-wal").read_bytes()
        last = store.db.execute("PRAGMA wal_checkpoint(noop)").fetchall()[0][1] - 1
    Path(f"{copy}-wal").write_bytes(flipped(wal, (HEADER_BYTES + FRAME_BYTES * (last * 3 // 4) + 2000) * 8))
    with pytest.raises(JournalError, match="its -wal is damaged"), opened(copy):
        pass
    saved = salvage(copy, tmp_path / "new")
    assert any("has a new epoch" in why for _, why in saved.lost)
    assert saved.rights_lost
    with opened(saved.out) as new:
        found = answers(new)
        rows = {row.sid: row for row in found["sessions"]}
        assert {"s.long", "s.trimmed"} <= rows.keys()
        for sid in SIDS:
            assert rows[sid].epoch != expected[f"session {sid}"].epoch
        count = rows["s.long"].seq
        assert 0 < count < expected["session s.long"].seq
        assert found["updates s.long"] == expected["updates s.long"][:count]
        assert new.write([commit(rows["s.long"].rev + 1, b"on", sid="s.long")]) == [None]


def test_a_session_that_is_damaged_is_listed_and_the_others_saved(
    path: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    """C7: by its sid, and with the number at which its log breaks off."""
    data = damage(path, lambda data: data.replace(b"9 9 9 9", b"9 9 8 9"))
    saved = salvage(path, tmp_path / "new")
    ((sid, why),) = saved.lost
    assert sid == "s.long"
    assert why == "update 16 is not as it was written"
    assert saved.whole == [sid for sid in SIDS if sid != "s.long"]
    check(saved, expected)
    assert path.read_bytes() == data


DAMAGES: list[Any] = [
    pytest.param(lambda data: bytes(16) + data[16:], 4, id="its first bytes"),
    pytest.param(lambda data: os.urandom(100) + data[100:], 4, id="its header"),
    pytest.param(lambda data: os.urandom(PAGE) + data[PAGE:], 4, id="its first page"),
    pytest.param(lambda data: data[:-PAGE], 0, id="its end, by a page"),
    pytest.param(lambda data: data[: len(data) // 2 // PAGE * PAGE + 77], 0, id="its end, by a half"),
]


@pytest.mark.parametrize("change, whole", DAMAGES)
def test_what_is_torn_gives_what_is_left(
    path: Path, expected: dict[str, Any], tmp_path: Path, change: Callable[[bytes], bytes], whole: int
) -> None:
    """The first page says the same in every journal, so that it costs no session; of a torn file what is left is."""
    data = damage(path, change)
    with pytest.raises(JournalError, match="`steward repair"), opened(path):
        pass
    saved = salvage(path, tmp_path / "new")
    assert len(saved.whole) >= whole
    check(saved, expected)
    assert path.read_bytes() == data


@pytest.mark.timeout(1800)
def test_whatever_is_damaged_no_session_comes_out_changed(path: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    """L1, L12: of a file with any bit flipped, or a page lost, what is saved is as it was, and nothing is silent."""
    data, dice, whole = path.read_bytes(), random.Random(5), 0
    for number, bit in enumerate(positions(len(data), FLIPS)):
        page = dice.randrange(1, len(data) // PAGE) * PAGE
        lost = data[:page] + bytes(PAGE) + data[page + PAGE :]
        path.write_bytes(flipped(data, bit) if number % 4 else lost)
        saved = salvage(path, tmp_path / f"new{number}")
        check(saved, expected)
        whole += len(saved.whole)
    assert whole > FLIPS * len(SIDS) * 0.6


# The command


def repair(*args: object) -> Result:
    return CliRunner().invoke(steward, ["repair", *map(str, args)])


@pytest.mark.usefixtures("expected")
def test_the_command_saves_and_says_how_to_go_on(path: Path) -> None:
    """Exit code 0 is "every session": a script can go on. The names are those that a server looks for."""
    found = repair(path.parent)
    assert found.exit_code == 0, found.output
    assert f"{path}.repaired has 4 whole sessions" in found.output
    assert f"mv {path}.repaired {path}" in found.output
    assert path.with_name("log.sqlite.repaired").stat().st_mode & 0o777 == 0o600, "what people said is in it"
    assert path.with_name("log.sqlite.repaired").stat().st_mode & 0o777 == 0o600, "what people said is in it"
    again = repair(path)
    assert again.exit_code == 2
    assert "there is something already" in again.output


@pytest.mark.usefixtures("expected")
def test_the_command_lists_what_is_lost(path: Path) -> None:
    """Exit code 1: somebody has to read it; as data for a program."""
    damage(path, lambda data: data.replace(b"9 9 9 9", b"9 9 8 9"))
    found = repair(path, "--out", path.with_name("saved"), "--json")
    assert found.exit_code == 1
    told = json.loads(found.output)
    assert told["whole"] == ["s.trimmed", "s.ended", "s.short"]
    assert told["lost"] == [{"sid": "s.long", "why": "update 16 is not as it was written"}]
    told_to_a_person = repair(path)
    assert "lost: s.long: update 16 is not as it was written" in told_to_a_person.output


@pytest.mark.usefixtures("expected")
def test_the_command_keeps_off_a_journal_in_use(path: Path) -> None:
    """L6: what is written while it is copied would be torn; the process is named."""
    with opened(path):
        found = repair(path)
    assert found.exit_code == 2
    assert f"process {os.getpid()} is using this journal" in found.output
    assert not path.with_name("log.sqlite.repaired").exists()


@pytest.mark.parametrize(
    "content, says",
    [
        (None, "no such file"),
        (b"", "it is empty, so there is no session in it"),
        (b"dear diary\n" * 1000, "there is no whole session in it"),
    ],
)
def test_the_command_says_when_there_is_nothing_to_save(path: Path, content: bytes | None, says: str) -> None:
    """No file, or nothing in it that anybody could read: a sentence and exit code 2, and nothing is left about."""
    if content is not None:
        path.write_bytes(content)
    found = repair(path)
    assert found.exit_code == 2
    assert says in found.output
    assert not list(path.parent.glob("*.repaired*"))


def test_a_log_without_sessions_is_nothing_to_repair(path: Path) -> None:
    """Exit code 2, as the table says; and no word of putting anything in its place."""
    with opened(path):
        pass
    found = repair(path)
    assert (found.exit_code, "there is no whole session in it" in found.output) == (2, True)
    assert "mv " not in found.output


@pytest.mark.usefixtures("expected")
def test_a_copy_that_may_only_be_read_is_repaired_elsewhere(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup on read-only media: no lock can be put beside it, and nobody serves it."""

    def refuse(lock: FileLock) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(FileLock, "take", refuse)
    assert repair(path, "--out", path.with_name("saved")).exit_code == 0
