"""What every frame means: the protocol's state of one connection, without sockets, tasks or a clock of its own.

Each method takes what happened and the time (monotonic seconds) and answers with what to do about it; connection.py
does it. So every rule here is tested by calling it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from engine.codec import encode_sorted
from engine.errors import Refused

from .codes import Fault
from .frames import (
    COMMAND_BYTES_MAX,
    FRAME_BYTES_MAX,
    HELLO_BYTES_MAX,
    BadFrame,
    Cmd,
    Hello,
    parse,
    refusal,
)


@dataclass(frozen=True, slots=True)
class Timing:
    """The protocol's times in seconds and rates, as an operator may set them."""

    hello_s: float = 10.0  # from accept to hello, in all
    heartbeat_s: float = 10.0
    dead_s: float = 25.0  # without an inbound message or pong
    stuck_s: float = 15.0  # a write without progress
    ended_s: float = 5.0  # from session.ended to the close
    answer_s: float = 30.0  # what an HTTP call waits for the store, or for a command's outcome
    commands_per_s: float = 50.0
    commands_burst: int = 100


class Phase(Enum):
    """new: nothing came yet; greeting: a hello is being answered; open: welcomed; closed: nothing counts any more."""

    NEW = "new"
    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Greet:
    """Attach this client, then call welcomed()."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send this command to its actor. wait_s: not before then (the rate). expires_at: None, or when it is too late.
    refused: why it cannot be applied, which is its outcome then: the number is used up."""

    cmd: Cmd
    digest: str
    wait_s: float
    expires_at: float | None
    refused: Refused | None = None

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True)
class Answer:
    """Send this frame; nobody else needs to know of the one that came. wait_s as in Deliver."""

    payload: bytes
    wait_s: float


@dataclass(frozen=True, slots=True)
class Close:
    """Say why and close."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Abort:
    """Cut the transport: a close handshake with a peer that does not read hangs."""

    why: str


@dataclass(frozen=True, slots=True)
class Beat:
    """Send a WebSocket ping and a `ping` frame."""


Meaning = Greet | Deliver | Answer | Close
Due = Close | Abort | Beat


class Bucket:
    """A rate that lets a burst through; the rest waits (take) or is refused (try_take)."""

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> float:
        """Take one; seconds until it may be used."""
        self._refill(now)
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._rate)

    def try_take(self, now: float) -> float:
        """Take one if there is one: 0; else seconds until there is, and none was taken."""
        self._refill(now)
        if self._tokens < 1.0:
            return (1.0 - self._tokens) / self._rate
        self._tokens -= 1.0
        return 0.0

    def is_full(self, now: float) -> bool:
        self._refill(now)
        return self._tokens >= self._burst

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now


class Progress:
    """Whether a peer takes what it is sent, however slowly."""

    def __init__(self, now: float, stuck_s: float) -> None:
        self._stuck_s = stuck_s
        self._moved_at = now
        self._flushed = 0

    def is_stuck(self, now: float, *, written: int, unsent: int) -> bool:
        """written: bytes given to the transport so far; unsent: how many of them it still holds."""
        flushed = written - unsent
        if unsent == 0 or flushed != self._flushed:
            self._flushed = flushed
            self._moved_at = now
        return now - self._moved_at >= self._stuck_s


class ConnectionCore:
    """One connection's protocol state. random: uniform in [0, 1), for the jitter of heartbeats."""

    def __init__(self, accepted_at: float, timing: Timing, random: Callable[[], float]) -> None:
        self.phase = Phase.NEW
        self.role = "control"
        self._timing = timing
        self._random = random
        self._accepted_at = accepted_at
        self._heard_at = accepted_at
        self._progress = Progress(accepted_at, timing.stuck_s)
        self._beat_at = 0.0
        self._ended_at: float | None = None
        self._bucket = Bucket(timing.commands_per_s, timing.commands_burst, accepted_at)

    def on_text(self, text: bytes, now: float) -> Meaning:
        """What a text frame means."""
        self._heard_at = now
        most = HELLO_BYTES_MAX if self.phase is Phase.NEW else FRAME_BYTES_MAX
        if len(text) > most:
            return self._close("too_large", f"a frame may have {most} bytes here; this one has {len(text)}")
        try:
            frame = parse(text)
        except BadFrame as error:
            return self._close("bad_frame", str(error))
        if isinstance(frame, Hello):
            return self._on_hello(frame)
        return self._on_cmd(frame, len(text), now)

    def on_binary(self, now: float) -> Meaning:
        self._heard_at = now
        return self._close("bad_frame", "frames are JSON objects in text messages; this one was binary")

    def on_life(self, now: float) -> float:
        """A ping or pong. Seconds to wait before reading on, so that pings are no way around the rate."""
        self._heard_at = now
        return self._bucket.take(now)

    def _on_hello(self, hello: Hello) -> Meaning:
        if self.phase is not Phase.NEW:
            return self._close("bad_frame", "hello is the first frame only; dial again to say it again")
        if hello.role == "control" and hello.cid is None:
            return self._close("bad_frame", "a control connection needs a cid (observers need none)")
        if hello.role == "observe" and hello.create is not None:
            return self._close("bad_frame", "an observer cannot create a session")
        self.phase = Phase.GREETING
        self.role = hello.role
        return Greet(hello)

    def _on_cmd(self, cmd: Cmd, size: int, now: float) -> Meaning:
        if self.phase is not Phase.OPEN:
            return self._close("bad_frame", "the first frame is hello, and commands follow its welcome")
        wait_s = self._bucket.take(now)
        if self.role != "control":
            return Answer(refusal(cmd.c, "forbidden", "observers send no commands"), wait_s)
        refused = None
        if size > COMMAND_BYTES_MAX:
            refused = Refused("too_large", f"a command may have {COMMAND_BYTES_MAX} bytes; this one has {size}")
        expires_at = None if cmd.ttl_ms is None else now + cmd.ttl_ms / 1000
        return Deliver(cmd, digest(cmd.name, cmd.args, cmd.to), wait_s, expires_at, refused)

    def _close(self, name: str, message: str) -> Close:
        self.phase = Phase.CLOSED
        return Close(Fault(name, message))

    def welcomed(self, now: float) -> None:
        """The welcome is on its way; heartbeats begin, the first after a half to a whole period."""
        self.phase = Phase.OPEN
        self._beat_at = now + self._timing.heartbeat_s * (0.5 + 0.5 * self._random())

    def closed(self) -> None:
        self.phase = Phase.CLOSED

    def ended(self, now: float) -> None:
        """session.ended was sent; the close follows."""
        if self._ended_at is None:
            self._ended_at = now

    def held(self, now: float) -> None:
        """We stopped to read, or began again: silence counts from here. It goes on counting, because a peer that died
        meanwhile could not be told from one that waits; only who has more unanswered than it may is held so long."""
        self._heard_at = now

    def due(self, now: float, *, written: int, unsent: int) -> Due | None:
        """What time has brought. written and unsent as in Progress.is_stuck."""
        if self.phase is Phase.CLOSED:
            return None
        if self._progress.is_stuck(now, written=written, unsent=unsent):
            return self._abort("a write made no progress")
        if self.phase is not Phase.OPEN:
            late = self.phase is Phase.NEW and now - self._accepted_at >= self._timing.hello_s
            return self._close("hello_late", "") if late else None
        if self._ended_at is not None and now - self._ended_at >= self._timing.ended_s:
            return self._close("ended", "")
        if now - self._heard_at >= self._timing.dead_s:
            return self._abort("nothing was heard")
        if now >= self._beat_at:
            self._beat_at = now + self._timing.heartbeat_s * (0.9 + 0.2 * self._random())
            return Beat()
        return None

    def _abort(self, why: str) -> Abort:
        self.phase = Phase.CLOSED
        return Abort(why)


def digest(name: str, args: dict[str, Any], to: str) -> str:
    """What makes two commands of one number the same. ttl_ms is no part of it: it shrinks with every resend."""
    return hashlib.sha256(encode_sorted([name, to, args])).hexdigest()[:32]
