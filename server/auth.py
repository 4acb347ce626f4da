"""Who may: which machines and pages may call, whose credentials are whose, and what a token is."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from engine.records import Caller

from .codes import Fault
from .config import Settings
from .identity import Identities

ADMIN: Final = "admin"  # the role that may see and end every session
LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
FORWARDING: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
TOKEN_BYTES: Final = 32
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43,128}")


class Headers(Protocol):
    """What is asked of a request's headers: names are case-insensitive, a header may come more than once."""

    def getall(self, key: str, default: Sequence[str]) -> Sequence[str]: ...


def new_token() -> str:
    """256 random bits that can stand in a URL's fragment and a header."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def new_token_id() -> str:
    return "t." + secrets.token_hex(8)


def digest_of(token: str) -> bytes:
    """What is stored instead of a token. Tokens are random, so a plain hash cannot be searched."""
    # A header may hold bytes that are no UTF-8, which aiohttp reads as surrogates: nobody's token, but no error either.
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


class Gate:
    """Which hosts and origins may call at all: a page that a browser was lured to is not one of them."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = LOCAL_HOSTS | {name.lower() for name in settings.allowed_hosts}
        if not _is_any(settings.host):
            self._hosts |= {settings.host.strip("[]").lower()}
        self._origins = {origin.lower().rstrip("/") for origin in settings.allowed_origins}
        self._is_open = settings.open

    def check(self, headers: Headers) -> None:
        """Raises Fault("forbidden")."""
        hosts = headers.getall("Host", ())
        if len(hosts) != 1:
            raise Fault("forbidden", "a request has exactly one Host header")
        name, port = _split(hosts[0])
        if name not in self._hosts:
            # Otherwise a foreign name that resolves to this machine makes its page same-origin with us.
            raise Fault("forbidden", "this Host is not served here; the operator may add it to allowed_hosts")
        for origin in headers.getall("Origin", ()):
            self._check_origin(origin, port)
        if self._is_open:
            self._check_direct(headers)

    def page_of(self, headers: Headers) -> str | None:
        """The page of another server that may call, if it is one that calls: it needs to be told so (CORS)."""
        found = [origin for origin in headers.getall("Origin", ()) if origin.lower().rstrip("/") in self._origins]
        return found[0] if found else None

    def _check_origin(self, origin: str, port: int | None) -> None:
        text = origin.lower().rstrip("/")
        if text in self._origins:
            return
        scheme, _, rest = text.partition("://")
        name, its_port = _split(rest)
        default = {"http": 80, "https": 443}.get(scheme)
        same_port = (its_port or default) == (port or default)
        if default is None or name not in self._hosts or not same_port:
            raise Fault("forbidden", "this Origin may not call; the operator may add it to allowed_origins")

    def _check_direct(self, headers: Headers) -> None:
        for name in FORWARDING:
            if headers.getall(name, ()):
                raise Fault("forbidden", f"--open serves this machine only, but {name} tells of a proxy")


def _is_any(host: str) -> bool:
    return host.strip("[]") in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


def _split(authority: str) -> tuple[str, int | None]:
    """Name in lower case and port of `name`, `name:port` or `[address]:port`; ("", None) if it is none of them."""
    try:
        parts = urlsplit(f"//{authority}")
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            return "", None
        return (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", None


class Credentials:
    """Who a caller is, by the secret they present; never by their own word."""

    def __init__(self, settings: Settings, key: str | None) -> None:
        self.is_open = settings.open
        self._identities = Identities(settings.jwt) if settings.jwt is not None else None
        self._known: list[tuple[bytes, Caller]] = [
            (bytes.fromhex(item.sha256), Caller(item.user, item.roles)) for item in settings.api_keys
        ]
        if key is not None:
            self._known.append((digest_of(key), Caller("local", frozenset({ADMIN}))))

    async def caller(self, secret: str | None) -> Caller | None:
        """Whose secret this is; None if nobody's. With --open everybody is the same somebody, without any role.

        Raises Fault("overloaded") if nobody can tell now: see Identities.
        """
        if self.is_open:
            return Caller("open")
        if secret is None:
            return None
        known = self._known_by(digest_of(secret))
        if known is None and self._identities is not None:
            return await self._identities.caller(secret)
        return known

    def _known_by(self, given: bytes) -> Caller | None:
        found = None
        for digest, caller in self._known:  # all of them, so that the time tells nothing
            if hmac.compare_digest(digest, given):
                found = caller
        return found


def bearer(headers: Mapping[str, str]) -> str | None:
    """The secret of `Authorization: Bearer …`."""
    scheme, _, secret = headers.get("Authorization", "").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def key_of(path: Path) -> str:
    """The key in path, which only this user can read; made if there is none that could be trusted."""
    known = read_key(path)
    if known is not None:
        return known
    key = new_token()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key + "\n")
    draft.replace(path)
    return key


def read_key(path: Path) -> str | None:
    """The key, unless the file is missing, a link, another user's, readable by others or no key."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return None
        text = file.read(256).strip()
    return text if is_token(text) else None
