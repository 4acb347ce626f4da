"""`steward simulate`: thousands of seeded disasters in virtual time, and every invariant checked after each."""

from __future__ import annotations

import json
import secrets
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .calling import called, flags
from .cli_options import PROBLEMS, UNREADABLE, config_option, fail, settings_of

if TYPE_CHECKING:
    from engine.simulation.script import Script

    from .simulation.campaign import Report
    from .simulation.house import House
    from .simulation.result import Result

HISTORIES: Final = 1000
SEEDS: Final = 2**31


class Number(click.IntRange):
    """A whole number from min on, which a mistake calls by its plain name."""

    name = "number"


@click.command()
@click.option("--lifecycle", type=click.Path(path_type=Path), help="Your file, with your handlers; else a small one.")
@click.option("--histories", type=Number(min=1), help=f"How many ({HISTORIES}; with --seed 1).")
@click.option("--seed", type=Number(min=0), help="Of the first history; the others follow. Replays exactly.")
@click.option("--jobs", type=Number(min=1), default=1, show_default=True, help="Processes that share the work.")
@click.option("--shrink", is_flag=True, help="Make the first history that breaks something as short as it can be.")
@click.option("--trace", is_flag=True, help="Tell that history, or the one of --seed, as a story.")
@click.option("--json", "as_json", is_flag=True, help="The result as data.")
@config_option
def simulate(
    lifecycle: Path | None,
    histories: int | None,
    seed: int | None,
    jobs: int,
    shrink: bool,
    trace: bool,
    as_json: bool,
    config: Path | None,
) -> None:
    """Play histories full of faults in virtual time, and check the invariants after each.

    Handlers fail in every way, connections break, the store errs, processes die anywhere and clocks step. The first
    history that breaks a promise ends it, with its seed. Exit code 0: all held, 1: one did not, or a kind of fault was
    never reached by 1000 histories or more, 2: the file is not readable.

    \b
    Examples:
      steward simulate --histories 200
      steward simulate --seed 7 --trace
      steward simulate --lifecycle lifecycle.yaml --histories 100 --shrink --trace
    """
    first = secrets.randbelow(SEEDS) if seed is None else seed
    count = histories or (HISTORIES if seed is None else 1)
    build = partial(_house_of, lifecycle, config)
    house = build()
    from .simulation.campaign import campaign

    began = time.monotonic()
    report = campaign(build, range(first, first + count), jobs, _progress if sys.stderr.isatty() else _nothing)
    found = _examined(house, report, first, shrink=shrink, trace=trace or (seed is not None and count == 1))
    replay = _replay_of(lifecycle, config, found["seed"]) if found["broken"] else None
    plain = {**found, "replay": replay, "seconds": round(time.monotonic() - began, 3)}
    if as_json:
        click.echo(json.dumps(plain, indent=2))
    else:
        _show(plain, is_traced=trace)
    sys.exit(PROBLEMS if plain["broken"] or plain["never_reached"] else 0)


def _house_of(lifecycle: Path | None, config: Path | None) -> House:
    from engine.errors import RegistryError, SpecError

    from .simulation.house import build, small

    if lifecycle is None:
        return small()
    from .loading import load_handlers, load_teams

    settings = settings_of({"lifecycle": lifecycle}, config)
    try:
        return build(settings.lifecycle, load_handlers(settings), partial(dict, teams=load_teams(settings)))
    except (SpecError, RegistryError, OSError) as error:
        fail(str(error), UNREADABLE)


def _examined(house: House, report: Report, first: int, *, shrink: bool, trace: bool) -> dict[str, Any]:
    """The report as data; of the first history that broke something, or of the only one, its story too."""
    from engine.simulation.script import draw
    from engine.simulation.story import Story

    from .simulation.campaign import play, smallest

    result: Result | None = report.broken[0] if report.broken else None
    script = result.script if result is not None else draw(first, house.places)
    if result is not None and shrink:
        script = smallest(house, result)
    story = Story()
    if trace:
        play(house, script, story)
    return {
        "histories": report.histories,
        "first_seed": first,
        "digest": report.digest,
        "reached": dict(report.reached.most_common()),
        "never_reached": report.never_reached(house),
        "failed_without_fault": [
            {"handler": handler, "error": error, "count": count}
            for (handler, error), count in report.failed.most_common()
        ],
        "broken": [{"invariant": one.number, "what": one.what} for one in result.broken] if result is not None else [],
        "seed": result.script.seed if result is not None else None,
        "shrunk": _shrunk(script, result.script) if result is not None and shrink else None,
        "story": story.lines,
    }


def _shrunk(script: Script, whole: Script) -> dict[str, Any]:
    return {
        "faults": [one.kind for one in script.faults],
        "of_faults": len(whole.faults),
        "steps": len(script.steps),
        "of_steps": len(whole.steps),
    }


def _replay_of(lifecycle: Path | None, config: Path | None, seed: int) -> str:
    """The command that plays the history of seed again where it was found."""
    return f"{called()} simulate{flags(lifecycle=lifecycle, config=config, seed=seed)} --shrink --trace"


def _show(plain: dict[str, Any], *, is_traced: bool) -> None:
    if is_traced:
        if left := plain["shrunk"]:
            faults, steps = len(left["faults"]), left["steps"]
            click.echo(f"seed {plain['seed']}, shrunk: {left['of_faults'] - faults} of {left['of_faults']} faults and "
                       f"{left['of_steps'] - steps} of {left['of_steps']} steps are left out")  # fmt: skip
        for line in plain["story"]:
            click.echo(line)
    for kind, count in plain["reached"].items():
        click.echo(f"{count:8}  {kind}")
    click.echo(f"{plain['histories']} histories from seed {plain['first_seed']}, digest {plain['digest']}")
    if own := plain["failed_without_fault"]:
        told = ", ".join(f"{one['handler']} x{one['count']} {one['error']}" for one in own)
        click.echo(f"own handlers failed without a fault: {told}")
    for kind in plain["never_reached"]:
        click.echo(f"never reached: {kind}")
    for one in plain["broken"]:
        click.echo(f"BROKEN {one['invariant']}: {one['what']}")
    if plain["broken"]:
        click.echo(f"replay it: {plain['replay']}")


def _progress(report: Report) -> None:
    click.echo(f"\r{report.histories} histories", nl=False, err=True)


def _nothing(report: Report) -> None:
    """Nobody watches."""
