"""What a player in a terminal is told: boards, frames and reports as text."""

from __future__ import annotations

from typing import Any, Final

from engine.units import show_duration

PIECES: Final = dict(zip("KQRBNPkqrbnp", "♔♕♖♗♘♙♚♛♜♝♞♟", strict=True))
START: Final = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
COMMANDS: Final = ("/interrupt", "/end", "/help")
HELP: Final = f"a move like e2e4, {', '.join(COMMANDS)}; Ctrl-C leaves"
# Closes after which the client dials again, by their code; 4103 says by itself which limit is reached.
LOST: Final = {
    4000: "the server is leaving; dialling again until it is back",
    4002: "the server heard nothing from here for too long; dialling again",
    4100: "the server has too many connections; dialling again",
    4103: "waiting for a free place; Ctrl-C leaves",
    4104: "the server's store does not answer; dialling again",
    4105: "the server has a fault; dialling again",
    4108: "the server did not hear from here in time; dialling again",
}
STATES: Final = ("session.state", "orchestrator.state", "agent.state")


def board(fen: str, *, is_plain: bool = False) -> str:
    """The position as eight lines of text. is_plain: letters instead of chess signs."""
    rows = []
    for number, row in zip(range(8, 0, -1), fen.split(" ", 1)[0].split("/"), strict=True):
        squares = "".join("." * int(sign) if sign.isdigit() else sign for sign in row)
        rows.append(f" {number} " + " ".join(squares if is_plain else (PIECES.get(sign, "·") for sign in squares)))
    return "\n".join([*rows, "   a b c d e f g h"])


def describe(frame: dict[str, Any], *, show_states: bool = False) -> str | None:
    """What one frame tells a player; None for what is no news to one. show_states: every event, with its number."""
    match frame:
        case {"t": "ev", "kind": kind, "data": data}:
            text = _event(kind, data, show_states)
            return text if text is None or not show_states else f"{frame['seq']:5} {kind}: {text}"
        case {"t": "res", "ok": False, "err": err}:
            return f"refused: {err['msg']} ({err['code']})"
        case {"t": "lost", "code": 4103}:
            return f"{frame['why']}; {LOST[4103]}"
        case {"t": "lost", "code": code}:
            return LOST.get(code, "the connection is lost; dialling again")
    return None


def _event(kind: str, data: dict[str, Any], show_states: bool) -> str | None:
    text = data.get("text") or data.get("prompt") or ""
    match kind:
        case "agent.message":
            uci = f" ({data['uci']})" if "uci" in data else ""
            return f"{data.get('agent', '?')}: {text or data.get('san', '')}{uci}"
        case "input.request":
            return str(text)
        case "command.outcome":
            return f"refused: {data.get('message')} ({data.get('code')})"
        case _ if not show_states:
            return None if kind in (*STATES, "person.message", "session.ended") or not text else str(text)
        case _ if kind in STATES:
            return f"{data.get('actor', '/')} {data.get('from')} -> {data.get('to')}"
        case _:
            return f"{data.get('agent', '')} {text or data.get('how') or data.get('why') or ''}".strip()


def report(found: Any) -> str:
    """The clean-up report in one line."""
    counts = found if isinstance(found, dict) else {}
    told = ", ".join(f"{counts[what]} {what}" for what in ("released", "forced", "leaked") if counts.get(what))
    return f"clean-up: {told or 'nothing was held'}"


def ending(data: dict[str, Any]) -> str:
    """How a session has ended, from its last event; why only where nobody asked for it."""
    why = "" if data.get("code") == "closed" else f": {data.get('why')}"
    return f"the session has ended{why}; {report(data.get('report'))}"


def farewell(window_ms: int | None, rejoin: str | None) -> str:
    """What becomes of a session that its only person leaves."""
    if window_ms is None:
        text = "\nThe session goes on without you, until a limit of its own ends it."
    else:
        window = show_duration(window_ms / 1000)
        text = f"\nThe session goes on without you. If nobody comes back within {window} it ends"
        text += "; one that waits for a person may be kept longer."
    return text if rejoin is None else f"{text}\nCome back with:  {rejoin}"
