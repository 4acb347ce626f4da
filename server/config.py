"""What an operator may set, where it comes from and within which bounds.

Flags win over the environment (STEWARD_PORT=9000), which wins over the file steward.toml (port = 9000).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from engine.errors import StewardError
from engine.language.sentences import sentence, unknown
from engine.log.kept import LOG_AGE_S, LOG_BYTES_MAX, LOG_EVENTS_MAX, LogLimits

from .callers import ApiKey, IdentityProvider, is_loopback
from .protocol import Timing

PREFIX: Final = "STEWARD_"
CONFIG_FILE: Final = Path("steward.toml")
NO_SETTINGS: Final = ("STEWARD_KEY",)  # variables for the commands that ask a server
GRACE_S_MAX: Final = 600.0
IDLE_MEMORY_S_MIN: Final = 60.0  # sessions are looked at for it in rounds
# A quiet peer answers one a period, which may be a tenth late, and its answer has a way to go.
HEARTBEATS_DEAD: Final = 2
_HOST: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?/?")
HANDLER_MODULES: Final = (
    "handlers.guards",
    "handlers.session",
    "handlers.orchestrator",
    "handlers.agent",
    "handlers.breaking",
)
DEFAULT_TEAMS: Final = {
    "chess": "examples.chess:TEAM",
    "support": "examples.support:TEAM",
    "coder": "examples.coder:TEAM",
}


# In the environment: a name, several divided by commas, or a JSON list.
Names = Annotated[tuple[str, ...], NoDecode]


class ConfigError(StewardError):
    """The operator's: settings that do not fit, all of them, each in one line."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_nested_delimiter="__", hide_input_in_errors=True
    )
    config_file: ClassVar[Path] = CONFIG_FILE

    lifecycle: Path = Field(default=Path("lifecycle.yaml"), description="the file that declares how sessions live")
    handlers: Names = Field(default=(), description="modules whose handlers it may name, beside the shipped ones")
    teams: Annotated[dict[str, str], NoDecode] = Field(
        default=DEFAULT_TEAMS, description="what sessions may ask for: name -> module:attribute"
    )
    data: Path = Field(default=Path(".steward"), description="directory of the log, the key and the workspaces")

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="0 takes any free port")
    admin_host: str = Field(default="127.0.0.1", min_length=1, description="address of the operators' listener")
    admin_port: int | None = Field(
        default=None, ge=0, le=65535, description="of the operators' listener, which has the metrics; none: no listener"
    )
    open: bool = Field(default=False, description="anybody on this machine may create sessions; no key, no admin")
    allow_breaking: bool = Field(default=False, description="clients may break agents on purpose, to see what happens")
    allowed_hosts: Names = Field(default=(), description="names in Host and Origin besides this machine's")
    allowed_origins: Names = Field(default=(), description="other pages that may call, scheme and port too")
    api_keys: tuple[ApiKey, ...] = Field(default=(), description="who may create sessions, instead of the key file")
    jwt: IdentityProvider | None = Field(default=None, description="whose tokens may create sessions, beside api_keys")

    grace_s: float = Field(default=10.0, ge=0, le=GRACE_S_MAX, description="what sessions get on SIGTERM")
    idle_memory_s: float = Field(
        default=0.0,
        ge=0,
        le=7 * 86_400,
        description="without connections and work for so long, a minute at least, a session leaves memory until "
        "something comes for it; 0: never",
    )
    heartbeat_s: float = Field(default=10.0, ge=0.05, le=300, description="period; below a proxy's idle time-out")
    dead_s: float = Field(
        default=25.0, ge=0.1, le=900, description="silence after which a peer is dead; twice heartbeat_s at least"
    )
    stuck_s: float = Field(default=15.0, ge=0.1, le=900, description="a write without progress after which it is dead")
    hello_s: float = Field(default=10.0, ge=0.1, le=60, description="from accept to hello")
    ended_s: float = Field(default=5.0, ge=0, le=60, description="from session.ended to the close")
    answer_s: float = Field(default=30.0, ge=0.1, le=600, description="what an HTTP call waits for what it began")
    commands_per_s: float = Field(
        default=50.0, gt=0, le=10_000, description="of a connection, above it they wait; of a token over HTTP: 429"
    )
    commands_burst: int = Field(default=100, ge=1, le=10_000, description="how many come at once before that")
    unwelcomed_max: int = Field(default=1024, ge=1, le=65_536, description="connections without welcome")
    unwelcomed_per_address_max: int = Field(
        default=32, ge=1, le=65_536, description="the same of one address; behind a proxy all have the proxy's"
    )

    kept_events_max: int = Field(
        default=LOG_EVENTS_MAX, ge=100, le=10_000_000, description="of a live session's log, before the older part goes"
    )
    kept_bytes_max: int = Field(default=LOG_BYTES_MAX, ge=256 * 1024, le=2**40, description="the same, in bytes")
    kept_age_s: float = Field(default=LOG_AGE_S, ge=600, le=604_800, description="the same, of its oldest event")

    control_max: int = Field(default=8, ge=1, le=1000, description="control connections of one session")
    observe_max: int = Field(default=64, ge=0, le=10_000, description="observing connections of one session")

    log_format: Literal["human", "json"] = Field(default="human", description="of the log, on standard error")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least that is said"
    )

    @field_validator("handlers", "allowed_hosts", "allowed_origins", mode="before")
    @classmethod
    def _names(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        if given.lstrip().startswith("["):
            return _json(given, "a name, several divided by commas, or a JSON list")
        return [name.strip() for name in given.split(",") if name.strip()]

    @field_validator("teams", mode="before")
    @classmethod
    def _pairs(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        form = "name=module:attribute, several divided by commas, or a JSON object"
        if given.lstrip().startswith("{"):
            return _json(given, form)
        pairs = [item.partition("=") for item in given.split(",") if item.strip()]
        if not all(name.strip() and place.strip() for name, _, place in pairs):
            raise ValueError(f"what works: {form}")
        return {name.strip(): place.strip() for name, _, place in pairs}

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(_HOST.fullmatch, given)):
            raise ValueError("each has to be a name alone, without scheme, port and path: steward.example")
        return given

    @field_validator("allowed_origins")
    @classmethod
    def _pages(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(_ORIGIN.fullmatch, given)):
            raise ValueError("each has to be scheme, name and port, without path: https://pages.example:8443")
        return given

    @field_validator("api_keys")
    @classmethod
    def _one_user_a_key(cls, given: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        if len({key.sha256 for key in given}) < len(given):
            raise ValueError("the same key stands there twice; each says whose it is")
        return given

    @field_validator("idle_memory_s")
    @classmethod
    def _idle(cls, given: float) -> float:
        if 0 < given < IDLE_MEMORY_S_MIN:
            raise ValueError(f"has to be 0, or at least {IDLE_MEMORY_S_MIN:g}")
        return given

    @model_validator(mode="after")
    def _hears_the_quiet(self) -> Settings:
        if self.dead_s < HEARTBEATS_DEAD * self.heartbeat_s:
            raise ValueError(
                f"dead_s ({self.dead_s:g}) has to be at least {HEARTBEATS_DEAD} times heartbeat_s "
                f"({self.heartbeat_s:g}): a peer that says nothing is heard once a heartbeat, when it answers a ping, "
                f"and with less it is cut though it is well; {self.heartbeat_s * 2.5:g} is usual"
            )
        return self

    @model_validator(mode="after")
    def _who_may(self) -> Settings:
        if self.open and self.has_users:
            raise ValueError("open excludes api_keys and jwt: with --open nobody is asked who they are")
        listeners = {"host": self.host, "admin_host": self.admin_host}
        for name in (name for name, host in listeners.items() if not is_loopback(host)):
            if not self.has_users:
                raise ValueError(
                    f"{name} {listeners[name]} can be reached from other machines, which needs api_keys or jwt; "
                    "without them the server listens on this machine only (127.0.0.1, ::1 or localhost)"
                )
        return self

    @property
    def has_users(self) -> bool:
        """Whether callers are told apart; else whoever can read the key file is the administrator."""
        return bool(self.api_keys) or self.jwt is not None

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def is_admin_loopback(self) -> bool:
        return is_loopback(self.admin_host)

    @property
    def timing(self) -> Timing:
        return Timing(
            hello_s=self.hello_s,
            heartbeat_s=self.heartbeat_s,
            dead_s=self.dead_s,
            stuck_s=self.stuck_s,
            ended_s=self.ended_s,
            answer_s=self.answer_s,
            commands_per_s=self.commands_per_s,
            commands_burst=self.commands_burst,
        )

    @property
    def log_limits(self) -> LogLimits:
        return LogLimits(self.kept_events_max, self.kept_bytes_max, self.kept_age_s)

    @property
    def key_file(self) -> Path:
        return self.data / "key"

    @property
    def log_file(self) -> Path:
        return self.data / "log.sqlite"

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


def _json(text: str, form: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"this is no JSON ({error}); what works: {form}") from None


def load(flags: dict[str, Any] | None = None, *, file: Path | None = None) -> Settings:
    """Settings from flags (None: not given), environment and file. Raises ConfigError with every mistake."""
    if file is not None and not file.is_file():
        raise ConfigError(f"{file}: there is no such file; --config names a file such as {CONFIG_FILE}")

    class Chosen(Settings):
        config_file: ClassVar[Path] = file or CONFIG_FILE

    given = {name: value for name, value in (flags or {}).items() if value is not None}
    problems: list[str] = []
    try:
        settings = Chosen(**given)
        problems += _unknown_variables(settings.teams)
    except ValidationError as error:
        problems += _unknown_variables(())
        problems += [_sentence(item, given, Chosen.config_file) for item in error.errors(include_input=False)]
    except SettingsError as error:
        problems.append(_unreadable_variable(error))
    except (ValueError, OSError) as error:
        problems.append(f"{Chosen.config_file}: this is no TOML that can be read: {error}")
    else:
        if not problems:
            return settings
    raise ConfigError("\n".join(problems))


def _unknown_variables(teams: Iterable[str]) -> Iterator[str]:
    """A misspelt variable would otherwise be a setting that silently does nothing. STEWARD_SUPPORT_… is the team's."""
    own = tuple(f"{PREFIX}{name.upper().replace('-', '_')}_" for name in (*DEFAULT_TEAMS, *teams))
    for name in sorted(os.environ):
        field = name.upper().removeprefix(PREFIX).split("__")[0].lower()
        if name.upper() in NO_SETTINGS or not name.upper().startswith(PREFIX) or name.upper().startswith(own):
            continue
        if field not in Settings.model_fields:
            yield f"{name}: {_no_such(field, lambda known: f'{PREFIX}{known.upper()}')}"


def _no_such(field: str, spell: Callable[[str], str]) -> str:
    known = list(Settings.model_fields)
    near = get_close_matches(field, known, n=1)
    hint = f"did you mean {spell(near[0])}?" if near else f"there are: {', '.join(map(spell, known))}"
    return f"there is no such setting; {hint}"


def _unreadable_variable(error: SettingsError) -> str:
    field = re.search(r'field "(\w+)"', str(error))
    name = PREFIX + field[1].upper() if field else f"a {PREFIX}… variable"
    return f"{name}: this is no JSON, which this setting is written in; {CONFIG_FILE} may hold it instead"


TABLES: Final = {"api_keys": list(ApiKey.model_fields), "jwt": list(IdentityProvider.model_fields)}


def _sentence(item: Any, flags: dict[str, Any], file: Path) -> str:
    """Where the value came from, and what is wrong with it. The value itself is not repeated: it may be a secret."""
    name = ".".join(str(part) for part in item["loc"])
    text = sentence(item)
    if not name:
        return text
    field = str(item["loc"][0])
    if item["type"] == "extra_forbidden":
        is_setting = len(item["loc"]) == 1
        text = _no_such(field, str) if is_setting else unknown("key", str(item["loc"][-1]), TABLES[field], str)
    inner = name.removeprefix(field).lstrip(".")
    variable = next((key for key in os.environ if key.upper() == PREFIX + field.upper()), None)
    if field in flags:
        source = "--" + field.replace("_", "-")
    else:
        source = variable or f"{file}: {field}"
    return f"{source}: {f'{inner}: ' if inner else ''}{text}"
