"""The data directory is its owner's alone."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from engine.testing.rig import Rig, machines
from engine.testing.virtual import in_virtual_time
from examples.chess import TEAM
from server.app import StartError, ready_data
from server.config import HANDLER_MODULES, load
from server.privacy import make_private


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_a_new_one_is_private(tmp_path: Path) -> None:
    """Whatever the umask; with the workspaces."""
    before = os.umask(0)
    try:
        ready_data(load({"data": tmp_path / "data"}))
    finally:
        os.umask(before)
    assert (mode(tmp_path / "data"), mode(tmp_path / "data" / "workspaces")) == (0o700, 0o700)


@pytest.mark.parametrize("names", [(), ("log.sqlite", "log.sqlite-wal", "key", "workspaces")])
def test_one_that_others_can_read_is_taken_from_them(tmp_path: Path, names: tuple[str, ...]) -> None:
    """An empty directory somebody made for us, and one from before."""
    for name in names:
        (tmp_path / name).mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    ready_data(load({"data": tmp_path}))
    assert (mode(tmp_path), mode(tmp_path / "workspaces")) == (0o700, 0o700)


def test_one_that_has_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Taking /tmp from everybody else would break the machine."""
    (tmp_path / "letters").mkdir()
    tmp_path.chmod(0o1777)
    with pytest.raises(StartError, match=r"chmod 700 .* or choose another with --data"):
        ready_data(load({"data": tmp_path}))
    assert mode(tmp_path) == 0o1777
    tmp_path.chmod(0o700)
    ready_data(load({"data": tmp_path}))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_another_users_directory_is_refused(tmp_path: Path) -> None:
    """It is theirs to read, whatever its mode says."""
    os.chown(tmp_path, 12345, -1)
    assert "another user's" in (make_private(tmp_path) or "")


def test_an_empty_log_where_a_server_was_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A copy that broke off, say: it starts as if new, but not without a word."""
    settings = load({"data": tmp_path})
    for name in ("log.sqlite", "key"):
        assert not caplog.text
        (tmp_path / name).touch(0o600)
        ready_data(settings)
    assert "log.sqlite is empty, though a server was here before" in caplog.text
    caplog.clear()
    (tmp_path / "log.sqlite").write_text("anything")
    ready_data(settings)
    assert not caplog.text


def test_a_full_disk_needs_room_and_no_other_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StartError, match="No space left on device; make room there"):
        ready_data(load({"data": tmp_path}))


@in_virtual_time
async def test_a_sessions_workspace_is_private(tmp_path: Path) -> None:
    """Also where the program has put the workspaces into a directory of its own."""
    compiled = machines(Path(__file__).parents[2] / "lifecycle.yaml", *HANDLER_MODULES)
    async with Rig(compiled, services={"teams": {"chess": TEAM}, "workspace_root": tmp_path / "spaces"}) as r:
        session = await r.create(data={"team": "chess", "options": {"white": "human"}})
        assert mode(tmp_path / "spaces" / session.sid) == 0o700
