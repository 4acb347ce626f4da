"""The commands of whoever looks after a running server: sessions, log, end, retry, write-off."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .cli_options import PROBLEMS, client_options, fail, say, server_of, settings_of
from .plain import plain


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
@client_options
def sessions(as_json: bool, url: str | None, data: Path | None, key: str | None, config: Path | None) -> None:
    """List the live sessions of a running server."""
    from .remote import RemoteError, fetch

    try:
        found = fetch(*server_of(settings_of({"data": data}, config), url, key), "/v1/sessions")["sessions"]
    except RemoteError as error:
        fail(str(error))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for item in found:
        click.echo(plain(f"{item['sid']}  {item['state']:14} {item['head']:6} events  {item['user']}"))
    if not found:
        click.echo("no live sessions")


@click.command()
@click.argument("sid")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only events with a higher number.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until the session has ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@client_options
def log(
    sid: str,
    after: int,
    follow: bool,
    as_json: bool,
    url: str | None,
    data: Path | None,
    key: str | None,
    config: Path | None,
) -> None:
    """Print the log of a session, of a running server or of a data directory that none runs on.

    \b
    Examples:
      steward log s.abcdefghijklmnopqrstuvwxyz --json | jq .kind
      steward log s.abcdefghijklmnopqrstuvwxyz --follow
    """
    from engine.errors import StewardError

    from .lives import events_of, followed

    def tell(text: str) -> None:
        say(f"steward: {text}", err=True)

    where: dict[str, Any] = {"url": url, "data": data, "key": key, "config": config, "after": after, "gone": _gone}
    try:
        for event in followed(sid, say=tell, **where) if follow else events_of(sid, **where):
            say(json.dumps(event) if as_json else f"{event['seq']:6} {event['kind']:20} {json.dumps(event['data'])}")
            sys.stdout.flush()
    except StewardError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _gone(seq: int, data: dict[str, Any]) -> None:
    click.echo(f"steward: events up to {seq} are not kept any more", err=True)


@click.command()
@click.argument("sid")
@click.option("--reason", default="", help="Said in the server's log.")
@client_options
def end(sid: str, reason: str, url: str | None, data: Path | None, key: str | None, config: Path | None) -> None:
    """End a session of a running server, and say what became of everything it held.

    Exit code 0: ended and clean, 1: not.

    \b
    Example:
      steward end s.abcdefghijklmnopqrstuvwxyz --reason "the machine is needed"
    """
    from . import remote

    address, secret = server_of(settings_of({"data": data}, config), url, key)
    _finish(lambda: remote.end(address, secret, sid, reason))


@click.command()
@click.argument("sid")
@client_options
def retry(sid: str, url: str | None, data: Path | None, key: str | None, config: Path | None) -> None:
    """Try the clean-up of a session again that waits for a person because something could not be let go.

    Exit code 0: ended and clean, 1: not.

    \b
    Example:
      steward retry s.abcdefghijklmnopqrstuvwxyz
    """
    from . import remote

    address, secret = server_of(settings_of({"data": data}, config), url, key)
    _finish(lambda: remote.retry(address, secret, sid))


@click.command("write-off")
@click.argument("sid")
@click.option("--reason", required=True, help="Why nothing more can be done; it stands in the session's log.")
@client_options
def write_off(sid: str, reason: str, url: str | None, data: Path | None, key: str | None, config: Path | None) -> None:
    """End a session that waits for a person, and give up what could not be let go.

    Exit code 0: ended, 1: not.

    \b
    Example:
      steward write-off s.abcdefghijklmnopqrstuvwxyz --reason "the process is another machine's now"
    """
    from . import remote

    address, secret = server_of(settings_of({"data": data}, config), url, key)
    _finish(lambda: remote.write_off(address, secret, sid, reason))


def _finish(ask: Callable[[], Any]) -> None:
    """Print how a session stands after ask(), and leave with the exit code that fits."""
    from .calling import called
    from .remote import RemoteError
    from .telling import report

    try:
        found = ask()
    except RemoteError as error:
        fail(str(error))
    except KeyboardInterrupt:
        click.echo("nobody waits for the clean-up any more; it goes on", err=True)
        sys.exit(130)
    sid, state = found["sid"], found["state"]
    if found["is_ended"]:
        say(f"{sid} has ended in {state}; {report(found['report'])}")
        return
    say(f"{sid} is in {state}; {report(found['report'])}")
    if found["is_quarantined"]:
        for item in (found["report"] or {}).get("items", ()):
            if item["verdict"] == "leaked":
                say(f"  leaked: {item['kind']} {item['name']} {item.get('error', '')}".rstrip())
        click.echo(
            f"{called()} retry {sid} tries the clean-up again; {called()} write-off {sid} --reason … gives it up"
        )
    sys.exit(PROBLEMS)
