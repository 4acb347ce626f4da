"""What several commands share: how they fail, their settings, and the server they mean."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlsplit

import click

from .plain import plain_lines

if TYPE_CHECKING:
    from .config import Settings

PROBLEMS: Final = 1
UNREADABLE: Final = 2  # and wrong usage, as click has it
KEY_VARIABLE: Final = "STEWARD_KEY"


def say(text: str, *, err: bool = False) -> None:
    """Print what may hold text of others: a session's, a server's."""
    click.echo(plain_lines(text), err=err)


def fail(message: str, code: int = PROBLEMS) -> NoReturn:
    say(f"steward: {message}", err=True)
    sys.exit(code)


def settings_of(flags: dict[str, Any], config: Path | None) -> Settings:
    from .config import ConfigError, load

    try:
        return load(flags, file=config)
    except ConfigError as error:
        fail(str(error), UNREADABLE)


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    path = click.Path(dir_okay=False, path_type=Path)
    return click.option("--config", type=path, help="Settings file (steward.toml).")(function)


def client_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--url",
            metavar="URL",
            callback=_url,
            help="The server; found through the data directory if left out.",
        ),
        click.option("--data", type=click.Path(path_type=Path), help="The running server's data directory."),
        click.option(
            "--key",
            metavar="KEY",
            envvar=KEY_VARIABLE,
            help=f"An API key, instead of the key file in the data directory; better in {KEY_VARIABLE}, where nobody "
            "else on the machine sees it.",
        ),
    ):
        function = option(function)
    return config_option(function)


def _url(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    if not _is_address(value):
        raise click.BadParameter(f"{value!r} is no address of a server; it looks like http://127.0.0.1:8080")
    return value


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return has_place and parts.scheme in ("http", "https") and not parts.query and not parts.fragment


def server_of(
    settings: Settings, url: str | None, key: str | None, *, needs_key: bool = True
) -> tuple[str, str | None]:
    """(url, key) of the server that is meant: the one given, or the one that runs on the data directory.

    The key of the data directory goes to the server that runs on it and to this machine, and nowhere else: to
    whatever else answers at an address it would be a gift.
    """
    from .auth import read_key
    from .callers import is_loopback
    from .calling import called

    own = None
    try:
        own = str(json.loads(settings.address_file.read_text())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        # Another directory's key would be tried on whatever listens on the usual port.
        if url is None and "data" in settings.model_fields_set:
            fail(f"no server runs on {settings.data}; `{called()} serve --data {settings.data}` starts one")
    meant = url or own or f"http://{settings.host}:{settings.port}"
    if key:
        return meant, key
    if meant.rstrip("/") == own or is_loopback(urlsplit(meant).hostname or ""):
        return meant, read_key(settings.key_file)
    if needs_key:
        fail(f"{meant} is another machine's, so the key in {settings.data} is not sent there; "
             f"give the key that it knows you by in {KEY_VARIABLE}, or with --key", UNREADABLE)  # fmt: skip
    return meant, None
