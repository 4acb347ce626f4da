"""`steward serve`: starts the loop, says where it listens, and turns every way not to start into one sentence."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

from engine.errors import SpecError, StewardError
from engine.journal.files import what_helps

from .app import Served, serve
from .calling import called
from .checking import advice
from .cli_options import KEY_VARIABLE
from .config import DEFAULT_TEAMS, Settings
from .stopping import Stopper

LAST: Final = "Ctrl-C stops the server; sessions go on when it starts again."
GAME: Final = next(iter(DEFAULT_TEAMS))  # what `steward play` plays


def run(
    settings: Settings,
    stopper: Stopper,
    say: Callable[[str], Any],
    fail: Callable[[str, int], NoReturn],
    *,
    suffix: str = "",
) -> int:
    """Serve until a signal; an exit code. fail(message, exit code) when it cannot start.

    suffix: the flags with which other commands find this server's data directory.
    """

    def announce(served: Served) -> None:
        # The key stands in the fragment, which browsers send to nobody.
        say(f"steward serves {settings.lifecycle} on {served.url}/" + (f"#key={served.key}" if served.key else ""))
        if served.operators_url is not None:
            say(f"For operators: {served.operators_url}/metrics")
        if settings.open:
            say("--open: anybody on this machine may create sessions")
        if settings.allow_breaking:
            say("--allow-breaking: who has a session may break its agents, to see what happens")
        if served.key is not None:
            say(f"The key is in {settings.key_file}, readable by you only.")
        say("\n".join(["", *how_to_go_on(settings, suffix)]))

    gc.freeze()  # what is imported stays: no full collection has to look through it again
    try:
        asyncio.run(serve(settings, stopper, announce))
    except SpecError as error:
        fail(f"{settings.lifecycle} cannot be used:\n{error}{advice(error)}", 1 if error.is_readable else 2)
    except StewardError as error:
        fail(str(error), 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        way_out = what_helps(error, f"--data names another directory than {settings.data}")
        fail(f"{where}{error.strerror or error}; {way_out}", 1)
    finally:
        stopper.settle()
    return 0


def how_to_go_on(settings: Settings, suffix: str) -> Iterator[str]:
    """Commands that work as they stand there: nobody is an operator with --open, and API keys are nowhere on disk."""
    begin = f"{KEY_VARIABLE}=… {called()}" if settings.has_users else called()  # --key would show it to everybody here
    commands = {f"{begin} play{suffix}": "a game of chess in another terminal"} if GAME in settings.teams else {}
    if not settings.open:
        commands[f"{begin} sessions{suffix}"] = "what lives here"
    width = max((len(command) for command in commands), default=0)
    for number, (command, what) in enumerate(commands.items()):
        yield f"{'' if number else 'Next:':6} {command:{width}}    {what}"
    yield LAST
