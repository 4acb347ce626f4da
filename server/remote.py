"""What operators' commands (sessions, log, end, retry, write-off, export, import, fork) ask of a running server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from engine.errors import StewardError
from engine.log.parcel import PARCEL_BYTES_MAX

ANSWER_S: Final = 10.0
COPY_S: Final = 45.0  # a whole log is read and written first
HEARD_S: Final = 30.0  # a stream says something every ten seconds
END_S: Final = 75.0  # the server waits up to a minute for a clean-up
PAGE: Final = 500
RETRY: Final = "retry_cleanup"  # events of the shipped lifecycle file, for administrators
WRITE_OFF: Final = "write_off"


class _Stay(HTTPRedirectHandler):
    """Follows no redirect: the library would send the key along to wherever it leads."""

    def redirect_request(self, *given: Any) -> None:
        return None


# No proxy of the environment either, which would get the key of this machine's own server.
_OPENER: Final = build_opener(_Stay, ProxyHandler({}))


class RemoteError(StewardError):
    """The server did not answer (status None), or with a problem."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def fetch(
    url: str,
    key: str | None,
    path: str,
    *,
    method: str = "GET",
    body: dict[str, Any] | None = None,
    answer_s: float = ANSWER_S,
) -> Any:
    """The JSON of an answer. Raises RemoteError in words for a person."""
    text = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    with opened(url, key, path, method=method, text=text, headers=headers, answer_s=answer_s) as answer:
        return json.load(answer)


@contextmanager
def opened(
    url: str,
    key: str | None,
    path: str,
    *,
    method: str = "GET",
    text: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    answer_s: float = ANSWER_S,
) -> Iterator[HTTPResponse]:
    """An answer to be read, for as long as no read takes answer_s. Raises RemoteError in words for a person, also for
    what goes wrong while it is read."""
    if not url.startswith(("http://", "https://")):
        raise RemoteError(f"{url} is no http:// or https:// address")
    all_headers = {**(headers or {}), **({} if key is None else {"Authorization": f"Bearer {key}"})}
    request = Request(url.rstrip("/") + path, text, all_headers, method=method)  # noqa: S310
    try:
        with _OPENER.open(request, timeout=answer_s) as answer:
            yield answer
    except HTTPError as error:
        raise RemoteError(_words(error, path), error.code) from None
    except (URLError, TimeoutError, ConnectionError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        reason = getattr(reason, "strerror", None) or reason  # without the number
        raise RemoteError(f"no answer from {url}: {reason}; does `steward serve` run there?") from None


def _words(error: HTTPError, path: str) -> str:
    try:
        plain = json.load(error)
        title, detail = str(plain["title"]), str(plain.get("detail") or "")
        text = f"{title}: {detail}" if error.code == 404 and detail else detail or title
    except (ValueError, KeyError, AttributeError, TypeError):
        text = error.reason
    if error.code != 401:
        return f"{text} ({error.code})"
    # Who has no right is not told which of the two it is.
    other = ", or there is no such session" if "/sessions/" in path else ""
    hint = "--data names the server's data directory, which has the right one"
    return f"{text} (401): the server does not take this key{other}; {hint}"


def end(url: str, key: str | None, sid: str, reason: str = "") -> Any:
    """How the session stands after its clean-up, or after END_S of it."""
    query = f"?reason={quote(reason, safe='')}" if reason else ""
    return fetch(url, key, _session(sid) + query, method="DELETE", answer_s=END_S)


def retry(url: str, key: str | None, sid: str) -> Any:
    """As end(), after another try to let go of what was left."""
    fetch(url, key, _session(sid) + "/commands", method="POST", body={"name": RETRY})
    return end(url, key, sid)


def write_off(url: str, key: str | None, sid: str, reason: str) -> Any:
    """As end(), after giving up what was left."""
    body = {"name": WRITE_OFF, "args": {"reason": reason}}
    fetch(url, key, _session(sid) + "/commands", method="POST", body=body)
    return end(url, key, sid)


def export(url: str, key: str | None, sid: str) -> bytes:
    """The session as one file, as the server gives it: whoever keeps it looks whether it is whole."""
    with opened(url, key, _session(sid) + "/export", answer_s=COPY_S) as answer:
        return answer.read(PARCEL_BYTES_MAX + 1)


def bring_in(url: str, key: str | None, text: bytes) -> Any:
    """How the session stands that was in a file."""
    headers = {"Content-Type": "application/x-ndjson"}
    path = "/v1/sessions/import"
    with opened(url, key, path, method="POST", text=text, headers=headers, answer_s=COPY_S) as answer:
        return json.load(answer)


def fork(url: str, key: str | None, sid: str, at: int | None) -> Any:
    """The new session, its token, and the number that it has gone on from."""
    body = {} if at is None else {"seq": at}
    return fetch(url, key, _session(sid) + "/fork", method="POST", body=body, answer_s=COPY_S)


@contextmanager
def following(url: str, key: str | None, sid: str, after: int, last_id: str | None) -> Iterator[HTTPResponse]:
    """The log as server-sent events, from a number or an event's id on; HEARD_S without a byte is no answer."""
    headers = {"Accept": "text/event-stream", **({} if last_id is None else {"Last-Event-ID": last_id})}
    path = f"{_session(sid)}/log" + (f"?after={after}" if after else "")
    with opened(url, key, path, headers=headers, answer_s=HEARD_S) as answer:
        yield answer


def _session(sid: str) -> str:
    return f"/v1/sessions/{quote(sid, safe='')}"


def pages(
    url: str, key: str | None, sid: str, after: int, gone: Callable[[int, dict[str, Any]], object]
) -> Iterator[Any]:
    """Every event of a session's log after a number; 0: from the first that is kept. gone: is told the last that is
    not kept any more, and how everything stood after it, before the first event."""
    while True:
        begin = f"after={after}&" if after else ""
        page = fetch(url, key, f"{_session(sid)}/log?{begin}limit={PAGE}")
        if "snap" in page:
            gone(page["snap"]["seq"], page["snap"]["data"])
        yield from page["events"]
        if not page["events"] or page["next"] >= page["head"]:
            return
        after = page["next"]
