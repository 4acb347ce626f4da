"""What a client sees that has applied every update of a session: states, open questions, the last messages, the end.

A pure fold over updates, so whoever is given it instead of updates that are gone stands where all others stand (L3).
It goes to JSON and back exactly, and everything in it is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..codec import decode, encode
from ..records import ROOT

MESSAGES_MAX: Final = 200
REQUESTS_MAX: Final = 64  # one for each agent a session may have
ACTORS_MAX: Final = 1024
EVENT_BYTES_MAX: Final = 32 * 1024  # of one message or question; of a larger one the outline is kept
KEPT_BYTES_MAX: Final = 256 * 1024  # of all messages; more would fit into no frame
STORED_BYTES_MAX: Final = 16 * 1024 * 1024  # more than everything above together: nothing is cut
OUTLINE_FIELDS_MAX: Final = 32
OUTLINE_CHARS_MAX: Final = 256  # of one text; longer ones are left out
HEADROOM: Final = 256  # for the names and numbers around the messages

Entry = tuple[int, dict[str, Any]]  # an update as clients get it, and its bytes


class View:
    """seq: the last update applied. missing: how many messages before those kept there were."""

    __slots__ = ("_actors", "_bytes", "_degraded", "_ended", "_messages", "_missing", "_requests", "seq")

    def __init__(self) -> None:
        self.seq = 0
        self._actors: dict[str, dict[str, Any]] = {}
        self._requests: dict[str, Entry] = {}
        self._messages: deque[Entry] = deque()
        self._bytes = 0
        self._missing = 0
        self._degraded: dict[str, Any] | None = None
        self._ended: dict[str, Any] | None = None

    def apply(self, text: bytes) -> None:
        """Take the next update in, encoded. Whatever a team's handlers put into its data, nothing is raised."""
        update: dict[str, Any] = decode(text)
        self.seq = update["seq"]
        data = update["data"] if isinstance(update["data"], dict) else {}
        fold = _FOLDS.get(update["kind"])
        if _is_move(update["kind"], data):
            self._move(update, data)
        elif fold is not None:
            fold(self, update, data)
        else:
            self._say(update)

    def _move(self, update: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        path = data["actor"]
        if data.get("final") and path != ROOT:
            self._strike(path)
            return
        kind = update["kind"].removesuffix(".state")
        shown = {"actor": path, "kind": kind, "state": data["to"], "since": update["ts"], "event": data["event"]}
        if path not in self._actors and len(self._actors) >= ACTORS_MAX:
            self._actors.pop(next(one for one in self._actors if one != ROOT))
        self._actors[path] = shown

    def _strike(self, path: str) -> None:
        """An actor's last: whatever was below it is gone as well."""
        for one in [one for one in self._actors if one == path or one.startswith(f"{path}/")]:
            del self._actors[one]

    def _say(self, update: dict[str, Any], _: Any = None) -> None:
        self._remember(_fitted(update))

    def _remember(self, entry: Entry) -> None:
        self._messages.append(entry)
        self._bytes += entry[0]
        while len(self._messages) > MESSAGES_MAX or self._bytes > KEPT_BYTES_MAX:
            self._bytes -= self._messages.popleft()[0]
            self._missing += 1

    def _ask(self, update: dict[str, Any], _: Any) -> None:
        entry = _fitted(update)
        self._remember(entry)
        data = entry[1]["data"]
        if isinstance(data, dict) and isinstance(request := data.get("request"), str):
            self._requests.pop(request, None)
            self._requests[request] = entry
            if len(self._requests) > REQUESTS_MAX:
                del self._requests[next(iter(self._requests))]

    def _answer(self, update: dict[str, Any], data: Mapping[str, Any]) -> None:
        self._say(update)
        if isinstance(request := data.get("request"), str):
            self._requests.pop(request, None)

    def _degrade(self, update: dict[str, Any], _: Any) -> None:
        self._degraded = _fitted(update)[1]["data"]

    def _restore(self, update: dict[str, Any], _: Any) -> None:
        self._degraded = None

    def _end(self, update: dict[str, Any], _: Any) -> None:
        """The last update: nobody is asked anything any more, and the report says what became of everyone."""
        self._ended = _fitted(update)[1]["data"]
        self._degraded = None
        self._requests.clear()
        self._actors = {path: actor for path, actor in self._actors.items() if path == ROOT}

    # To JSON and back

    def to_json(self) -> dict[str, Any]:
        return {"seq": self.seq, **self.shown(STORED_BYTES_MAX)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> View:
        """What to_json() gave, or a `snap` frame's seq and data: what was cut from that stays missing."""
        view = cls()
        view.seq = plain["seq"]
        view._actors = {actor["actor"]: actor for actor in plain["actors"]}
        view._requests = {event["data"]["request"]: _sized(event) for event in plain["requests"]}
        view._messages = deque(map(_sized, plain["messages"]))
        view._bytes = sum(size for size, _ in view._messages)
        view._missing = plain["missing"]["messages"]
        view._degraded = plain.get("degraded")
        view._ended = plain.get("ended")
        return view

    def shown(self, bytes_max: int) -> dict[str, Any]:
        """What a client is told, as JSON of at most bytes_max: what does not fit is counted, the oldest goes first."""
        actors, more_actors = _fit(map(_sized, self._actors.values()), bytes_max // 4)
        requests, more_requests = _fit(reversed(self._requests.values()), bytes_max // 4)
        told: dict[str, Any] = {"actors": actors, "requests": requests[::-1]}
        optional = {"degraded": self._degraded, "ended": self._ended, "state": self._actors.get(ROOT, {}).get("state")}
        told |= {name: value for name, value in optional.items() if value is not None}
        messages, more = _fit(reversed(self._messages), bytes_max - len(encode(told)) - HEADROOM)
        missing = {"messages": self._missing + more, "requests": more_requests, "actors": more_actors}
        return told | {"messages": messages[::-1], "missing": missing}


def _is_move(kind: str, data: Mapping[str, Any]) -> bool:
    """Whether an update is the engine's word about an actor, and not a team's own of a similar name."""
    told = [data.get(name) for name in ("actor", "to", "event")]
    return kind.endswith(".state") and all(isinstance(one, str) and len(one) <= OUTLINE_CHARS_MAX for one in told)


def _sized(event: dict[str, Any]) -> Entry:
    return len(encode(event)), event


def _fitted(update: dict[str, Any]) -> Entry:
    """An update as it is kept; of one that is too large what names it."""
    entry = _sized(update)
    if entry[0] <= EVENT_BYTES_MAX:
        return entry
    rest = {name: update[name] for name in ("seq", "ts", "kind")}
    outline = _sized({**rest, "data": {**_outline(update["data"]), "truncated": True}})
    return outline if outline[0] <= EVENT_BYTES_MAX else _sized({**rest, "data": {"truncated": True}})


def _outline(data: Any, depth: int = 2) -> dict[str, Any]:
    """Of an object its short fields, and those of the objects right in it."""
    short: dict[str, Any] = {}
    for name, value in list(data.items())[:OUTLINE_FIELDS_MAX] if isinstance(data, dict) else ():
        if isinstance(value, dict) and depth > 1:
            short[name[:OUTLINE_CHARS_MAX]] = _outline(value, depth - 1)
        elif not isinstance(value, dict | list) and len(str(value)) <= OUTLINE_CHARS_MAX:
            short[name[:OUTLINE_CHARS_MAX]] = value
    return short


def _fit(entries: Iterable[Entry], bytes_max: int) -> tuple[list[dict[str, Any]], int]:
    """As many of the first entries as there is room for, and how many are left."""
    fitting: list[dict[str, Any]] = []
    left = 0
    for size, event in entries:
        bytes_max -= size + 1
        if left or bytes_max < 0:
            left += 1
        else:
            fitting.append(event)
    return fitting, left


_FOLDS: Final[Mapping[str, Callable[[View, dict[str, Any], Mapping[str, Any]], None]]] = {
    "input.request": View._ask,
    "input.response": View._answer,
    "session.degraded": View._degrade,
    "session.restored": View._restore,
    "session.ended": View._end,
}
