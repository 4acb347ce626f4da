"""What `steward sessions`, `log`, `end`, `retry` and `write-off` ask of a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from engine.errors import StewardError

ANSWER_S: Final = 10.0
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
    """The server did not answer, or with a problem."""


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
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    if not url.startswith(("http://", "https://")):
        raise RemoteError(f"{url} is no http:// or https:// address")
    text = None
    if body is not None:
        text, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    request = Request(url.rstrip("/") + path, text, headers, method=method)  # noqa: S310
    try:
        with _OPENER.open(request, timeout=answer_s) as answer:
            return json.load(answer)
    except HTTPError as error:
        raise RemoteError(_words(error, path)) from None
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


def _session(sid: str) -> str:
    return f"/v1/sessions/{quote(sid, safe='')}"


def pages(url: str, key: str | None, sid: str, after: int) -> Iterator[Any]:
    """Every event of a session's log after a number; 0: from the first that is kept."""
    while True:
        begin = f"after={after}&" if after else ""
        page = fetch(url, key, f"{_session(sid)}/log?{begin}limit={PAGE}")
        yield from page["events"]
        if not page["events"] or page["next"] >= page["head"]:
            return
        after = page["next"]
