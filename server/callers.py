"""Who may create sessions, as an operator writes it down: API keys, and an identity provider."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

USER: Final = r"^[A-Za-z0-9_.@:|+-]{1,128}$"
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, can only be this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class ApiKey(BaseModel):
    """One caller who may create sessions. sha256: of the key, in hex; the key itself is never stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: Annotated[str, StringConstraints(pattern=USER)] = Field(
        description="whose sessions they are; limits for one user count them"
    )
    sha256: str = Field(description="of the key, as 64 hex digits")
    roles: frozenset[str] = Field(
        default=frozenset(),
        description="what guards of the lifecycle file ask for; `admin` sees and ends every session",
    )

    @field_validator("sha256")
    @classmethod
    def _digest(cls, given: str) -> str:
        if _SHA256.fullmatch(given) is None:
            raise ValueError("has to be the SHA-256 of the key, 64 hex digits")
        return given.lower()


# None with a shared secret: whoever checks such a token could make one.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]


class IdentityProvider(BaseModel):
    """Who signs the tokens (JWT) of those who may create sessions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(min_length=1, description="the claim `iss`, exactly")
    audience: str = Field(min_length=1, description="what the claim `aud` has to hold: the name of this server there")
    keys: str = Field(min_length=1, description="its published keys (JWKS): an https address, or a file")
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256", "ES256"), min_length=1, description="of signatures that count"
    )
    user_claim: str = Field(default="sub", min_length=1, description="the claim that names the user")
    roles_claim: str = Field(default="roles", min_length=1, description="a list of roles, or text divided by spaces")

    @field_validator("keys")
    @classmethod
    def _safe(cls, given: str) -> str:
        parts = urlsplit(given)
        if (
            "://" in given
            and parts.scheme != "https"
            and not (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        ):
            raise ValueError("keys come over https, from a file, or over http from this machine only")
        return given
