"""`steward serve`: starts the loop, says where it listens, and turns every way not to start into one sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

from engine.errors import SpecError, StewardError

from .app import serve
from .config import Settings
from .stopping import Stopper

HOW_TO_GO_ON = """
Next:  steward play        a game of chess in another terminal
       steward sessions    what lives here
Ctrl-C stops the server; sessions go on when it starts again."""


def run(settings: Settings, stopper: Stopper, say: Callable[[str], Any], fail: Callable[[str, int], NoReturn]) -> int:
    """Serve until a signal; an exit code. fail(message, exit code) when it cannot start."""

    def announce(url: str, key: str | None) -> None:
        # The key stands in the fragment, which browsers send to nobody.
        say(f"steward serves {settings.lifecycle} on {url}/" + (f"#key={key}" if key else ""))
        if settings.open:
            say("--open: anybody on this machine may create sessions")
        if key is not None:
            say(f"The key is in {settings.key_file}, readable by you only.")
        say(HOW_TO_GO_ON)

    try:
        asyncio.run(serve(settings, stopper, announce))
    except SpecError as error:
        fail(f"{settings.lifecycle} cannot be used:\n{error}", 1 if error.is_readable else 2)
    except (StewardError, OSError) as error:
        fail(str(error), 1)
    return 0
