"""What an operator may set, where it comes from and within which bounds.

Flags win over the environment (STEWARD_PORT=9000), which wins over the file steward.toml (port = 9000).
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from engine.errors import StewardError

from .protocol import Timing

PREFIX: Final = "STEWARD_"
CONFIG_FILE: Final = Path("steward.toml")
GRACE_S_MAX: Final = 600.0
HANDLER_MODULES: Final = ("handlers.guards", "handlers.session", "handlers.orchestrator", "handlers.agent")


DEFAULT_TEAMS: Final = {"chess": "examples.chess:TEAM"}


class ConfigError(StewardError):
    """The operator's: settings that do not fit, all of them, each in one line."""


class ApiKey(BaseModel):
    """One caller who may create sessions. sha256: of the key, in hex; the key itself is never stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.@:-]{1,128}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
    roles: frozenset[str] = frozenset()


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_nested_delimiter="__", hide_input_in_errors=True
    )
    config_file: ClassVar[Path] = CONFIG_FILE

    lifecycle: Path = Field(default=Path("lifecycle.yaml"), description="the file that declares how sessions live")
    handlers: tuple[str, ...] = Field(default=HANDLER_MODULES, description="modules whose handlers it may name")
    teams: dict[str, str] = Field(
        default=DEFAULT_TEAMS, description="what sessions may ask for: name -> module:attribute"
    )
    data: Path = Field(default=Path(".steward"), description="directory of the log, the key and the workspaces")

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="0 takes any free port")
    open: bool = Field(default=False, description="anybody on this machine may create sessions; no key, no admin")
    allowed_hosts: tuple[str, ...] = Field(default=(), description="names in Host and Origin besides this machine's")
    allowed_origins: tuple[str, ...] = Field(default=(), description="other pages that may call, scheme and port too")
    api_keys: tuple[ApiKey, ...] = Field(default=(), description="who may create sessions, instead of the key file")

    grace_s: float = Field(default=10.0, ge=0, le=GRACE_S_MAX, description="what sessions get on SIGTERM")
    heartbeat_s: float = Field(default=10.0, ge=0.05, le=300, description="period; below a proxy's idle time-out")
    dead_s: float = Field(default=25.0, ge=0.1, le=900, description="silence after which a peer is dead")
    stuck_s: float = Field(default=15.0, ge=0.1, le=900, description="a write without progress after which it is dead")
    hello_s: float = Field(default=10.0, ge=0.1, le=60, description="from accept to hello")
    ended_s: float = Field(default=5.0, ge=0, le=60, description="from session.ended to the close")
    commands_per_s: float = Field(default=50.0, gt=0, le=10_000, description="of one connection; above it they wait")
    commands_burst: int = Field(default=100, ge=1, le=10_000)
    unwelcomed_max: int = Field(default=1024, ge=1, le=65_536, description="connections without welcome")
    unwelcomed_per_address_max: int = Field(default=32, ge=1, le=65_536)

    control_max: int = Field(default=8, ge=1, le=1000, description="control connections of one session")
    observe_max: int = Field(default=64, ge=0, le=10_000, description="observing connections of one session")

    log_format: Literal["human", "json"] = "human"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _who_may(self) -> Settings:
        if self.open and self.api_keys:
            raise ValueError("open and api_keys exclude each other: with --open nobody is asked who they are")
        if not self.is_loopback and not self.api_keys:
            raise ValueError(
                f"host {self.host} can be reached from other machines, which needs api_keys; "
                "without them the server listens on this machine only (127.0.0.1, ::1 or localhost)"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def timing(self) -> Timing:
        return Timing(
            hello_s=self.hello_s,
            heartbeat_s=self.heartbeat_s,
            dead_s=self.dead_s,
            stuck_s=self.stuck_s,
            ended_s=self.ended_s,
            commands_per_s=self.commands_per_s,
            commands_burst=self.commands_burst,
        )

    @property
    def key_file(self) -> Path:
        return self.data / "key"

    @property
    def address_file(self) -> Path:
        """Where a running server says its address, for the other commands."""
        return self.data / "address"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, cls.config_file)


def load(flags: dict[str, Any] | None = None, *, file: Path | None = None) -> Settings:
    """Settings from flags (None: not given), environment and file. Raises ConfigError with every mistake."""
    if file is not None and not file.is_file():
        raise ConfigError(f"{file}: there is no such file")

    class Chosen(Settings):
        config_file: ClassVar[Path] = file or CONFIG_FILE

    given = {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return Chosen(**given)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(item) for item in error.errors(include_input=False))) from None
    except (SettingsError, ValueError) as error:
        raise ConfigError(f"{file or CONFIG_FILE} or the environment: {error}") from None


def _sentence(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"])
    text = str(item["msg"]).removeprefix("Value error, ")
    if not name:
        return text
    return f"{name}: {text} (from a flag, {PREFIX}{name.split('.')[0].upper()} or {CONFIG_FILE})"
