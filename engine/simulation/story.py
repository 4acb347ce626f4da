"""A history in plain words, as it happens: what people did, what went wrong, and what came to be durable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ..codec import decode
from ..journal.base import Append
from ..records import Record


class Story:
    """lines: with the virtual time of each. at: the clock of whoever tells, set before anything is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.at: Callable[[], float] = lambda: 0.0

    def tell(self, text: str) -> None:
        self.lines.append(f"{self.at():9.3f} s  {text}")

    def written(self, append: Append) -> None:
        """Tell what a commit says that is durable now."""
        record = Record.decode(append.record)
        for text in sentences(record):
            self.tell(f"    {append.sid[:8]}{record.actor} {text}")


def sentences(record: Record) -> Iterator[str]:
    """What one record says, and whom it sends something."""
    yield _SAYS[record.op](record.body)
    if "outcome" in record.body:
        cid, c, _, outcome = record.body["outcome"]
        code = f" ({outcome['code']})" if outcome.get("code") else ""
        yield f"has an outcome for command {c} of {cid}: {outcome['status']}{code}"
    for message in record.body.get("sends", ()):
        yield f"sends {message['event']['name']} to {message['to']}"


def told(payload: bytes) -> str:
    """A frame that a client heard, in a word or two."""
    frame = decode(payload)
    return " ".join(str(frame[name]) for name in ("t", "seq", "c", "kind", "code") if name in frame)


def _step(body: Mapping[str, Any]) -> str:
    error = f"; its handler failed: {body['error']['handler']} {body['error']['code']}" if "error" in body else ""
    if "to" not in body:
        return f"takes {body['event']} and stays {body['from']}{error}"
    return f"goes from {body['from']} to {body['to']} on {body['event']}{error}"


def _owed(body: Mapping[str, Any]) -> str:
    event = body["event"]
    error = event["payload"].get("error") or {}
    why = f": {error['handler']} {error['code']}" if error else ""
    return f"is {'over with its work' if body.get('ends') else 'to take'} as {event['name']}{why}"


_SAYS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "created": lambda body: f"is created, in {body['state']}",
    "step": _step,
    "ran": lambda body: f"has finished step {body['index'] + 1} of its work",
    "owed": _owed,
    "sent": lambda body: "tells something outside a step",
    "taken": lambda body: f"answers {body.get('event', 'an event')} and changes nothing",
    "deferred": lambda body: f"keeps {body['event']['name']} for later",
    "snapshot": lambda body: "has its log trimmed behind a snapshot",
}
