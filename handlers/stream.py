"""An answer that is told while it is written: volatile chunks on the way, one durable message at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class _Voice(Protocol):
    """What a stream needs of an agent's seat."""

    @property
    def name(self) -> str: ...
    def emit(self, kind: str, data: Mapping[str, Any]) -> None: ...
    def note(self, kind: str, data: Mapping[str, Any]) -> None: ...


class Stream:
    """One message under the name msg. text: what was written so far.

    A handler that is run again writes the same msg from the start; clients follow, because a chunk says where it
    begins. If the handler fails or is interrupted, they are told to drop what they saw.
    """

    def __init__(self, seat: _Voice, msg: str) -> None:
        self.msg = msg
        self.text = ""
        self._seat = seat

    def write(self, text: str) -> None:
        if text:
            self._seat.note("agent.chunk", {"msg": self.msg, "at": len(self.text), "text": text})
            self.text += text

    def rewind(self) -> None:
        """Take everything back, to begin again."""
        if self.text:
            self._seat.note("agent.chunk", {"msg": self.msg, "at": 0, "text": ""})
            self.text = ""

    def finish(self, **more: Any) -> None:
        """The message as it goes into the log; more: further fields of it."""
        self._seat.emit("agent.message", {"agent": self._seat.name, "msg": self.msg, "text": self.text, **more})
