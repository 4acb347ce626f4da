"""One client by the rules of docs/protocol.md, who writes down whatever reaches it; judging.py reads that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiohttp import WSMessage, WSMsgType

from engine.codec import decode, encode

from .line import Line

UNANSWERED_MAX: Final = 60  # below the 64 that a client may have


@dataclass(frozen=True, slots=True)
class Heard:
    """One frame. dial: on which of its connections. rev and seq: of what of its session was durable then."""

    dial: int
    frame: dict[str, Any]
    payload: bytes
    rev: int
    seq: int


class Person:
    """token names the session that it shares with whoever has the same. durable: asks the disk, for evidence."""

    def __init__(
        self,
        name: str,
        token: str,
        durable: Callable[[str], tuple[int, int]],
        role: Literal["control", "observe"] = "control",
    ) -> None:
        self.name = name
        self.token = token
        self.role = role
        self.n = 0
        self.sid, self.epoch, self.seq = "", "", 0
        self.line: Line | None = None
        self.is_welcome = False
        self.is_over = False  # it has seen session.ended
        self.close: int | None = None  # of its last connection
        self.goaways = 0
        self.away_until = 0.0
        self.heard: list[Heard] = []
        self.said: dict[int, dict[str, Any]] = {}
        self.unanswered: dict[int, dict[str, Any]] = {}
        self._durable = durable

    def dial(self, line: Line, *, creates: bool) -> None:
        """Say hello on a new line. An older one stays as it is: the server has to see to that."""
        if self.role == "observe":
            self.hang_up()
        self.n += 1
        self.line, self.is_welcome, self.close = line, False, None
        hello: dict[str, Any] = {"t": "hello", "token": self.token, "role": self.role, "n": self.n}
        if self.role == "control":
            hello["cid"] = self.name
        if self.seq:
            hello["cur"] = {"epoch": self.epoch, "seq": self.seq}
        if creates and self.role == "control":
            hello["create"] = {}
        self._send(hello)

    def say(self, event: str, args: dict[str, Any]) -> None:
        """Number a command; it is sent now if there is a welcome, else after the next."""
        if len(self.unanswered) >= UNANSWERED_MAX:
            return
        c = len(self.said) + 1
        self.said[c] = self.unanswered[c] = {"t": "cmd", "c": c, "name": event, "args": args}
        if self.is_welcome:
            self._send(self.said[c])

    def repeat(self, most: int) -> None:
        """Send the last commands again, answered or not."""
        if self.is_welcome:
            for c in list(self.said)[-most:]:
                self._send(self.said[c])

    def read(self) -> None:
        """Take every frame that has come."""
        line = self.line
        while line is not None and line is self.line and line.to_client and not line.is_frozen:
            kind, payload = line.to_client.popleft()
            if kind == WSMsgType.PING:
                line.to_server.put_nowait(WSMessage(WSMsgType.PONG, payload, None))
            elif kind == WSMsgType.CLOSE:
                self.close = int.from_bytes(payload[:2])
                self.hang_up()
            elif kind == WSMsgType.TEXT:
                self._hear(decode(payload), payload)

    def hang_up(self) -> None:
        if self.line is not None:
            self.line.abort()
        self.lost()

    def lost(self) -> None:
        """Its connection is gone."""
        self.line, self.is_welcome = None, False

    @property
    def has_line(self) -> bool:
        return self.line is not None and not self.line.is_closing()

    def _send(self, frame: dict[str, Any]) -> None:
        assert self.line is not None
        self.line.to_server.put_nowait(WSMessage(WSMsgType.TEXT, encode(frame), None))

    def _hear(self, frame: dict[str, Any], payload: bytes) -> None:
        kind = frame["t"]
        if kind == "welcome":
            self.sid, self.epoch, self.is_welcome = frame["sid"], frame["epoch"], True
        self.heard.append(Heard(self.n, frame, payload, *self._durable(self.sid)))
        if kind == "welcome":
            for command in self.unanswered.values():
                self._send(command)
        elif kind == "snap":
            self.seq = frame["seq"]
        elif kind == "ev" and frame["seq"] == self.seq + 1:
            self.seq = frame["seq"]
            self.is_over = frame["kind"] == "session.ended"
        elif is_decided(frame):
            self.unanswered.pop(frame["c"], None)
        elif kind == "goaway":
            self.goaways += 1


def is_decided(frame: dict[str, Any]) -> bool:
    """Whether it is a command's outcome, and not the word that there is none yet."""
    return frame["t"] == "res" and "retry_ms" not in frame.get("err", {})
