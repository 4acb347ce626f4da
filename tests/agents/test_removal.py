"""A folder goes, whatever others have made in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from handlers.removal import remove_folder


def nest(folder: Path, depth: int) -> None:
    """Folders in folders, each with a file, by descriptors: the path would be too long."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 200, dir_fd=handle)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0, dir_fd=handle))
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=handle)
        os.fchmod(handle, 0)
        os.close(handle)
        handle = inner
    os.close(handle)


def test_depth_length_and_rights_do_not_keep_a_folder(tmp_path: Path) -> None:
    """More levels than Python recurses, more letters than a path may have, and no right to look into any of it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    nest(folder, 1100)
    remove_folder(folder, 60)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_followed(tmp_path: Path) -> None:
    """A link goes, what it points to stays as it is."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (folder := tmp_path / "folder").mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "nowhere").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    remove_folder(folder, 60)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert outside.stat().st_mode & 0o777 == 0o500


def test_too_much_is_left_in_time_and_gone_on_with(tmp_path: Path) -> None:
    """C4: it is bounded, and says so; none there is no error."""
    (folder := tmp_path / "folder").mkdir()
    nest(folder, 3)
    with pytest.raises(TimeoutError, match="too much"):
        remove_folder(folder, -1)
    remove_folder(folder, 60)
    remove_folder(folder, 60)
    assert not folder.exists()
