"""Text that is being written: what of each unfinished message was streamed so far, for whoever comes late.

A note `agent.chunk {msg, at, text, …}` means: of the message msg keep the first `at` characters (Unicode code points)
and append text. `at` 0 with no text takes the message back. It is finished when an update `agent.message` of the
same msg is in the log's order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..records import Update

CHUNK: Final = "agent.chunk"
MESSAGE: Final = "agent.message"
STREAMS_MAX: Final = 64  # one for each agent a session may have; above it the oldest is forgotten
CHARS_MAX: Final = 32 * 1024  # a frame of its own at most; what is beyond is not streamed, the finished message has it


@dataclass(slots=True)
class Stream:
    """One unfinished message. about: what its chunks say beside msg, at and text, such as whose it is."""

    about: dict[str, Any]
    text: str = ""

    def chunk(self, msg: str, at: int) -> dict[str, Any]:
        """The note that brings whoever has the first `at` characters up to now."""
        return {**self.about, "msg": msg, "at": at, "text": self.text[at:]}


class Streams:
    """The open streams of one session. Nothing of it is stored: after a crash an agent begins its message again."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, Stream] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def get(self, msg: str) -> Stream | None:
        return self._open.get(msg)

    def note(self, data: Mapping[str, Any]) -> bool:
        """Take a chunk in; whether it means anything. One that begins beyond what is known does not."""
        msg, at, text = data.get("msg"), data.get("at"), data.get("text")
        if not isinstance(msg, str) or not isinstance(at, int) or not isinstance(text, str) or at < 0:
            return False
        if at == 0 and not text:
            return self._open.pop(msg, None) is not None
        stream = self._open.get(msg) or Stream({})
        if at > len(stream.text) or at >= CHARS_MAX:
            return False
        stream.text = (stream.text[:at] + text)[:CHARS_MAX]
        stream.about = {key: value for key, value in data.items() if key not in ("msg", "at", "text")}
        self._open[msg] = stream
        if len(self._open) > STREAMS_MAX:
            del self._open[next(iter(self._open))]
        return True

    def finish(self, update: Update) -> None:
        if update.kind == MESSAGE and self._open:
            self._open.pop(update.data.get("msg", ""), None)
