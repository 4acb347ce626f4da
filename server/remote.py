"""What `steward sessions` and `steward log` ask of a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from engine.errors import StewardError

ANSWER_S: Final = 10.0
PAGE: Final = 500


class RemoteError(StewardError):
    """The server did not answer, or with a problem."""


def fetch(url: str, key: str | None, path: str) -> Any:
    """The JSON a GET answers. Raises RemoteError in words for a person."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    if not url.startswith(("http://", "https://")):
        raise RemoteError(f"{url} is no http:// or https:// address")
    try:
        with urlopen(Request(url.rstrip("/") + path, headers=headers), timeout=ANSWER_S) as answer:  # noqa: S310
            return json.load(answer)
    except HTTPError as error:
        raise RemoteError(_words(error)) from None
    except (URLError, TimeoutError, ConnectionError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise RemoteError(f"no answer from {url}: {reason}; does `steward serve` run there?") from None


def _words(error: HTTPError) -> str:
    try:
        plain = json.load(error)
        text = str(plain.get("detail") or plain["title"])
    except (ValueError, KeyError, AttributeError):
        text = error.reason
    hint = "; --data names the server's data directory, which has the key" if error.code == 401 else ""
    return f"{text} ({error.code}){hint}"


def pages(url: str, key: str | None, sid: str, after: int) -> Iterator[Any]:
    """Every event of a session's log after a number."""
    while True:
        page = fetch(url, key, f"/v1/sessions/{quote(sid, safe='')}/log?after={after}&limit={PAGE}")
        yield from page["events"]
        if not page["events"] or page["next"] >= page["head"]:
            return
        after = page["next"]
