"""A history in plain words, as it happens: what people did, what went wrong, and what came to be durable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ..codec import decode
from ..journal.base import Append
from ..records import Record

REF: Final = re.compile(r" \(ref \S+\)")  # into a log that nobody keeps, and new each time
LONGEST: Final = 12  # lines of what is found to repeat


class Story:
    """at: the clock of whoever tells, set before anything is told."""

    def __init__(self) -> None:
        self._told: list[tuple[float, str]] = []
        self.at: Callable[[], float] = lambda: 0.0

    def tell(self, text: str) -> None:
        self._told.append((self.at(), text))

    @property
    def lines(self) -> list[str]:
        """With the virtual time of each; what repeats is told once, with how often."""
        return list(_folded(self._told))

    def written(self, append: Append) -> None:
        """Tell what a commit says that is durable now."""
        record = Record.decode(append.record)
        for text in sentences(record):
            self.tell(f"    {append.sid[:8]}{record.actor} {text}")


def _folded(told: list[tuple[float, str]]) -> Iterator[str]:
    texts, at = [text for _, text in told], 0
    while at < len(told):
        length, times = _repeats(texts, at)
        yield from (f"{when:9.3f} s  {text}" for when, text in told[at : at + length])
        at += length * times
        if times > 1:
            what = "this line" if length == 1 else f"these {length} lines"
            yield f"{told[at - 1][0]:9.3f} s  … {what} {times} times in all"


def _repeats(texts: list[str], at: int) -> tuple[int, int]:
    """(lines, times) of the shortest thing that is told three times or more from here on; else of one line."""
    for length in range(1, LONGEST + 1):
        block, times = texts[at : at + length], 1
        while texts[at + length * times : at + length * (times + 1)] == block:
            times += 1
        if times > 2:
            return length, times
    return 1, 1


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
    return f"is {'over with its work' if body.get('ends') else 'to take'} as {event['name']}{why}{_leaks(event)}"


def _leaks(event: Mapping[str, Any]) -> str:
    """What a clean-up could not let go, and the error of its handler if there was one."""
    items = (event["payload"].get("report") or {}).get("items", ())
    leaked = [
        f"{item['kind']} {item['name']}" + (f" ({REF.sub('', item['error'])})" if "error" in item else "")
        for item in items
        if item["verdict"] == "leaked"
    ]
    return f"; still there: {', '.join(leaked)}" if leaked else ""


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
