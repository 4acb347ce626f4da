"""Checksums over what is stored, and what is said of rows that do not fit theirs. Each is over a row and its place,
so that no row passes for another one either."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..errors import Corrupt
from .base import PLACE_BITS, PLACE_LAST

_SIX: Final = struct.Struct(">6q").pack
_WORD: Final = 0xFFFF_FFFF
_FAR: Final = 0x9E37_79B1  # odd and large: the places of neighbouring sessions begin far from each other

Body = tuple[int, int, bytes, int]  # a row of records or updates: place, asked (0 of an update), body, crc


def of_body(place: int, asked: int, body: bytes) -> int:
    """Finds every flipped bit, and all but one in 2^32 of greater damages."""
    return zlib.crc32(body, (place ^ (place >> PLACE_BITS) * _FAR ^ asked) & _WORD)


def of_row(*columns: Any) -> int:
    """Of a row of numbers, texts and short bytes, each of the type that its column has."""
    return zlib.crc32(repr(columns).encode())


def of_head(*columns: int) -> int:
    """Of a row of six numbers, at a fraction of what of_row costs: one is written with nearly every commit."""
    return zlib.crc32(_SIX(*columns))


def check_row(sid: str, what: str, row: tuple[Any, ...], checksum: Callable[..., int] = of_row) -> tuple[Any, ...]:
    """A row without its checksum, which is its last column. Raises Corrupt."""
    columns, crc = row[:-1], row[-1]
    if checksum(*columns) != crc:
        raise Corrupt(sid, f"{what} is not as it was written")
    return columns


def check_bodies(sid: str, what: str, rows: Iterable[Body], first: int, last: int) -> list[bytes]:
    """The bodies of all places from the first to the last; rows has to hold these and no other, in this order.
    Raises Corrupt, naming the first (by its rev or seq) that is not there or not as it was written."""
    bodies: list[bytes] = []
    expected = first
    for place, asked, body, crc in rows:
        if expected < place and expected <= last:
            break
        if place != expected or place > last:
            raise Corrupt(sid, f"{what} {_position(place)} is there and should not be")
        if of_body(place, asked, body) != crc:
            raise Corrupt(sid, f"{what} {_position(place)} is not as it was written")
        bodies.append(body)
        expected += 1
    if expected <= last:
        raise Corrupt(sid, f"{what} {_position(expected)} is missing")
    return bodies


def _position(place: int) -> int:
    return place & PLACE_LAST
