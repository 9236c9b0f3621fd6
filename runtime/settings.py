"""The settings that are read at start: defaults, then `vigia.toml`, then the environment."""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from model.errors import InvalidError
from model.times import parse_duration
from model.validation.nearest import did_you_mean
from model.validation.words import not_one_of

PREFIX = "VIGIA_"
ROLES = ("api", "collect", "alert", "deliver", "retain")
ADMIN_KEY_CHARS_MIN = 32
ADMIN_KEY_DIFFERENT_MIN = 6
"""A key with fewer different characters was not drawn at random. Of 32 random digits, five or fewer
are different with a probability of one in ten million."""
MAKE_A_KEY = "openssl rand -hex 32"
SECRET_KEY_CHARS_MIN = 32
SECRET_KEYS_MAX = 10
SERVICE_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
"""The address of a Vigia service, without password, query and fragment."""
WATCHDOG_URL = re.compile(r"https?://[^\s/?#@]+([/?][^\s#]*)?")
MINUTE_S = 60.0
WATCHDOG_S_MIN, WATCHDOG_S_MAX = 300.0, 86_400.0
"""A roll-up runs every five minutes: whether it still does, cannot be known sooner."""
FOREIGN = frozenset({"test_database_url", "url", "key", "key_file"})
"""Variables with the prefix that are no settings. Tests and client commands read them."""


class SettingsError(Exception):
    """A setting is unknown or invalid. The message is one line that names the setting."""


class Secret:
    """A text that never appears in logs, answers or `repr`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of the service. The field `port` is the variable `VIGIA_PORT`, and so on."""

    database_url: Secret | None = None
    database_read_url: Secret | None = None
    data_dir: Path = Path(".vigia")
    engine_dir: Path | None = None
    host: str = "127.0.0.1"
    port: int = 3001
    public_url: str = ""
    admin_key: Secret | None = None
    secret_key: Secret | None = None
    roles: tuple[str, ...] = ROLES
    trading_database_url: Secret | None = None
    trusted_proxies: tuple[str, ...] = ()
    egress_allow: tuple[str, ...] = ()
    watchdog_url: Secret | None = None
    watchdog_interval: str = "5m"

    @property
    def watchdog_interval_s(self) -> float:
        """How often the watchdog is called, in whole minutes."""
        return parse_duration(self.watchdog_interval)

    @property
    def url(self) -> str:
        """The address that people open in a browser, without a trailing slash."""
        host = "localhost" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 (compared, not bound)
        host = f"[{host}]" if ":" in host else host
        return self.public_url.rstrip("/") or f"http://{host}:{self.port}"


def load(environment: Mapping[str, str] | None = None, file: Path = Path("vigia.toml")) -> Settings:
    """Read all sources once. Raises SettingsError for the first invalid setting."""
    environment = os.environ if environment is None else environment
    raw = _from_file(file) | _from_environment(environment)
    _check_chosen(raw, environment)
    values = {name: _convert(name, value) for name, value in raw.items()}
    settings = Settings(**values)
    _check(settings)
    return settings


def _from_file(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None
    for name in table:
        if name not in Settings.__struct_fields__:
            meant = did_you_mean(name, Settings.__struct_fields__)
            raise SettingsError(f"{file}: unknown setting {name!r}{meant}")
    return table


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, value in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or name in FOREIGN or value == "":
            continue
        target = name.removesuffix("_file")
        if variable != variable.upper():
            raise SettingsError(f"{variable}: unknown setting; write the name in capitals")
        if name in Settings.__struct_fields__:
            found[name] = value
        elif target in Settings.__struct_fields__:
            if environment.get(PREFIX + target.upper()):
                raise SettingsError(
                    f"{variable}: {PREFIX}{target.upper()} is set as well; keep one"
                )
            found[target] = _read_secret(variable, value)
        else:
            known = [PREFIX + field.upper() for field in Settings.__struct_fields__]
            raise SettingsError(f"{variable}: unknown setting{did_you_mean(variable, known)}")
    return found


def _check_chosen(raw: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Refuse an empty database address.

    It is probably a failed substitution, and must not select the embedded database.
    """
    if "database_url" in raw:
        return
    for variable in (f"{PREFIX}DATABASE_URL", f"{PREFIX}DATABASE_URL_FILE"):
        if environment.get(variable) == "":
            raise SettingsError(
                f"{variable}: is empty; give the database's address, or unset the variable to use "
                "the embedded database"
            )


def _read_secret(variable: str, path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: cannot read {path}: {error}") from None
    if not text:
        raise SettingsError(f"{variable}: {path} is empty")
    return text


def _convert(name: str, value: Any) -> Any:
    """Convert the text of a variable, or a TOML value, to the type of the field."""
    kind = Settings.__annotations__[name]
    try:
        if kind == Secret | None:
            return Secret(msgspec.convert(value, str))
        if kind in (Path, Path | None):
            return Path(msgspec.convert(value, str))
        if kind == tuple[str, ...] and isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        raise SettingsError(f"{PREFIX}{name.upper()}: must be {_wanted(kind)}") from None


def _wanted(kind: object) -> str:
    """Return what to write for a field of this type."""
    if kind is int:
        return "a whole number"
    if kind == tuple[str, ...]:
        return "a list of texts in quotes"
    return "a text in quotes"


def _check(settings: Settings) -> None:
    if not 0 < settings.port < 65536:  # noqa: PLR2004 (the range of TCP ports)
        raise SettingsError(f"{PREFIX}PORT: {settings.port} is not from 1 to 65535")
    if not settings.host:
        # An empty host would open the port on every interface.
        raise SettingsError(f"{PREFIX}HOST: must not be empty")
    if not settings.roles:
        raise SettingsError(f"{PREFIX}ROLES: names no role; write some of {', '.join(ROLES)}")
    for role in settings.roles:
        if role not in ROLES:
            raise SettingsError(f"{PREFIX}ROLES: {not_one_of(role, ROLES)}")
    for name in ("database_url", "database_read_url", "trading_database_url"):
        _check_postgres(name, getattr(settings, name))
    if settings.public_url and not SERVICE_URL.fullmatch(settings.public_url):
        raise SettingsError(
            f"{PREFIX}PUBLIC_URL: must be http:// or https:// and a host, without password, query "
            "and fragment"
        )
    _check_address(settings.public_url)
    _check_folder(settings.data_dir)
    for name in ("trusted_proxies", "egress_allow"):
        _check_networks(name, getattr(settings, name))
    _check_admin_key(settings.admin_key)
    _check_watchdog(settings)
    if settings.secret_key is not None:
        check_secret_key(f"{PREFIX}SECRET_KEY", settings.secret_key)


def _check_address(public_url: str) -> None:
    try:
        parts = urlsplit(public_url)
        is_whole = not public_url or (parts.hostname and parts.port != 0)
    except ValueError:
        raise SettingsError(f"{PREFIX}PUBLIC_URL: has an invalid host or port") from None
    if not is_whole:
        raise SettingsError(f"{PREFIX}PUBLIC_URL: names no host")


def _check_folder(data_dir: Path) -> None:
    """Refuse a path whose data directory, or a parent of it, is a file."""
    for path in (data_dir, *data_dir.parents):
        if os.path.isfile(path):  # noqa: PTH113 (False where it may not be looked at)
            raise SettingsError(
                f"{PREFIX}DATA_DIR: {path} is a file; name a directory, which may not exist yet"
            )


def _check_postgres(name: str, url: Secret | None) -> None:
    if url is not None and not url.reveal().startswith(("postgresql://", "postgres://")):
        raise SettingsError(f"{PREFIX}{name.upper()}: must begin with postgresql://")


def _check_networks(name: str, networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise SettingsError(
                f"{PREFIX}{name.upper()}: {network!r} is not a network; write an address such as "
                "10.0.0.7, or a network whose host bits are zero such as 10.0.0.0/8"
            ) from None


def _check_watchdog(settings: Settings) -> None:
    url = settings.watchdog_url
    if url is not None and not WATCHDOG_URL.fullmatch(url.reveal()):
        raise SettingsError(f"{PREFIX}WATCHDOG_URL: must be http:// or https://, a host and a path")
    try:
        interval_s = settings.watchdog_interval_s
    except InvalidError as error:
        raise SettingsError(f"{PREFIX}WATCHDOG_INTERVAL: {error}") from None
    is_allowed = WATCHDOG_S_MIN <= interval_s <= WATCHDOG_S_MAX
    if not is_allowed or interval_s % MINUTE_S:
        raise SettingsError(
            f"{PREFIX}WATCHDOG_INTERVAL: {settings.watchdog_interval} is not between 5m and 1d in "
            "whole minutes; write 5m, 15m or 1h"
        )


def _check_admin_key(key: Secret | None) -> None:
    if key is None:
        return
    text = key.reveal()
    if len(text) < ADMIN_KEY_CHARS_MIN or not text.isprintable() or text != text.strip():
        raise SettingsError(
            f"{PREFIX}ADMIN_KEY: needs at least {ADMIN_KEY_CHARS_MIN} printable characters, and no "
            f"space at either end; make one with: {MAKE_A_KEY}"
        )


def secret_key_texts(secret: Secret | None) -> list[str]:
    """Return the keys in `VIGIA_SECRET_KEY`. Commas, spaces or line ends separate them."""
    return [] if secret is None else [key for key in re.split(r"[\s,]+", secret.reveal()) if key]


def check_secret_key(name: str, secret: Secret) -> None:
    """Raise SettingsError unless each key is valid. `name` is the variable or file of the keys."""
    keys = secret_key_texts(secret)
    are_good = all(len(key) >= SECRET_KEY_CHARS_MIN and key.isprintable() for key in keys)
    if not are_good or not 1 <= len(keys) <= SECRET_KEYS_MAX:
        raise SettingsError(
            f"{name}: needs 1 to {SECRET_KEYS_MAX} keys, separated by commas, each of at least "
            f"{SECRET_KEY_CHARS_MIN} printable characters without spaces and commas; "
            f"make one with: {MAKE_A_KEY}"
        )


def is_guessable(key: Secret) -> bool:
    """Return whether a key repeats one part, or has very few different characters."""
    text = key.reveal()
    repeats = any(text[n:] == text[:-n] for n in range(1, len(text) // 2 + 1))
    return repeats or len(set(text)) < ADMIN_KEY_DIFFERENT_MIN
