"""Finding a move: alpha-beta to a fixed depth over material and place. The same arguments give the same move."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Final

import chess

MATE: Final = 1_000_000
# What a piece is worth, and what each step from the edge to the middle adds; a king had better stay away from there.
WORTH: Final = ((100, 4), (320, 4), (330, 4), (500, 4), (900, 4), (0, -4))  # pawn, knight, bishop, rook, queen, king
RINGS: Final = (0x007E7E7E7E7E7E00, 0x00003C3C3C3C0000, 0x0000001818000000)  # squares at least 1, 2, 3 steps in


async def best_move(board: chess.Board, depth: int, seed: int, ply: int) -> chess.Move:
    """The best move for the side to move; equals are drawn by lot from seed and ply, so a game that was stopped and
    goes on chooses as one that was not. Gives up the loop between moves: others share it."""
    lot = random.Random(f"{seed}:{ply}")
    best: list[chess.Move] = []
    most = -MATE * 2
    for move in _ordered(board):
        board.push(move)
        # One below the best so far: a move as good as the best is then told apart from one that is worse.
        score = -await _look(board, depth - 1, -MATE * 2, -(most - 1))
        board.pop()
        if score > most:
            best, most = [move], score
        elif score == most:
            best.append(move)
    return lot.choice(best)


async def _look(board: chess.Board, depth: int, low: int, high: int) -> int:
    """The value for the side to move, exact between low and high; the loop gets its turn at each level but the last."""
    await asyncio.sleep(0)
    if depth <= 1:
        return search(board, depth, low, high)
    for move in _ordered(board):
        board.push(move)
        try:
            low = max(low, -await _look(board, depth - 1, -high, -low))
        finally:
            board.pop()
        if low >= high:
            return low
    return low if any(board.legal_moves) else _end_value(board, depth)


def search(board: chess.Board, depth: int, low: int, high: int) -> int:
    """The same without waiting: some tenths of a millisecond a node."""
    if not any(board.legal_moves):
        return _end_value(board, depth)
    if board.is_insufficient_material():
        return 0
    if depth == 0:
        return evaluate(board)
    for move in _ordered(board):
        board.push(move)
        low = max(low, -search(board, depth - 1, -high, -low))
        board.pop()
        if low >= high:
            break
    return low


def _end_value(board: chess.Board, depth: int) -> int:
    """Mate, the sooner the worse, or stalemate."""
    return -(MATE + depth) if board.is_check() else 0


def evaluate(board: chess.Board) -> int:
    """Material and a taste for the centre, from the side to move."""
    own, other = board.occupied_co[board.turn], board.occupied_co[not board.turn]
    score = 0
    for pieces, (value, taste) in zip(_by_type(board), WORTH, strict=True):
        if pieces:
            score += value * ((pieces & own).bit_count() - (pieces & other).bit_count())
            score += taste * sum(
                (pieces & own & ring).bit_count() - (pieces & other & ring).bit_count() for ring in RINGS
            )
    return score


def _by_type(board: chess.Board) -> tuple[chess.Bitboard, ...]:
    return (board.pawns, board.knights, board.bishops, board.rooks, board.queens, board.kings)


def _ordered(board: chess.Board) -> Iterator[chess.Move]:
    """Captures first, then by name: good cut-offs, and an order that does not depend on how the board came about."""
    return iter(sorted(board.legal_moves, key=lambda move: (not board.is_capture(move), move.uci())))
