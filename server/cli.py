"""The command `steward`. What a command needs is imported when it runs: `steward --help` has to be quick."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

if TYPE_CHECKING:
    from .config import Settings

OK: Final = 0
PROBLEMS: Final = 1
UNREADABLE: Final = 2  # and wrong usage, as click has it
SHELLS: Final = ("bash", "zsh", "fish")

EPILOG: Final = """\b
Examples:
  steward serve                        serve on 127.0.0.1:8080 with lifecycle.yaml
  steward play --white human           play chess against the agents
  steward check lifecycle.yaml         every mistake in the file, with line and column
  steward diagram -o diagrams          draw what the file says

\b
Settings come from flags, STEWARD_… variables and steward.toml, in this order.
Exit codes: 0 fine, 1 problems, 2 unreadable file or wrong usage."""


def _fail(message: str, code: int = PROBLEMS) -> NoReturn:
    click.echo(f"steward: {message}", err=True)
    sys.exit(code)


def _settings(flags: dict[str, Any], config: Path | None) -> Settings:
    from .config import ConfigError, load

    try:
        return load(flags, file=config)
    except ConfigError as error:
        _fail(str(error), UNREADABLE)


def _config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    path = click.Path(dir_okay=False, path_type=Path)
    return click.option("--config", type=path, help="Settings file (steward.toml).")(function)


def _client_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--url", metavar="URL", help="The server; found through the data directory if left out."),
        click.option("--data", type=click.Path(path_type=Path), help="The running server's data directory."),
        click.option("--key", metavar="KEY", help="An API key, instead of the key file in the data directory."),
    ):
        function = option(function)
    return _config_option(function)


def _server(url: str | None, data: Path | None, key: str | None, config: Path | None) -> tuple[str, str | None]:
    """(url, key) of the server that is meant."""
    from .auth import read_key

    settings = _settings({"data": data}, config)
    if url is None:
        try:
            url = str(json.loads(settings.address_file.read_text())["url"])
        except (OSError, ValueError, KeyError):
            url = f"http://{settings.host}:{settings.port}"
    return url, key or read_key(settings.key_file)


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from .version import version

        click.echo(f"steward {version()}")
        context.exit()


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Say which.")
def steward() -> None:
    """Runs the life of agent sessions: declared in one file, driven over WebSockets, cleaned up with proof."""


@steward.command()
@click.option("--lifecycle", type=click.Path(path_type=Path), help="The file that declares how sessions live.")
@click.option("--data", type=click.Path(path_type=Path), help="Directory of the log and the key.")
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (8080); 0 takes any free one.")
@click.option("--open", "is_open", is_flag=True, default=None, help="No key: anybody on this machine may create.")
@click.option("--log-format", type=click.Choice(["human", "json"]), help="How the log is written to stderr.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@_config_option
def serve(is_open: bool | None, config: Path | None, **flags: Any) -> None:
    """Serve sessions until SIGTERM or Ctrl-C. A second signal ends the grace that sessions get.

    \b
    Example:
      steward serve --lifecycle lifecycle.yaml --data .steward --port 9000
    """
    from .stopping import Stopper

    settings = _settings({**flags, "open": is_open}, config)
    stopper = Stopper(settings.grace_s)
    stopper.install()
    from . import logs

    logs.configure(settings.log_format, settings.log_level)
    from .running import run

    sys.exit(run(settings, stopper, click.echo, _fail))


@steward.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
@_config_option
def check(file: Path | None, as_json: bool, config: Path | None) -> None:
    """Say every mistake in a lifecycle file, with line, column and what would work.

    Exit code 0: clean, 1: problems, 2: not readable.

    \b
    Examples:
      steward check
      steward check lifecycle.yaml --json
    """
    from .checking import diagnose

    settings = _settings({"lifecycle": file}, config)
    found = diagnose(settings)
    if as_json:
        click.echo(json.dumps(found.plain(), indent=2))
    else:
        for line in found.lines():
            click.echo(line)
    sys.exit(found.exit_code)


@steward.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["dot", "mermaid"]), default="mermaid", show_default=True)
@click.option("--machine", metavar="KIND", help="Only this machine.")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Write all files to DIR.")
@_config_option
def diagram(file: Path | None, form: str, machine: str | None, output: Path | None, config: Path | None) -> None:
    """Draw what a lifecycle file says, as text that Graphviz or a Markdown page renders.

    \b
    Examples:
      steward diagram --machine session --format dot | dot -Tsvg > session.svg
      steward diagram -o diagrams
    """
    from .checking import diagnose, draw

    found = diagnose(_settings({"lifecycle": file}, config))
    if found.spec is None:
        for line in found.lines():
            click.echo(line, err=True)
        sys.exit(found.exit_code)
    if machine is not None and machine not in found.spec.machines:
        _fail(f"no machine {machine!r}; there are: {', '.join(found.spec.machines)}", UNREADABLE)
    try:
        for line in draw(found.spec, form, machine, output):
            click.echo(line)
    except OSError as error:
        _fail(f"{output} cannot be written: {error.strerror}")


@steward.command()
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
@_client_options
def sessions(as_json: bool, url: str | None, data: Path | None, key: str | None, config: Path | None) -> None:
    """List the live sessions of a running server."""
    from .remote import RemoteError, fetch

    try:
        found = fetch(*_server(url, data, key, config), "/v1/sessions")["sessions"]
    except RemoteError as error:
        _fail(str(error))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for item in found:
        click.echo(f"{item['sid']}  {item['state']:14} {item['head']:6} events  {item['user']}")
    if not found:
        click.echo("no live sessions")


@steward.command()
@click.argument("sid")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only events with a higher number.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_client_options
def log(
    sid: str, after: int, as_json: bool, url: str | None, data: Path | None, key: str | None, config: Path | None
) -> None:
    """Print the log of a session of a running server.

    \b
    Example:
      steward log s.abcdefghijklmnopqrstuvwxyz --json | jq .kind
    """
    from .remote import RemoteError, pages

    try:
        for event in pages(*_server(url, data, key, config), sid, after):
            click.echo(
                json.dumps(event) if as_json else f"{event['seq']:6} {event['kind']:20} {json.dumps(event['data'])}"
            )
    except RemoteError as error:
        _fail(str(error))


@steward.command()
@click.option("--team", default="chess", show_default=True)
@click.option("--white", type=click.Choice(["engine", "human"]), default="human", show_default=True)
@click.option("--black", type=click.Choice(["engine", "human"]), default="engine", show_default=True)
@click.option("--depth", type=click.IntRange(1, 3), default=1, show_default=True, help="How far agents look ahead.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same game.")
@click.option("--plies", type=click.IntRange(min=1), default=60, show_default=True, help="Half-moves at most.")
@click.option("--plain", is_flag=True, help="Letters instead of chess signs.")
@click.option("--states", is_flag=True, help="Show the states of agents too.")
@_client_options
def play(
    team: str,
    plain: bool,
    states: bool,
    url: str | None,
    data: Path | None,
    key: str | None,
    config: Path | None,
    **options: Any,
) -> None:
    """Play chess in the terminal against a running server's agents.

    \b
    Examples:
      steward play                         you are white; type moves like e2e4
      steward play --white engine          watch two agents play
    """
    import asyncio

    from .play import HELP
    from .play import play as run

    address, secret = _server(url, data, key, config)
    if "human" in (options["white"], options["black"]):
        click.echo(HELP)
    create = {"team": team, "options": options}
    try:
        sys.exit(asyncio.run(run(address, secret, create, click.echo, is_plain=plain, show_states=states)))
    except KeyboardInterrupt:
        sys.exit(130)


@steward.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a completion script.

    \b
    Example:
      steward completion bash > ~/.local/share/bash-completion/completions/steward
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, "the choice lists only what click has"
    click.echo(found(steward, {}, "steward", "_STEWARD_COMPLETE").source())


def main() -> None:
    try:
        steward(prog_name="steward")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
