"""What a lifecycle file may be read from, and that reading never waits for somebody who is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import SpecError
from engine.language import source
from engine.language.source import read_source
from engine.loader import load_spec
from engine.registry import Registry

ROOT = Path(__file__).parents[2]


def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path: Path) -> None:
    """A plain open() would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SpecError, match="nobody writes to it") as caught:
        load_spec(tmp_path / "pipe", Registry([]))
    assert not caught.value.is_readable


def test_a_pipe_that_gives_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds it open and writes nothing: at most SILENCE_S."""
    monkeypatch.setattr(source, "SILENCE_S", 0.01)
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        with pytest.raises(OSError, match="gave nothing"):
            read_source(tmp_path / "pipe", 10)
    finally:
        os.close(writer)


def test_process_substitution_works() -> None:
    """`steward check <(generate)`: a pipe, whose writer may be slower than we are."""
    code = "import sys; from pathlib import Path; from engine.language.source import read_source; "
    code += "sys.stdout.buffer.write(read_source(Path(sys.argv[1]), 100))"
    command = f'{sys.executable} -c "{code}" <(echo one; {sys.executable} -c pass; echo two)'
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.returncode) == ("one\ntwo\n", 0), done.stderr


def test_no_more_is_read_than_asked_for() -> None:
    """A device that never ends."""
    assert read_source(Path("/dev/zero"), 10_000) == bytes(10_000)


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    """What is wrong with it is the loader's to say."""
    (tmp_path / "empty.yaml").write_bytes(b"")
    assert read_source(tmp_path / "empty.yaml", 10) == b""


@pytest.mark.parametrize("name", ["", "none.yaml"])
def test_what_cannot_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    """A folder; a file that is not there."""
    with pytest.raises(OSError, match="directory"):
        read_source(tmp_path / name, 10)
