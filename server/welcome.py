"""The first answer to a client: where its log goes on, and what it has to know of this server."""

from __future__ import annotations

from typing import Any, Final

from engine.log.state import OUTCOMES_PER_CID
from engine.session import Session

from . import frames
from .frames import Cursor, Hello
from .protocol import Timing

# Of one cid; its highest c is less than this above its lowest unanswered, or what is answered might be forgotten.
COMMANDS_IN_FLIGHT_MAX: Final = OUTCOMES_PER_CID


def resume_point(session: Session, cur: Cursor | None) -> int | None:
    """The number after which the log is sent, or None if the client's place in it is gone.

    A cursor of another log, ahead of this one, or before what is kept cannot go on; no cursor means 0.
    """
    seq = cur.seq if cur is not None else 0
    is_ours = cur is None or cur.epoch == session.epoch
    return seq if is_ours and session.log.trimmed <= seq <= session.log.head else None


def opening(session: Session, hello: Hello, timing: Timing) -> tuple[int | None, bytes]:
    """(the number after which the log is sent, the welcome); None: a snap comes first, which replaces all (L4)."""
    after = resume_point(session, hello.cur)
    window_s = session.window_s
    welcome = frames.frame(
        "welcome",
        sid=session.sid,
        token=hello.token,
        epoch=session.epoch,
        head=session.log.head,
        resumed=after is not None,
        state=session.told_state,
        window_ms=None if window_s is None else round(window_s * 1000),
        heartbeat_ms=round(timing.heartbeat_s * 1000),
        limits=limits(timing),
    )
    return after, welcome


def limits(timing: Timing) -> dict[str, Any]:
    """What a client has to keep to."""
    return {
        "hello_bytes": frames.HELLO_BYTES_MAX,
        "cmd_bytes": frames.COMMAND_BYTES_MAX,
        "frame_bytes": frames.FRAME_BYTES_MAX,
        "server_frame_bytes": frames.SERVER_FRAME_BYTES_MAX,
        "commands_per_s": timing.commands_per_s,
        "commands_burst": timing.commands_burst,
        "commands_unanswered": COMMANDS_IN_FLIGHT_MAX,
        "hello_ms": round(timing.hello_s * 1000),
        "dead_ms": round(timing.dead_s * 1000),
    }
