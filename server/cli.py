"""The command `steward`. What a command needs is imported when it runs: `steward --help` has to be quick."""

from __future__ import annotations

import gc
import json
import signal
import sys
from pathlib import Path
from typing import Any, Final

import click

from .cli_init import init
from .cli_options import config_option, fail, settings_of
from .cli_play import play
from .cli_repair import repair
from .cli_replay import replay
from .cli_sessions import end, log, retry, sessions, write_off
from .cli_simulate import simulate
from .cli_transfer import bring_in, export, fork

INTERRUPTED: Final = 130  # as shells say it of Ctrl-C
# Python looks through what is new after 700 objects, which one turn of a busy loop makes: a quarter of the time in
# which thousands of clients come back, a tenth of that of the imports. What a closed connection leaves in cycles waits
# for seven times as many others.
YOUNG_OBJECTS_MAX: Final = 5000
SHELLS: Final = ("bash", "zsh", "fish")

DRAW_HELP: Final = "Draw the way to the first finding in red; .svg, .png, .dot or .mmd."

EPILOG: Final = """\b
Examples:
  steward serve                        serve on 127.0.0.1:8080 with lifecycle.yaml
  steward play --white human           play chess against the agents
  steward init desk                    a project of your own, in the folder desk
  steward check lifecycle.yaml         every mistake in the file, with line and column
  steward diagram -o diagrams          draw what the file says

\b
Settings come from flags, STEWARD_… variables and steward.toml, in this order.
Exit codes: 0 fine, 1 problems, 2 unreadable file or wrong usage."""


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from .version import version

        click.echo(f"steward {version()}")
        context.exit()


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Say which.")
def steward() -> None:
    """Runs the life of agent sessions: declared in one file, driven over WebSockets, cleaned up with proof."""


for command in (init, sessions, log, replay, export, bring_in, fork, end, retry, write_off, play, repair, simulate):
    steward.add_command(command)


@steward.command()
@click.option("--lifecycle", type=click.Path(path_type=Path), help="The file that declares how sessions live.")
@click.option("--data", type=click.Path(path_type=Path), help="Directory of the log and the key.")
@click.option("--host", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (8080); 0 takes any free one.")
@click.option("--admin-port", type=int, help="Port of the operators' listener, with the metrics; none if left out.")
@click.option("--open", "is_open", is_flag=True, default=None, help="No key: anybody on this machine may create.")
@click.option("--allow-breaking", is_flag=True, default=None, help="Clients may break agents, to see what happens.")
@click.option("--log-format", type=click.Choice(["human", "json"]), help="How the log is written to stderr.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@config_option
def serve(is_open: bool | None, config: Path | None, **flags: Any) -> None:
    """Serve sessions until SIGTERM or Ctrl-C. A second signal ends the grace that sessions get.

    \b
    Example:
      steward serve --lifecycle lifecycle.yaml --data .steward --port 9000
    """
    gc.set_threshold(YOUNG_OBJECTS_MAX)
    from .stopping import Stopper

    stopper = Stopper()
    stopper.install()  # before anything heavy: a signal while the settings are read counts too
    settings = settings_of({**flags, "open": is_open}, config)
    stopper.grace_s = settings.grace_s
    from . import logs
    from .calling import flags as typed

    logs.configure(settings.log_format, settings.log_level)
    from .running import run

    sys.exit(run(settings, stopper, click.echo, fail, suffix=typed(data=flags["data"], config=config)))


@steward.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
@click.option("--bounds", is_flag=True, help="Say also when each kind is at its end, and how long a state can be deaf.")
@click.option("--draw", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help=DRAW_HELP)
@click.option("--explain", metavar="CODE", help="Say what a code means, and what to do about it.")
@config_option
def check(
    file: Path | None, as_json: bool, bounds: bool, draw: Path | None, explain: str | None, config: Path | None
) -> None:
    """Say every mistake in a lifecycle file, with line, column and what would work, and prove that what it declares
    ends, waits for nothing for ever and leaves nothing behind; what does not comes with a way to get there.

    Exit code 0: clean, 1: problems, 2: not readable.

    \b
    Examples:
      steward check
      steward check lifecycle.yaml --json
      steward check --bounds
      steward check --draw leak.svg
      steward check --explain held-at-end
    """
    from .checking import bounds as bounds_of
    from .checking import diagnose, explained, no_code

    if explain is not None:
        click.echo(explained(explain) or fail(no_code(explain), 2))
        return
    settings = settings_of({"lifecycle": file}, config)
    found = diagnose(settings, proves=True)
    if as_json:
        click.echo(json.dumps(found.plain(), indent=2))
    else:
        for line in (*found.lines(), *(bounds_of(found) if bounds else ())):
            click.echo(line)
    if draw is not None:
        _draw(found, draw)
    sys.exit(found.exit_code)


def _draw(found: Any, output: Path) -> None:
    """The first finding with a way to get there."""
    from .drawing import DrawError, write_story

    try:
        said = write_story(found, output)
    except DrawError as error:
        fail(str(error), error.exit_code)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
    click.echo(said, err=True)


@steward.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["svg", "png", "dot", "mermaid"]), help="mermaid, or all but png.")
@click.option("--machine", metavar="KIND", help="Only this machine, or who-owns-whom.")
@click.option("--highlight", metavar="STATE", help="Mark this state of the machine.")
@click.option("-o", "--output", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="Write to DIR.")
@config_option
def diagram(
    file: Path | None,
    form: str | None,
    machine: str | None,
    highlight: str | None,
    output: Path | None,
    config: Path | None,
) -> None:
    """Draw what a lifecycle file says: each machine, and who owns whom.

    SVG and PNG take Graphviz. Without -o the picture goes to standard output, as Mermaid if nothing else is said;
    with -o and without --format, DIR gets every picture as DOT, Mermaid and SVG.

    \b
    Examples:
      steward diagram -o diagrams
      steward diagram --machine session --format svg > session.svg
      steward diagram --machine session --highlight active --format png -o pictures
    """
    from .checking import diagnose
    from .drawing import DrawError, Wanted, drawn, written

    found = diagnose(settings_of({"lifecycle": file}, config))
    if found.spec is None:
        for line in found.lines():
            click.echo(line, err=True)
        sys.exit(found.exit_code)
    wanted = Wanted(found.spec, form, machine, highlight)
    try:
        if output is None:
            click.echo(drawn(wanted), nl=False)
            return
        for line in written(wanted, output, lambda text: click.echo(f"steward: {text}", err=True)):
            click.echo(line)
    except DrawError as error:
        fail(str(error), error.exit_code)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")


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
        sys.exit(INTERRUPTED)
    finally:
        # Another Ctrl-C while the interpreter leaves would end it by the signal, with another exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
