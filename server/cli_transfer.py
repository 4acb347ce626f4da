"""`steward export`, `import` and `fork`: a session as one file, in another server, and as a new one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from .cli_options import UNREADABLE, client_options, fail, say, server_of, settings_of


@click.command()
@click.argument("sid")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; standard output if left out."
)
@client_options
def export(
    sid: str, output: Path | None, url: str | None, data: Path | None, key: str | None, config: Path | None
) -> None:
    """Write a session as one file: its whole log, byte for byte, with a checksum. It lives on meanwhile.

    Of a running server, or of a data directory that none runs on.

    \b
    Example:
      steward export s.abcdefghijklmnopqrstuvwxyz -o game.jsonl
    """
    from engine.errors import StewardError

    from .lives import exported

    try:
        text = exported(sid, url=url, data=data, key=key, config=config)
    except StewardError as error:
        fail(str(error))
    if output is None:
        sys.stdout.buffer.write(text)
        return
    try:
        _write(output, text)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", UNREADABLE)
    click.echo(f"{sid} is in {output}: {len(text)} bytes", err=True)


def _write(file: Path, text: bytes) -> None:
    """Whole or not at all, and for this user only: it is everything that was said in the session."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(text)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@client_options
def bring_in(file: Path, url: str | None, data: Path | None, key: str | None, config: Path | None) -> None:
    """Let a session from a file go on in a running server: same name, same tokens, its clients where they were.

    Stop it where it came from first, or both go on. What it held there (its workspace) does not come along.

    \b
    Example:
      steward import game.jsonl
    """
    from engine.errors import StewardError
    from engine.log.parcel import PARCEL_BYTES_MAX, unpack

    from . import remote

    try:
        with file.open("rb") as opened:
            text = opened.read(PARCEL_BYTES_MAX + 1)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", UNREADABLE)
    try:
        unpack(text)
    except StewardError as error:
        fail(f"{file}: {error}", UNREADABLE)
    address, secret = server_of(settings_of({"data": data}, config), url, key)
    try:
        found = remote.bring_in(address, secret, text)
    except StewardError as error:
        fail(str(error))
    say(f"{found['sid']} is here, in {found['state']}, after {found['head']} events")


@click.command()
@click.argument("sid")
@click.option("--at", type=click.IntRange(min=0), help="After this event; now if left out.")
@client_options
def fork(sid: str, at: int | None, url: str | None, data: Path | None, key: str | None, config: Path | None) -> None:
    """Make a new session that goes on from where another is, or was after an event. The other is left as it is.

    Prints the new session's name and its token, which is told once.

    \b
    Example:
      steward fork s.abcdefghijklmnopqrstuvwxyz --at 40
    """
    from engine.errors import StewardError

    from . import remote

    address, secret = server_of(settings_of({"data": data}, config), url, key)
    try:
        found = remote.fork(address, secret, sid, at)
    except StewardError as error:
        fail(str(error))
    say(f"{found['sid']} goes on after event {found['seq']} of {sid}", err=True)
    say(f"{found['sid']} {found['token']}")
