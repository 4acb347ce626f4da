"""What went wrong, by name: the close code, the HTTP status and what the peer should do about it.

The range of a close code is what the client does: 40xx dial again, 41xx after retry_ms, 4300 bring a valid
token or credentials, 44xx a bug that must not be repeated, 45xx stop.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from engine.errors import Corrupt, JournalError, LimitExceeded, Refused

REASON_BYTES_MAX: Final = 120  # of a close reason; aiohttp sends a broken frame above 123


@dataclass(frozen=True, slots=True)
class Remedy:
    """How one error is told. retry_ms: when to come again if nothing better is known; None: not by waiting."""

    close: int
    status: int
    title: str
    retry_ms: int | None = None


REMEDIES: Final[Mapping[str, Remedy]] = {
    "leaving": Remedy(4000, 503, "this server is leaving; dial again", 1000),
    "heartbeat_lost": Remedy(4002, 408, "nothing was heard from you for too long; dial again"),
    "overloaded": Remedy(4100, 503, "too many connections; come again later", 5000),
    "full": Remedy(4103, 503, "a limit is reached; come again later", 5000),
    "store_unavailable": Remedy(4104, 503, "the store does not answer; come again later", 5000),
    "internal": Remedy(4105, 500, "a fault of the server; come again later", 5000),
    "hello_late": Remedy(4108, 408, "send hello as the first frame, at once after connecting", 1000),
    "no_valid_token": Remedy(4300, 401, "no valid token or credentials"),
    "bad_frame": Remedy(4400, 400, "the frame is not what the protocol allows here; do not repeat it"),
    "forbidden": Remedy(4403, 403, "you may not do this; do not repeat it"),
    "too_large": Remedy(4413, 413, "the frame is too large; do not repeat it"),
    "bad_payload": Remedy(4422, 422, "what was asked for does not fit; do not repeat it"),
    "ended": Remedy(4500, 410, "the session has ended; its log was sent"),
    "replaced": Remedy(4501, 409, "a newer connection of this client took over"),
    "damaged": Remedy(4502, 500, "what is stored is damaged; its operator has to repair it"),
}


# What is told as a reference to the log line with its text, by the first that fits.
UNTOLD: Final = ((Corrupt, "damaged"), (JournalError, "store_unavailable"), (Exception, "internal"))


class Fault(Exception):
    """An end of a connection or a request, by the name of its remedy. message is for the peer's developer."""

    def __init__(self, name: str, message: str = "", *, retry_ms: int | None = None) -> None:
        remedy = REMEDIES[name]
        super().__init__(message or remedy.title)
        self.name = name
        self.message = message or remedy.title
        self.retry_ms = remedy.retry_ms if retry_ms is None else retry_ms
        self.close = remedy.close
        self.status = remedy.status

    @property
    def reason(self) -> bytes:
        """The text of a close frame, cut to what a close frame can carry."""
        return self.message.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()


def fault_of(error: Exception, log: logging.Logger, sid: str | None = None) -> Fault:
    """How an error is told to a peer. What is nobody's fault but ours, or the store's, is told as a reference to
    the log line that has its text."""
    match error:
        case Fault():
            return error
        case LimitExceeded():
            return Fault("full", error.message, retry_ms=error.retry_ms)
        case Refused(code=code) if code in REMEDIES:
            return Fault(code, error.message, retry_ms=error.retry_ms)
        case Refused(code="busy"):
            return Fault("overloaded", error.message, retry_ms=error.retry_ms)
        case Refused():
            return Fault("forbidden", f"{error.code}: {error.message}", retry_ms=error.retry_ms)
    name = next(name for kind, name in UNTOLD if isinstance(error, kind))
    ref = "r." + secrets.token_hex(6)
    log.error("%s: %s", name, error, exc_info=error, extra={"ref": ref, "sid": sid})
    return Fault(name, f"{REMEDIES[name].title} (ref {ref})")
