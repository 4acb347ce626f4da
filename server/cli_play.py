"""The command `steward play`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from .cli_options import client_options, fail, say, server_of, settings_of

PACE_S: Final = 0.4  # fast enough to be no wait, slow enough to be seen
PACE_S_MAX: Final = 10.0
INTERRUPTED: Final = 130
PLAYERS: Final = click.Choice(["engine", "human"])


@click.command()
@click.option("--team", default="chess", show_default=True)
@click.option("--white", type=PLAYERS, default="human", show_default=True)
@click.option("--black", type=PLAYERS, default="engine", show_default=True)
@click.option("--depth", type=click.IntRange(1, 3), default=1, show_default=True, help="How far agents look ahead.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same game.")
@click.option("--plies", type=click.IntRange(min=1), default=60, show_default=True, help="Half-moves at most.")
@click.option(
    "--pace",
    type=click.FloatRange(0, PACE_S_MAX),
    metavar="SECONDS",
    help=f"Wait between the moves shown; {PACE_S:g} in a terminal where two engines play, else 0.",
)
@click.option("--plain", is_flag=True, help="Letters instead of chess signs.")
@click.option("--states", is_flag=True, help="Show every event: the states of session and agents too.")
@click.option("--session", "sid", metavar="SID", help="Go on with a session that was left; what it is stays as it was.")
@client_options
def play(
    team: str,
    pace: float | None,
    plain: bool,
    states: bool,
    sid: str | None,
    url: str | None,
    data: Path | None,
    key: str | None,
    config: Path | None,
    **options: Any,
) -> None:
    """Play chess in the terminal against a running server's agents.

    Exit code 0: the session has ended as it was asked to, 1: it has not, 130: left with Ctrl-C.

    \b
    Examples:
      steward play                            you are white; type moves like e2e4
      steward play --white engine             watch two agents play
      steward play --white engine --pace 2    so slowly that you can follow
      steward play --session SID              come back to a game that you left
    """
    import asyncio

    from .calling import called, flags
    from .keeping import Kept
    from .play import Table
    from .play import play as run

    settings = settings_of({"data": data}, config)
    address, secret = server_of(settings, url, key, needs_key=sid is None)
    kept = Kept(settings.data / "play")
    token = None
    if sid is not None:
        token = kept.token(sid)
        if token is None:
            fail(f"there is no token for {sid} in {kept.folder}; only who began a session here can come back to it")
    has_person = sid is not None or "human" in (options["white"], options["black"])
    if pace is None:
        pace = PACE_S if not has_person and sys.stdout.isatty() else 0.0
    rejoin = f"{called()} play{flags(url=url, data=data, config=config)} --session"
    table = Table(
        address, secret, {"team": team, "options": options}, token, kept, rejoin,
        is_plain=plain, show_states=states, has_person=has_person, pace_s=pace,
    )  # fmt: skip
    try:
        code = asyncio.run(run(table, say))
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)
