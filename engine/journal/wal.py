"""Whether a write-ahead log holds more than SQLite reads of it.

SQLite reads it up to the first frame whose checksum is wrong and takes the rest for what a crash left half-written. If
that frame was written long ago and damaged since, the commits behind it are gone without a word. But each commit
is synced before the next one is written: if a whole commit follows after the one that is broken off, it is damage.
Once all of it is in the database, SQLite begins it anew from its top, with other salts: the frames of before lie on
behind the new ones, whole, and are no commits any more.
The format: sqlite.org/fileformat.html#walformat.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24
FRAME_BYTES: Final = FRAME_HEADER_BYTES + 4096
_WORD: Final = 0xFFFF_FFFF
_BIG: Final = b"\x37\x7f\x06\x83"  # how it begins if its checksums are over big-endian words
_LITTLE: Final = b"\x37\x7f\x06\x82"

Sums = tuple[int, int]


class Link(NamedTuple):
    """The header or a frame: each is summed up from the sums of the one before. is_commit: it ends one."""

    salts: bytes
    is_commit: bool
    sums: Sums
    summed: bytes


def lost_commits(path: Path, read: int) -> int:
    """How many commits stand behind a damaged place, where SQLite has read that many frames; 0 if there is no damage,
    or none that can be told from a crash: the last commit of all may always have been cut by one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    order = "big" if data.startswith(_BIG) else "little"
    if len(data) < HEADER_BYTES + FRAME_BYTES:
        return 0
    header = Link(data[16:24], False, struct.unpack_from(">II", data, 24), data[:24])
    if read == 0 and not _begins_well(header, order):
        # It is synced before any frame behind it, so no crash did this; which frames are its own, they say themselves.
        return _commits(header, (0, 0), _frames(data, 0), next(_frames(data, 0)).salts, order)
    links = chain([header], _frames(data, 0)) if read == 0 else _frames(data, read - 1)
    before = next(links)
    for link in links:
        if link.salts != header.salts or not _fits(link, before.sums, order):
            return max(_commits(link, before.sums, links, header.salts, order) - 1 + link.is_commit, 0)
        before = link  # begins the commit that is broken off
    return 0


def _begins_well(header: Link, order: str) -> bool:
    return header.summed.startswith((_BIG, _LITTLE)) and _fits(header, (0, 0), order)


def _commits(broken: Link, before: Sums, behind: Iterator[Link], salts: bytes, order: str) -> int:
    """How many commits with these salts follow a broken link that it is the only one to break: either what it sums up
    is damaged, or its own sums are, and then the next one fits those that it should have."""
    first = next(behind, None)
    if first is None:
        return 0
    sums = next(
        (sums for sums in (broken.sums, _sums(broken.summed, before, order)) if _fits(first, sums, order)), None
    )
    commits = 0
    for link in chain([first], behind):
        if sums is None or link.salts != salts or not _fits(link, sums, order):
            break
        commits += link.is_commit
        sums = link.sums
    return commits


def _frames(data: bytes, first: int) -> Iterator[Link]:
    for at in range(HEADER_BYTES + first * FRAME_BYTES, len(data) - FRAME_BYTES + 1, FRAME_BYTES):
        size, salts, one, two = struct.unpack_from(">4xI8sII", data, at)
        page = data[at + FRAME_HEADER_BYTES : at + FRAME_BYTES]
        yield Link(salts, size > 0, (one, two), data[at : at + 8] + page)


def _fits(link: Link, before: Sums, order: str) -> bool:
    return _sums(link.summed, before, order) == link.sums


def _sums(data: bytes, before: Sums, order: str) -> Sums:
    words = array("I", data)
    if order != sys.byteorder:
        words.byteswap()
    one, two = before
    for at in range(0, len(words), 2):
        one = (one + words[at] + two) & _WORD
        two = (two + words[at + 1] + one) & _WORD
    return one, two
