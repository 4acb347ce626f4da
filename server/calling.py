"""How steward was called, so that the commands it suggests work when they are typed where it was started."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "steward"


def called() -> str:
    """`steward` if a shell finds it by that name, else the way it was found: `.venv/bin/steward`."""
    script = Path(sys.argv[0])
    if script.name != NAME:
        is_module = script.name == "cli.py" and script.parent.name == "server"
        return f"{shlex.quote(sys.executable)} -m server.cli" if is_module else NAME
    found = shutil.which(NAME)
    if found is not None and Path(found).absolute() == script.absolute():
        return NAME
    below = script.absolute()
    here = Path.cwd()
    return shlex.quote(str(below.relative_to(here) if below.is_relative_to(here) else below))


def flags(**given: object) -> str:
    """Those that were given, as they would be typed again, each with a space before it."""
    return "".join(
        f" --{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given.items() if value is not None
    )
