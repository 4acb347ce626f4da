"""The server's own log: one line an event, for people or for machines, without any credentials in it."""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import IO, Any, Final, Literal

from engine.codec import encode

from .plain import plain

FIELDS: Final = ("sid", "actor", "seq", "ref", "handler")  # given as `extra` where they are known
# Libraries that write a line for every message, and what is in it, or call errors what peers do to them.
CHATTY: Final = ("aiohttp", "asyncio", "autogen_core", "transitions")
INDENT: Final = "    "
_SECRETS: Final = re.compile(
    r"""(?ix)
    (\bbearer\s+ | \b(?:token|auth|authorization|key|api_key|password|secret)\b["']?\s*[:=]\s*["']?(?:bearer\s+)?)
    [A-Za-z0-9_\-.~+/=]{8,}"""
)


def redact(text: str) -> str:
    """text with every value that stands where a credential stands replaced."""
    return _SECRETS.sub(r"\1[redacted]", text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        plain: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": redact(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            plain["error"] = redact(self.formatException(record.exc_info))
        return encode(plain).decode()


class HumanFormatter(logging.Formatter):
    """Time, level, text, then what the line is about; a traceback follows on lines of its own, moved in: whatever
    text a stranger gets into it, a line that begins at the margin is the server's."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        about = "".join(f" {name}={value}" for name, value in _fields(record).items())
        lines = [redact(f"{time} {record.levelname.lower():7} {record.name}: {record.getMessage()}{about}")]
        if record.exc_info:
            lines += [INDENT + line for line in redact(self.formatException(record.exc_info)).split("\n")]
        return "\n".join(map(plain, lines))


def _fields(record: logging.LogRecord) -> dict[str, str]:
    found = {name: getattr(record, name, None) for name in FIELDS}
    return {name: str(value) for name, value in found.items() if value is not None}


def configure(form: Literal["human", "json"], level: str, stream: IO[str] | None = None) -> None:
    """Send all logging to stream (standard error). Replaces what was configured before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else HumanFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
