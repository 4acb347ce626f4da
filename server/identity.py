"""Tokens of an identity provider: JSON Web Tokens, checked against its published keys. The only door to joserfc."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp

from engine.codec import decode
from engine.errors import StewardError
from engine.records import Caller

from .bodies import read_up_to
from .callers import USER, IdentityProvider
from .codes import Fault

KEYS_OLD_S: Final = 600.0  # after that they are read again, so that a key the provider takes back ends here too
KEYS_AGAIN_S: Final = 30.0  # not more often, whatever key ids strangers make up
KEYS_READ_S: Final = 5.0
KEYS_BYTES_MAX: Final = 256 * 1024
LEEWAY_S: Final = 30  # between the provider's clock and ours
_USER: Final = re.compile(USER)
log = logging.getLogger("steward.identity")


class ExtraMissing(StewardError):
    """The operator's: an identity provider is configured, and the package that checks its tokens is not installed."""


class KeysUnreadable(StewardError):
    """The operator's: the file with the identity provider's keys is not there, or holds none."""


class Identities:
    """Who a token's bearer is, by the word of one identity provider. now: UTC seconds; monotonic: for the keys' age."""

    def __init__(
        self,
        provider: IdentityProvider,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            from joserfc import errors, jwk, jwt
        except ModuleNotFoundError:
            text = "jwt is set, which needs the package joserfc: pip install 'session-steward[jwt]'"
            raise ExtraMissing(text) from None
        self._jwk, self._jwt, self._errors = jwk, jwt, errors
        self._unreadable = (errors.JoseError, OSError, ValueError, TypeError, KeyError, aiohttp.ClientError)
        self._provider = provider
        self._monotonic = monotonic
        self._rules = jwt.JWTClaimsRegistry(
            now=lambda: int(now()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": provider.issuer},
            aud={"essential": True, "value": provider.audience},
            exp={"essential": True},
        )
        self._keys: Any = None
        self._read_at = self._tried_at = float("-inf")
        self._reading = asyncio.Lock()
        if not self._is_remote:
            # What is on this machine is there at the start or a mistake; a provider may be away for a while.
            try:
                self._keys = self._key_set(_read(Path(provider.keys)))
            except self._unreadable as error:
                raise KeysUnreadable(f"jwt: the keys in {provider.keys} cannot be read: {error}") from None

    @property
    def _is_remote(self) -> bool:
        return "://" in self._provider.keys

    async def caller(self, token: str) -> Caller | None:
        """None for whatever is no valid token: another's, expired, signed by nobody or with a key that is not known.

        Raises Fault("overloaded") if the provider's keys could not be read yet: nobody knows whether it is valid.
        """
        if token.count(".") != 2:
            return None
        if self._monotonic() - self._read_at > KEYS_OLD_S:
            await self._read_keys()
        try:
            claims = self._verified(token)
        except self._errors.InvalidKeyIdError:
            # Perhaps signed with a key that the provider has published since.
            await self._read_keys()
            claims = self._verified_again(token)
        return self._caller(claims) if claims is not None else None

    def _verified(self, token: str) -> dict[str, Any] | None:
        """Raises InvalidKeyIdError for a key that is not known."""
        try:
            found = self._jwt.decode(token, self._keys, algorithms=list(self._provider.algorithms))
            self._rules.validate(found.claims)
        except self._errors.InvalidKeyIdError:
            raise
        except self._errors.ClaimError as error:
            log.info("a token of the identity provider is not valid: %s", error)  # its signature is proven
            return None
        except Exception as error:
            # Before the signature is proven everything in it is a stranger's, whatever it makes the library raise.
            log.info("a token of the identity provider is not valid: %s", type(error).__name__)
            return None
        return dict(found.claims)

    def _verified_again(self, token: str) -> dict[str, Any] | None:
        try:
            return self._verified(token)
        except self._errors.InvalidKeyIdError:
            log.info("a token is signed with a key that the identity provider does not publish")
            return None

    def _caller(self, claims: dict[str, Any]) -> Caller | None:
        user, roles = claims.get(self._provider.user_claim), claims.get(self._provider.roles_claim, [])
        if not isinstance(user, str) or _USER.fullmatch(user) is None:
            log.warning("a valid token names no user that can be one: claim %s", self._provider.user_claim)
            return None
        names = roles.split() if isinstance(roles, str) else roles if isinstance(roles, list) else []
        return Caller(user, frozenset(name for name in names if isinstance(name, str)))

    async def _read_keys(self) -> None:
        """Read the keys again, unless that was tried lately; those that are known stay in use if it fails."""
        async with self._reading:
            if self._monotonic() - self._tried_at > KEYS_AGAIN_S:
                self._tried_at = self._monotonic()
                await self._try_keys()
        if self._keys is None:
            raise Fault("overloaded", "the identity provider's keys cannot be read; come again later")

    async def _try_keys(self) -> None:
        place = self._provider.keys
        try:
            self._keys = self._key_set(await _download(place) if self._is_remote else _read(Path(place)))
        except self._unreadable as error:
            log.error(
                "the keys of the identity provider (%s) cannot be read: %s: %s", place, type(error).__name__, error
            )
            return
        self._read_at = self._monotonic()

    def _key_set(self, text: bytes) -> Any:
        return self._jwk.KeySet.import_key_set(decode(text))


async def _download(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=KEYS_READ_S)
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"it answers {response.status}")
        return _bounded(await read_up_to(response.content, KEYS_BYTES_MAX))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(KEYS_BYTES_MAX + 1))


def _bounded(text: bytes) -> bytes:
    if len(text) > KEYS_BYTES_MAX:
        raise ValueError(f"it has more than {KEYS_BYTES_MAX} bytes")
    return text
