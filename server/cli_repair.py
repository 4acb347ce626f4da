"""The command `steward repair`: what is whole of a damaged log goes into a new file, the rest is listed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from .cli_options import PROBLEMS, UNREADABLE, config_option, fail, say, settings_of

if TYPE_CHECKING:
    from engine.journal.salvage import Salvaged


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The new file; PATH with .repaired if left out.")
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
@config_option
def repair(path: Path | None, out: Path | None, as_json: bool, config: Path | None) -> None:
    """Save what is whole of a damaged log into a new file. PATH is the log or its data directory.

    A session is saved whole, with the rights to it, or listed with the reason. The damaged file is left as it is.

    Exit code 0: every session is saved, 1: some are not, 2: nothing is written, and why.

    \b
    Examples:
      steward repair .steward
      steward repair /backup/log.sqlite --out saved.sqlite
    """
    from engine.errors import JournalError
    from engine.journal.salvage import salvage

    source = path or settings_of({}, config).data
    if source.is_dir():
        source /= "log.sqlite"
    if not source.is_file():
        fail(f"{source}: there is no such file; name a log or its data directory", UNREADABLE)
    try:
        saved = salvage(source, out or source.with_name(f"{source.name}.repaired"))
    except JournalError as error:
        fail(f"{source} cannot be repaired: {error}", UNREADABLE)
    if as_json:
        lost = [{"sid": sid, "why": why} for sid, why in saved.lost]
        click.echo(json.dumps({"out": str(saved.out), "whole": saved.whole, "lost": lost,
                               "rights_lost": saved.rights_lost}, indent=2))  # fmt: skip
    else:
        for line in _said(source, saved):
            say(line)
    if not saved.whole:
        fail(f"{source} cannot be repaired: there is no whole session in it", UNREADABLE)
    sys.exit(PROBLEMS if saved.lost or saved.rights_lost else 0)


def _said(source: Path, saved: Salvaged) -> Iterator[str]:
    yield f"{source} is left as it is"
    if saved.whole:
        yield f"{saved.out} has {len(saved.whole)} whole sessions"
    for sid, why in saved.lost:
        yield f"  lost: {sid or 'unknown'}: {why}"
    if saved.rights_lost:
        yield "  lost: tokens of some sessions: their holders need new ones"
    if not saved.whole:
        return
    beside = source.with_name(f"{source.name}-wal")
    yield "To serve it, with the server stopped:"
    for old in (source, beside):
        if old.exists():
            yield f"  mv {quote(str(old))} {quote(f'{old}.damaged')}"
    yield f"  mv {quote(str(saved.out))} {quote(str(source))}"
