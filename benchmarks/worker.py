"""The side's end: a process that says it is ready, then plays a round for each line it reads. Standard library only,
because peers' environments have nothing else of ours."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TextIO

Round = dict[str, Any]


def _channel() -> TextIO:
    """The harness's pipe, kept to ourselves: what libraries print goes to standard error."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return channel


def _say(channel: TextIO, plain: dict[str, Any]) -> None:
    channel.write(json.dumps(plain) + "\n")
    channel.flush()


def versions(*distributions: str) -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "?"
    return found


def serve(play: Callable[[], Round], *distributions: str) -> None:
    """Play rounds until the harness closes the pipe."""
    channel = _channel()
    _say(channel, {"versions": versions(*distributions)})
    for _ in sys.stdin:
        _say(channel, play())


async def serve_async(play: Callable[[], Awaitable[Round]], *distributions: str) -> None:
    """The same inside a running loop, which goes on between two rounds: heartbeats are answered meanwhile."""
    channel = _channel()
    _say(channel, {"versions": versions(*distributions)})
    while await asyncio.to_thread(sys.stdin.readline):
        _say(channel, await play())
