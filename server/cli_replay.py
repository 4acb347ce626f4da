"""`steward replay`: the life of a session again, from its log. Nothing happens again: no handler runs (M8)."""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from .cli_options import PROBLEMS, client_options, fail, say
from .plain import plain

PAUSE_MAX_S: Final = 5.0  # nobody watches a night go by


@click.command()
@click.argument("sid")
@click.option("--to", "last", type=click.IntRange(min=0), help="Stop after this number, and say how everything stood.")
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), help="1 is as fast as it was; at once if left out."
)
@click.option("--json", "as_json", is_flag=True, help="Only how everything stood at the end, as data.")
@client_options
def replay(
    sid: str,
    last: int | None,
    speed: float | None,
    as_json: bool,
    url: str | None,
    data: Path | None,
    key: str | None,
    config: Path | None,
) -> None:
    """Show what a session did, from its log, also after its end. No handler runs, nothing is sent to anybody.

    \b
    Example:
      steward replay s.abcdefghijklmnopqrstuvwxyz --to 40
    """
    from engine.errors import StewardError

    from .lives import events_of

    if speed is not None and math.isnan(speed):
        raise click.BadParameter("nan is no speed", param_hint="--speed")
    begin: dict[str, Any] = {}  # how everything stood before the first event, if older ones are gone

    def gone(seq: int, stood: dict[str, Any]) -> None:
        click.echo(f"steward: events up to {seq} are not kept any more", err=True)
        if last is None or seq <= last:
            begin.update(stood, seq=seq)

    try:
        events = _until(last, events_of(sid, url=url, data=data, key=key, config=config, gone=gone))
        shown = events if as_json else _told(_paced(events, speed))
        view = _folded(shown, begin)
    except StewardError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    if view is not None and last is not None and view["seq"] < last:
        say(f"steward: the last event is {view['seq']}; there is no {last}", err=True)
    if view is None:
        fail(f"{sid} has no event yet" if last is None else f"{sid} has no event up to {last}", PROBLEMS)
    say(json.dumps(view, indent=2) if as_json else "\n".join(_standing(view)))


def _until(last: int | None, events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for event in events:
        if last is not None and event["seq"] > last:
            return
        yield event


def _paced(events: Iterable[dict[str, Any]], speed: float | None) -> Iterator[dict[str, Any]]:
    """The events with the pauses between them, divided by speed."""
    before: float | None = None
    for event in events:
        if speed is not None and before is not None:
            time.sleep(min(PAUSE_MAX_S, max(0.0, event["ts"] - before) / speed))
        before = event["ts"]
        yield event


def _told(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    from .telling import describe

    began: float | None = None
    for event in events:
        began = event["ts"] if began is None else began
        text = describe({"t": "ev", **event}, show_states=True)
        click.echo(plain(f"{event['ts'] - began:9.3f} s {text}"))
        yield event


def _folded(events: Iterator[dict[str, Any]], begin: dict[str, Any]) -> dict[str, Any] | None:
    """How everything stands after the events; None if there are none. begin: what they begin with, once the first is
    read, if older ones are gone."""
    from engine.codec import encode
    from engine.log.view import STORED_BYTES_MAX, View

    first = next(events, None)
    view = View.from_json(begin) if begin else View()
    for event in [] if first is None else itertools.chain([first], events):
        view.apply(encode(event))
    return {"seq": view.seq, **view.shown(STORED_BYTES_MAX)} if view.seq else None


def _standing(view: dict[str, Any]) -> Iterator[str]:
    yield f"\nafter event {view['seq']}:"
    for actor in view["actors"]:
        yield f"  {actor['actor']:24} {actor['kind']:14} {actor['state']}"
    for request in view["requests"]:
        yield f"  waits for a person: {request['data'].get('prompt') or request['data']['request']}"
    if "ended" in view:
        from .telling import ending

        yield f"  {ending(view['ended'])}"
