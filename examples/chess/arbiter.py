"""The arbiter: keeps the board, judges every move, asks whose turn it is, ends the match. python-chess is the law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import chess
from autogen_core import MessageContext, RoutedAgent, TopicId, message_handler

from handlers.team import NeedsInput, PersonSaid, Seat, TeamMessage

from .messages import MOVES, Begin, Finished, Options, Played, Proposal, YourMove


class Arbiter(RoutedAgent):
    def __init__(self, seat: Seat) -> None:
        super().__init__("judges the match")
        self._seat = seat
        self._options: Options = seat.options
        self._board = chess.Board()
        self._result = ""

    @message_handler
    async def begin(self, message: Begin, ctx: MessageContext) -> NeedsInput | None:
        return await self._next()

    @message_handler
    async def proposed(self, message: Proposal, ctx: MessageContext) -> NeedsInput | None:
        if self._result or message.ply != self._board.ply() + 1 or message.side != self._side:
            return None  # of a turn that is over: the person interrupted, and the engine was asked twice
        move = chess.Move.from_uci(message.uci)
        if move not in self._board.legal_moves:
            raise ValueError(f"the {message.side} engine proposed {message.uci}, which is illegal")
        return await self._play(move, "engine")

    @message_handler
    async def said(self, message: PersonSaid, ctx: MessageContext) -> NeedsInput | None:
        text = message.text.strip()
        if self._result:
            self._answer(f"The match is over: {self._result}.")
            return None
        if self._options.player(self._side) == "engine":
            # Nothing is under way when a person is heard, so the engine's last request went astray.
            self._answer(f"It is {self._side}'s turn, and an engine plays {self._side}. It is asked to go on.")
            return await self._next()
        if text.lower() == "resign":
            await self._finish("0-1" if self._board.turn else "1-0", f"{self._side} resigned")
            return None
        move = self._read(text)
        if move is None:
            self._answer(f"{text[:40]!r} is no legal move for {self._side} here; write e2e4 or Nf3, or resign.")
            return await self._next()
        return await self._play(move, "person")

    @property
    def _side(self) -> str:
        return chess.COLOR_NAMES[self._board.turn]

    def _read(self, text: str) -> chess.Move | None:
        """A legal move in UCI or SAN, else None."""
        for parse, said in ((self._board.parse_uci, text.lower()), (self._board.parse_san, text)):
            try:
                move = parse(said)
            except ValueError:
                continue
            return move or None  # the null move 0000 parses, and is none
        return None

    def _answer(self, text: str) -> None:
        self._seat.emit("agent.message", {"agent": self._seat.name, "text": text})

    async def _play(self, move: chess.Move, by: str) -> NeedsInput | None:
        side, san = self._side, self._board.san(move)
        self._board.push(move)
        ply, fen = self._board.ply(), self._board.fen()
        text = f"{(ply + 1) // 2}{'.' if side == 'white' else '…'} {san}"
        shown = {"agent": side, "ply": ply, "uci": move.uci(), "san": san, "fen": fen, "text": text, "by": by}
        self._seat.emit("agent.message", shown)
        await self._tell(MOVES, Played(ply=ply, side=side, uci=move.uci(), san=san, fen=fen))
        return await self._next()

    async def _next(self) -> NeedsInput | None:
        """End the match, ask the engine whose turn it is, or ask the person."""
        end = self._board.outcome(claim_draw=True)
        if end is not None:
            await self._finish(end.result(), end.termination.name.lower().replace("_", " "))
            return None
        if self._board.ply() >= self._options.plies:
            await self._finish("*", f"broken off after {self._options.plies} half-moves")
            return None
        if self._options.player(self._side) == "human":
            return NeedsInput(prompt=f"Your move, {self._side}.")
        await self._tell(self._side, YourMove(fen=self._board.fen(), ply=self._board.ply()))
        return None

    async def _finish(self, result: str, reason: str) -> None:
        self._result = f"{result}, {reason}"
        await self._tell(MOVES, Finished(result=result, reason=reason))

    async def _tell(self, topic: str, message: TeamMessage) -> None:
        await self.publish_message(message, TopicId(self._seat.topic(topic), self._seat.sid))

    async def save_state(self) -> Mapping[str, Any]:
        return {"moves": [move.uci() for move in self._board.move_stack], "result": self._result}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        self._board = chess.Board()
        for uci in state["moves"]:
            self._board.push_uci(uci)
        self._result = state["result"]
