"""The events of a session for a command: from the server that runs, or from the data directory if none does."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from engine.codec import decode
from engine.errors import StewardError
from engine.log.parcel import pack, unpack
from engine.log.transfer import read_parcel

from .cli_options import server_of, settings_of
from .config import Settings
from .following import ENDED, follow
from .remote import RemoteError, export, pages

PAGE: Final = 500


class NoSuchSession(StewardError):
    """The caller's: the data directory holds no session of this name."""


def events_of(
    sid: str,
    *,
    url: str | None,
    data: Path | None,
    key: str | None,
    config: Path | None,
    after: int = 0,
    gone: Callable[[int, dict[str, Any]], object],
) -> Iterator[dict[str, Any]]:
    """Every event after a number, oldest first. gone: as for remote.pages. Raises RemoteError, JournalError or
    NoSuchSession."""
    settings = settings_of({"data": data}, config)
    if url is None and is_left(settings):
        yield from _stored(settings, sid, after, gone)
        return
    yield from pages(*server_of(settings, url, key), sid, after, gone)


def followed(
    sid: str,
    *,
    url: str | None,
    data: Path | None,
    key: str | None,
    config: Path | None,
    after: int,
    say: Callable[[str], None],
    gone: Callable[[int, dict[str, Any]], object],
) -> Iterator[dict[str, Any]]:
    """As events_of(), and then what comes, until the end. Where no server runs yet it is waited for."""
    settings = settings_of({"data": data}, config)
    is_away = url is None and is_left(settings)
    if is_away:
        for event in _stored(settings, sid, after, gone):
            yield event
            after = event["seq"]
            if event["kind"] == ENDED:
                return
        say(f"no server runs on {settings.data}; waiting for one")

    def find() -> tuple[str, str | None]:
        if is_away and not _is_served(settings):
            raise RemoteError(f"no server runs on {settings.data}")
        return server_of(settings, url, key)

    yield from follow(find, sid, after, say, is_awaited=is_away)


def is_left(settings: Settings) -> bool:
    """Whether there is a log in the data directory and no server that has it open."""
    return not _is_served(settings) and settings.log_file.exists()


def exported(sid: str, *, url: str | None, data: Path | None, key: str | None, config: Path | None) -> bytes:
    """A session as one file, whole. Raises RemoteError, JournalError, ParcelError or Refused."""
    settings = settings_of({"data": data}, config)
    if url is None and is_left(settings):
        return _packed(settings, sid)
    text = export(*server_of(settings, url, key), sid)
    unpack(text)  # a connection that was cut leaves a file that looks like one
    return text


def _packed(settings: Settings, sid: str) -> bytes:
    from engine.journal.sqlite import SqliteJournal

    async def read() -> bytes:
        journal = SqliteJournal(settings.log_file)
        await journal.open()
        try:
            return b"".join(pack(await read_parcel(journal, sid)))
        finally:
            await journal.close()

    return asyncio.run(read())


def _is_served(settings: Settings) -> bool:
    """Whether a server of this machine runs on the data directory; one that was killed leaves its address behind."""
    try:
        os.kill(int(json.loads(settings.address_file.read_text())["pid"]), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _stored(
    settings: Settings, sid: str, after: int, gone: Callable[[int, dict[str, Any]], object]
) -> Iterator[dict[str, Any]]:
    """Read while no server holds the log; a server that starts meanwhile is told who does."""
    from engine.journal.sqlite import SqliteJournal
    from engine.log.snapshot import decoded, view_in
    from engine.log.view import STORED_BYTES_MAX

    async def read() -> list[bytes]:
        journal = SqliteJournal(settings.log_file)
        await journal.open()
        try:
            row = await journal.session(sid)
            if row is None:
                raise NoSuchSession(f"no server runs on {settings.data}, and there is no session {sid} in its log")
            if row.trimmed > after:
                view = view_in(decoded((await journal.records(sid, 0, 1))[0]))
                gone(view.seq, view.shown(STORED_BYTES_MAX))
            found, last = [], after
            while page := await journal.updates(sid, last, PAGE):
                found += [text for _, text in page]
                last = page[-1][0]
            return found
        finally:
            await journal.close()

    yield from (decode(text) for text in asyncio.run(read()))
