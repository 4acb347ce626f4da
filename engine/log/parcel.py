"""A session as one file: JSON Lines that hold its log byte for byte, and a checksum over all of it.

The first line says what it is, then come records, updates and rights, and the last line has the SHA-256 of all bytes
before it. Bodies are JSON strings, so that not one of their bytes changes on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from typing import Any, Final

from ..codec import decode, encode
from ..errors import NotOurs, Refused, UnknownFormat
from ..journal.base import SessionRow, TokenRow
from ..records import ROOT, Record
from .foreign import read_record, read_update, read_view, row_of, token_of

FORMAT: Final = "steward-session"
VERSION: Final = 1
PARCEL_BYTES_MAX: Final = 64 * 1024 * 1024  # a log at its bounds, escaped, with room for a large snapshot
TOKENS_MAX: Final = 64
BEGINNINGS: Final = ("created", "snapshot")
ENDED: Final = "session.ended"  # the last update of a session that has ended, and of no other
HEAD: Final = tuple(one.name for one in fields(SessionRow))


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

    def at_record(self, record: int) -> AbstractContextManager[None]:
        """Whatever is not ours in here is the mistake of that line."""
        return _at(self.line_of(record))

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
        read_record(record)
        if record.op not in BEGINNINGS if index == 0 else record.op == "snapshot":
            raise NotOurs("a log begins with a creation or a snapshot, and no snapshot comes later")
        return int(record.body["kept"][0] if record.op == "snapshot" else record.body.get("told", 0))
    except UnknownFormat as error:
        raise ParcelError(parcel.line_of(index), str(error)) from None
    except NotOurs as error:
        raise ParcelError(parcel.line_of(index), f"this is no record: {error}") from None
    except Exception as error:
        raise ParcelError(parcel.line_of(index), f"this is no record: {type(error).__name__}: {error}") from None


@contextmanager
def _at(line: int) -> Iterator[None]:
    try:
        yield
    except NotOurs as error:
        raise ParcelError(line, str(error)) from None


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
    yield {"format": FORMAT, "version": VERSION, **{name: getattr(row, name) for name in HEAD}}
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
    _check_updates(row, found["update"], updates)
    parcel = Parcel(row, records, updates, _tokens(row.sid, found["token"]))
    parcel.ends()
    _check_beginning(parcel)
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
    with _at(1):
        return row_of({name: value for name, value in plain.items() if name not in ("format", "version")})


def _body(number: int, text: Any) -> bytes:
    if not isinstance(text, str):
        raise ParcelError(number, "a body is a JSON string")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ParcelError(number, "its text is no Unicode") from None


def _check_updates(row: SessionRow, found: list[tuple[int, Any]], updates: tuple[bytes, ...]) -> None:
    is_over = False
    for expected, ((number, _), text) in enumerate(zip(found, updates, strict=True), start=row.trimmed + 1):
        _object(number, text)
        with _at(number):
            kind = read_update(text, expected)
        if is_over:
            raise ParcelError(number, "this comes after the end")
        is_over = kind == ENDED
    if len(updates) != row.seq - row.trimmed:
        raise ParcelError(1, f"it should have {row.seq - row.trimmed} updates and has {len(updates)}")
    if is_over != (row.ended_at is not None):
        raise ParcelError(1, f"ended_at says that the session has {'not ' * is_over}ended, and its updates differ")


def _check_beginning(parcel: Parcel) -> None:
    """Nothing is gone of a log that begins with the creation; of another the first record says what was."""
    row, first = parcel.row, Record.decode(parcel.records[0])
    if first.op == "snapshot":
        with parcel.at_record(0):
            read_view(first.body.get("view"), row.trimmed)
    elif first.actor != ROOT or row.trimmed or row.first_rev != 1:
        raise ParcelError(parcel.line_of(0), "this is not how a log begins: with its root, as number 1")


def _tokens(sid: str, found: list[tuple[int, Any]]) -> tuple[TokenRow, ...]:
    tokens: list[TokenRow] = []
    for number, plain in found:
        with _at(number):
            token = token_of(sid, plain)
        if any(token.id == one.id or token.digest == one.digest for one in tokens):
            raise ParcelError(number, "this token is there already")
        if len(tokens) == TOKENS_MAX:
            raise ParcelError(number, f"a session has at most {TOKENS_MAX} tokens")
        tokens.append(token)
    return tuple(tokens)
