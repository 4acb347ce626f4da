"""Which model the agents talk through: an endpoint named in the environment, or none.

STEWARD_SUPPORT_BASE_URL, such as http://127.0.0.1:11434/v1, and STEWARD_SUPPORT_MODEL name it; the key in
STEWARD_SUPPORT_API_KEY is sent along if it is set. Other teams take another prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

PREFIX: Final = "STEWARD_SUPPORT_"


class Endpoint(BaseModel):
    """base_url ends before /chat/completions. The times are in seconds; idle_s: between two pieces of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str
    model: str
    api_key: SecretStr = SecretStr("")
    connect_s: float = Field(default=10.0, gt=0)
    idle_s: float = Field(default=60.0, gt=0)
    total_s: float = Field(default=240.0, gt=0)  # less than an agent's time-out in lifecycle.yaml, which says less
    attempts: int = Field(default=3, ge=1)  # only until the first piece of an answer has come
    backoff_s: float = Field(default=0.5, ge=0)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], prefix: str = PREFIX) -> Endpoint | None:
        """None if there is no {prefix}BASE_URL. Raises ValueError, without the key, saying what is missing."""
        base_url = environment.get(f"{prefix}BASE_URL", "").strip().rstrip("/")
        if not base_url:
            return None
        address = urlsplit(base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"{prefix}BASE_URL is no http:// or https:// address; http://127.0.0.1:11434/v1 is one")
        if address.username or address.password or address.query:
            raise ValueError(f"{prefix}BASE_URL may hold no credentials; {prefix}API_KEY is the place for a key")
        model = environment.get(f"{prefix}MODEL", "").strip()
        if not model:
            raise ValueError(f"{prefix}BASE_URL is set, but {prefix}MODEL does not say which model to ask for")
        return cls(base_url=base_url, model=model, api_key=SecretStr(environment.get(f"{prefix}API_KEY", "").strip()))
