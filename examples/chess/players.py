"""The engine, which finds moves, and the scribe, who keeps the record of the match."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import chess
import chess.pgn
from autogen_core import MessageContext, RoutedAgent, TopicId, message_handler

from handlers.team import Seat

from .messages import PROPOSALS, Finished, Options, Played, Proposal, YourMove
from .search import best_move


class Engine(RoutedAgent):
    """Plays one side. It remembers nothing: the arbiter's message has the position."""

    def __init__(self, seat: Seat) -> None:
        super().__init__(f"plays {seat.name}")
        self._seat = seat
        self._options: Options = seat.options

    @message_handler
    async def move(self, message: YourMove, ctx: MessageContext) -> None:
        board = chess.Board(message.fen)
        await asyncio.sleep(self._options.pause_ms / 1000)
        found = await best_move(board, self._options.depth, self._options.seed, message.ply)
        answer = Proposal(side=self._seat.name, ply=message.ply + 1, uci=found.uci())
        await self.publish_message(answer, TopicId(self._seat.topic(PROPOSALS), self._seat.sid))


class Scribe(RoutedAgent):
    """Writes down what was played; at the end it hands out the PGN."""

    def __init__(self, seat: Seat) -> None:
        super().__init__("keeps the record")
        self._seat = seat
        self._options: Options = seat.options
        self._moves: list[str] = []

    @message_handler
    async def played(self, message: Played, ctx: MessageContext) -> None:
        if message.ply == len(self._moves) + 1:
            self._moves.append(message.uci)

    @message_handler
    async def finished(self, message: Finished, ctx: MessageContext) -> None:
        shown = {
            "agent": self._seat.name,
            "text": f"{message.result}: {message.reason}",
            "result": message.result,
            "reason": message.reason,
            "plies": len(self._moves),
            "pgn": self.pgn(message.result),
        }
        self._seat.emit("agent.message", shown)

    def pgn(self, result: str) -> str:
        game = chess.pgn.Game()
        game.headers["Event"] = "Steward chess match"
        for side in ("White", "Black"):
            is_engine = self._options.player(side.lower()) == "engine"
            depth, seed = self._options.depth, self._options.seed
            game.headers[side] = f"engine (depth {depth}, seed {seed})" if is_engine else "person"
        node: chess.pgn.GameNode = game
        for uci in self._moves:
            node = node.add_variation(chess.Move.from_uci(uci))
        game.headers["Result"] = result
        return str(game)

    async def save_state(self) -> Mapping[str, Any]:
        return {"moves": list(self._moves)}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        self._moves = list(state["moves"])
