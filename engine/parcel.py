"""A session as one file: JSON Lines that hold its log byte for byte, and a checksum over all of it.

The first line says what it is, then come records, updates and rights, and the last line has the SHA-256 of all bytes
before it. Bodies are JSON strings, so that not one of their bytes changes on the way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .codec import decode, encode
from .errors import Refused, UnknownFormat
from .journal.base import PLACE_LAST, SessionRow, TokenRow
from .records import Record

FORMAT: Final = "steward-session"
VERSION: Final = 1
PARCEL_BYTES_MAX: Final = 64 * 1024 * 1024  # a log at its bounds, escaped, with room for a large snapshot
TOKENS_MAX: Final = 64
SID: Final = re.compile(r"s\.[a-z2-7]{1,64}")
EPOCH: Final = re.compile(r"[0-9a-f]{1,64}")
USER_CHARS_MAX: Final = 512
COUNT_MAX: Final = PLACE_LAST // 2  # of what a log may have had, so that it may go on as long here
BEGINNINGS: Final = ("created", "snapshot")
ROLES: Final = ("control", "observe")


class ParcelError(Refused):
    """The sender's: a file that is no whole session as it was exported; says in which line and what is wrong."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__("bad_payload", f"line {line}: {what}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Parcel:
    """row: as the store has it. records: from row.first_rev on; ends: the last number after each of them. updates:
    from row.trimmed + 1 to row.seq."""

    row: SessionRow
    records: tuple[bytes, ...]
    updates: tuple[bytes, ...]
    tokens: tuple[TokenRow, ...] = ()

    def line_of(self, record: int) -> int:
        """Of the file, for the record at an index."""
        return record + 2

    def ends(self) -> list[int]:
        """Told by the bytes that each record says its updates have. Raises ParcelError if they do not add up, and
        UnknownFormat for a record of another release."""
        sizes, seq, ends = [len(text) for text in self.updates], 0, []
        for index, text in enumerate(self.records):
            left = _told(self, index, text)
            while left > 0 and seq < len(sizes):
                left -= sizes[seq]
                seq += 1
            if left:
                raise ParcelError(self.line_of(index), "the updates of this record are not those that are in the file")
            ends.append(self.row.trimmed + seq)
        if not ends or seq != len(sizes):
            raise ParcelError(self.line_of(len(ends)), "there are updates that belong to no record")
        return ends


def _told(parcel: Parcel, index: int, text: bytes) -> int:
    """Bytes of the updates of a record; of a snapshot, which begins a log, of all that were kept before it."""
    try:
        record = Record.decode(text)
        if record.op not in BEGINNINGS if index == 0 else record.op == "snapshot":
            raise ValueError("a log begins with a creation or a snapshot, and no snapshot comes later")
        return int(record.body["kept"][0] if record.op == "snapshot" else record.body.get("told", 0))
    except UnknownFormat as error:
        raise ParcelError(parcel.line_of(index), str(error)) from None
    except Exception as error:
        raise ParcelError(parcel.line_of(index), f"this is no record: {type(error).__name__}: {error}") from None


def pack(parcel: Parcel) -> Iterator[bytes]:
    """The lines of the file."""
    digest = hashlib.sha256()
    for plain in _lines(parcel):
        line = encode(plain) + b"\n"
        digest.update(line)
        yield line
    yield encode({"sha256": digest.hexdigest()}) + b"\n"


def _lines(parcel: Parcel) -> Iterator[dict[str, Any]]:
    row = parcel.row
    yield {"format": FORMAT, "version": VERSION, **{name: getattr(row, name) for name in _HEAD}}
    for text in parcel.records:
        yield {"record": text.decode()}
    for text in parcel.updates:
        yield {"update": text.decode()}
    for token in parcel.tokens:
        yield {"token": {"id": token.id, "role": token.role, "digest": token.digest.hex()}}


def unpack(text: bytes) -> Parcel:
    """The session in a file. Raises ParcelError, naming line and mistake, for anything but what pack() gives."""
    if len(text) > PARCEL_BYTES_MAX:
        raise ParcelError(1, f"the file has more than {PARCEL_BYTES_MAX} bytes")
    lines = text.split(b"\n")
    row = _row(_object(1, lines[0]))
    found: dict[str, list[tuple[int, Any]]] = {"record": [], "update": [], "token": []}
    for number, line in enumerate(lines[1:-2], start=2):
        _sort(found, number, line)
    _check_sum(lines, text)
    records = tuple(_body(*one) for one in found["record"])
    updates = tuple(_body(*one) for one in found["update"])
    tokens = tuple(_token(row.sid, *one) for one in found["token"])
    _check_updates(row, found["update"], updates)
    if len(tokens) > TOKENS_MAX:
        raise ParcelError(found["token"][TOKENS_MAX][0], f"a session has at most {TOKENS_MAX} tokens")
    parcel = Parcel(row, records, updates, tokens)
    parcel.ends()
    if len(records) != row.rev - row.first_rev + 1:
        raise ParcelError(1, f"it should have {row.rev - row.first_rev + 1} records and has {len(records)}")
    return parcel


def _object(number: int, line: bytes) -> dict[str, Any]:
    try:
        plain = decode(line)
    except ValueError:
        raise ParcelError(number, "this is no JSON; the file is torn or was altered") from None
    if not isinstance(plain, dict):
        raise ParcelError(number, "this is no JSON object; the file was altered, or is no exported session")
    return plain


def _sort(found: Mapping[str, list[tuple[int, Any]]], number: int, line: bytes) -> None:
    plain = _object(number, line)
    name = next(iter(plain), "")
    later = list(found)[list(found).index(name) + 1 :] if name in found else ()
    if len(plain) != 1 or name not in found or any(found[one] for one in later):
        raise ParcelError(number, "this is not what comes here; records, updates and tokens follow each other")
    found[name].append((number, plain[name]))


def _check_sum(lines: list[bytes], text: bytes) -> None:
    if len(lines) < 3 or lines[-1] or not lines[-2].startswith(b'{"sha256":'):
        raise ParcelError(max(1, len(lines) - (not lines[-1])), "the file ends here without its checksum: it is torn")
    plain = _object(len(lines) - 1, lines[-2])
    before = text[: len(text) - len(lines[-2]) - 1]
    if plain != {"sha256": hashlib.sha256(before).hexdigest()}:
        raise ParcelError(len(lines) - 1, "the lines before this checksum are not those it was made of: altered")


def _row(plain: Mapping[str, Any]) -> SessionRow:
    if plain.get("format") != FORMAT:
        raise ParcelError(1, f"this is no exported session: its first line has no format {FORMAT!r}")
    if plain.get("version") != VERSION:
        # Never guessed at: another release knows it (R4).
        raise ParcelError(1, f"a session of format version {plain.get('version')!r}; this release reads {VERSION}")
    for name, is_good in _HEAD.items():
        if name not in plain or not is_good(plain[name]):
            raise ParcelError(1, f"{name} is missing, or not what it may be")
    row = SessionRow(**{name: plain[name] for name in _HEAD})
    if row.trimmed > row.seq or row.first_rev > row.rev:
        raise ParcelError(1, "it ends before it begins")
    return row


def _body(number: int, text: Any) -> bytes:
    if not isinstance(text, str):
        raise ParcelError(number, "a body is a JSON string")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ParcelError(number, "its text is no Unicode") from None


def _check_updates(row: SessionRow, found: list[tuple[int, Any]], updates: tuple[bytes, ...]) -> None:
    for expected, ((number, _), text) in enumerate(zip(found, updates, strict=True), start=row.trimmed + 1):
        plain = _object(number, text)
        if plain.get("seq") != expected or not isinstance(plain.get("ts"), int | float):
            raise ParcelError(number, f"update {expected} is missing here")
    if len(updates) != row.seq - row.trimmed:
        raise ParcelError(1, f"it should have {row.seq - row.trimmed} updates and has {len(updates)}")


def _token(sid: str, number: int, plain: Any) -> TokenRow:
    try:
        token = TokenRow(bytes.fromhex(plain["digest"]), sid, plain["id"], plain["role"])
    except (TypeError, KeyError, ValueError):
        raise ParcelError(number, "this is no token") from None
    if len(token.digest) != 32 or token.role not in ROLES or not _is_text(token.id, 64):
        raise ParcelError(number, "this is no token")
    return token


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= COUNT_MAX


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**53


_HEAD: Final[Mapping[str, Callable[[Any], bool]]] = {
    "sid": lambda value: isinstance(value, str) and SID.fullmatch(value) is not None,
    "user": lambda value: _is_text(value, USER_CHARS_MAX),
    "epoch": lambda value: isinstance(value, str) and EPOCH.fullmatch(value) is not None,
    "created_at": _is_time,
    "ended_at": lambda value: value is None or _is_time(value),
    "fence": _is_count,
    "rev": _is_count,
    "seq": _is_count,
    "first_rev": _is_count,
    "trimmed": _is_count,
}
