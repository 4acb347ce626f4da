"""`steward log --follow`: a session's log as it comes, over as many connections as it takes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from engine.codec import decode

from .remote import RemoteError, following

PAUSE_S: Final = 1.0  # before it is dialled again at most; doubled each time, up to …
PAUSE_MAX_S: Final = 5.0
AWAY_S: Final = 300.0  # a server that has not answered for so long is given up
ENDED: Final = "session.ended"
AGAIN: Final = (None, 408, 429, 500, 502, 503, 504)  # statuses after which the same may succeed later
EVENT_BYTES_MAX: Final = 1024 * 1024  # of one line

Find = Callable[[], tuple[str, str | None]]  # the server and the key for it; raises RemoteError while there is none


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event."""

    data: bytes
    id: str = ""
    name: str = ""


@dataclass(slots=True)
class _Place:
    """How far a reader has come. heard_at: when it was last told anything."""

    heard_at: float
    last_id: str | None = None
    tries: int = 0
    is_over: bool = field(default=False)


def messages(lines: Iterable[bytes]) -> Iterator[Message]:
    """The events of a stream; one that breaks off is none, and comments are none."""
    fields: dict[str, bytes] = {}
    for line in lines:
        if not line.endswith(b"\n"):
            return
        if text := line.rstrip(b"\r\n"):
            name, _, value = text.partition(b":")
            fields[name.decode()] = value.removeprefix(b" ")
            continue
        if "data" in fields:
            yield Message(fields["data"], fields.get("id", b"").decode(), fields.get("event", b"").decode())
        fields = {}


def follow(
    find: Find,
    sid: str,
    after: int,
    say: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
    *,
    is_awaited: bool = False,
) -> Iterator[dict[str, Any]]:
    """Every event after a number, each once and in order, until the end of the session.

    find: asked before each connection. say: is told what is not in the log (a connection that was cut, events that are
    gone). is_awaited: the server is known to be away; else one that does not answer the first time is a wrong address.
    Raises RemoteError for what asking again does not help, or after AWAY_S without an answer.
    """
    place = _Place(now())
    while not place.is_over:
        try:
            yield from _connection(*find(), sid, after, say, place, now)
        except RemoteError as error:
            is_new = place.last_id is None and place.tries == 0 and not is_awaited
            if error.status not in AGAIN or is_new or now() - place.heard_at > AWAY_S:
                raise
            say(f"{error}; trying again")
        if not place.is_over:
            longest = min(PAUSE_MAX_S, PAUSE_S * 2 ** min(place.tries, 8))
            place.tries += 1
            pause(random.uniform(0, longest))


def _connection(
    url: str,
    key: str | None,
    sid: str,
    after: int,
    say: Callable[[str], None],
    place: _Place,
    now: Callable[[], float],
) -> Iterator[dict[str, Any]]:
    with following(url, key, sid, after if place.last_id is None else 0, place.last_id) as answer:
        if answer.status == 204:  # the end was read
            place.is_over = True
            return
        for message in messages(iter(lambda: answer.readline(EVENT_BYTES_MAX), b"")):
            place.heard_at, place.tries = now(), 0
            place.last_id = message.id or place.last_id
            plain = decode(message.data)
            if message.name == "snap":
                say(f"the log up to event {message.id.rpartition(':')[2]} is not kept event by event")
            elif message.name:
                say(f"the stream was closed ({plain.get('why') or plain.get('msg')})")
            else:
                yield plain
                if plain["kind"] == ENDED:
                    place.is_over = True
                    return
