"""The first answer to a client: where its log goes on, and what it has to know of this server."""

from __future__ import annotations

from typing import Any, Final

from engine.session import Session

from . import frames
from .frames import Cursor, Hello
from .protocol import Timing

COMMANDS_IN_FLIGHT_MAX: Final = 64  # of one cid; its highest c is less than this above its lowest unanswered


def resume_point(session: Session, cur: Cursor | None) -> tuple[int, bool]:
    """(the number after which the log is sent, whether the client's own cursor goes on).

    A cursor of another log, or ahead of this one, cannot go on; the client is given a snapshot instead (L4).
    """
    head = session.log.head
    if cur is None:
        return 0, True
    if cur.epoch == session.epoch and cur.seq <= head:
        return cur.seq, True
    return head, False


def opening(session: Session, hello: Hello, timing: Timing) -> tuple[int, list[bytes]]:
    """(after, the first frames): a welcome, and a snap where the cursor does not go on."""
    after, is_resumed = resume_point(session, hello.cur)
    window_s = session.window_s
    first = [
        frames.frame(
            "welcome",
            sid=session.sid,
            token=hello.token,
            epoch=session.epoch,
            head=session.log.head,
            resumed=is_resumed,
            state=session.state,
            window_ms=None if window_s is None else round(window_s * 1000),
            heartbeat_ms=round(timing.heartbeat_s * 1000),
            limits=limits(timing),
        )
    ]
    if not is_resumed:
        first.append(frames.frame("snap", seq=after, data=snapshot(session)))
    return after, first


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


def snapshot(session: Session) -> dict[str, Any]:
    """What replaces everything a client has built: the states of all actors, and the report if it is over."""
    plain: dict[str, Any] = {
        "state": session.state,
        "actors": [{"actor": view.path, "kind": view.kind, "state": view.state} for view in session.tree()],
    }
    if session.report is not None:
        plain["report"] = session.report
    return plain
