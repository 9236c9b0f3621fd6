"""What the operator decides before the start: defaults, then `vigia.toml`, then the environment."""

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

PREFIX = "VIGIA_"
ROLES = ("api", "collect", "alert", "deliver", "retain")
ADMIN_KEY_CHARS_MIN = 32
ADMIN_KEY_DIFFERENT_MIN = 6
"""So few are chosen, never drawn: of 32 random digits, five or fewer differ once in ten million."""
MAKE_A_KEY = "openssl rand -hex 32"
SECRET_KEY_CHARS_MIN = 32
SECRET_KEYS_MAX = 10
SERVICE_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
"""The address of a Vigia: without a password, a query or a fragment."""
FOREIGN = frozenset({"test_database_url", "url", "key", "key_file"})
"""Variables with our prefix that belong to the tests, and to commands that ask a service."""


class SettingsError(Exception):
    """A setting is unknown or malformed; the message is one line that names it."""


class Secret:
    """A text that never shows itself: not in logs, answers or repr."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class Settings(Struct, frozen=True, kw_only=True):
    """One field per variable; the environment's name is the field's in capitals behind `VIGIA_`."""

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

    @property
    def url(self) -> str:
        """The address people open, without a trailing slash."""
        host = "localhost" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 (compared, not bound)
        host = f"[{host}]" if ":" in host else host
        return self.public_url.rstrip("/") or f"http://{host}:{self.port}"


def load(environment: Mapping[str, str] | None = None, file: Path = Path("vigia.toml")) -> Settings:
    """Read every source once. Raises SettingsError at the first setting that cannot be used."""
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
            raise SettingsError(f"{file}: unknown setting {name!r}")
    return table


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, value in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or name in FOREIGN or value == "":
            continue
        target = name.removesuffix("_file")
        if variable != variable.upper():
            raise SettingsError(f"{variable}: unknown setting; names are in capitals")
        if name in Settings.__struct_fields__:
            found[name] = value
        elif target in Settings.__struct_fields__:
            if environment.get(PREFIX + target.upper()):
                raise SettingsError(
                    f"{variable}: {PREFIX}{target.upper()} is set as well; keep one"
                )
            found[target] = _read_secret(variable, value)
        else:
            raise SettingsError(f"{variable}: unknown setting")
    return found


def _check_chosen(raw: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Refuse an empty address of the database: a failed substitution must not choose another."""
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
    """Bring a text of the environment, or a TOML value, to the field's type."""
    kind = Settings.__annotations__[name]
    try:
        if kind == Secret | None:
            return Secret(msgspec.convert(value, str))
        if kind in (Path, Path | None):
            return Path(msgspec.convert(value, str))
        if kind == tuple[str, ...] and isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{PREFIX}{name.upper()}: {error}") from None


def _check(settings: Settings) -> None:
    if not 0 < settings.port < 65536:  # noqa: PLR2004 (the range of TCP ports)
        raise SettingsError(f"{PREFIX}PORT: {settings.port} is not between 1 and 65535")
    if not settings.host:
        # An empty host would open the port on every interface.
        raise SettingsError(f"{PREFIX}HOST: must not be empty")
    if not settings.roles:
        raise SettingsError(f"{PREFIX}ROLES: names none of {', '.join(ROLES)}")
    for role in settings.roles:
        if role not in ROLES:
            raise SettingsError(f"{PREFIX}ROLES: {role!r} is none of {', '.join(ROLES)}")
    for name in ("database_url", "database_read_url", "trading_database_url"):
        _check_postgres(name, getattr(settings, name))
    if settings.public_url and not SERVICE_URL.fullmatch(settings.public_url):
        raise SettingsError(f"{PREFIX}PUBLIC_URL: must be http:// or https:// and a host")
    _check_address(settings.public_url)
    _check_folder(settings.data_dir)
    for name in ("trusted_proxies", "egress_allow"):
        _check_networks(name, getattr(settings, name))
    _check_admin_key(settings.admin_key)
    if settings.secret_key is not None:
        check_secret_key(f"{PREFIX}SECRET_KEY", settings.secret_key)


def _check_address(public_url: str) -> None:
    try:
        parts = urlsplit(public_url)
        is_whole = not public_url or (parts.hostname and parts.port != 0)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}PUBLIC_URL: {error}") from None
    if not is_whole:
        raise SettingsError(f"{PREFIX}PUBLIC_URL: names no host")


def _check_folder(data_dir: Path) -> None:
    """Refuse a file where the data directory is, or has to be made."""
    for path in (data_dir, *data_dir.parents):
        if os.path.isfile(path):  # noqa: PTH113 (False where it may not be looked at)
            raise SettingsError(
                f"{PREFIX}DATA_DIR: {path} is a file; name a directory, or one that is to be made"
            )


def _check_postgres(name: str, url: Secret | None) -> None:
    if url is not None and not url.reveal().startswith(("postgresql://", "postgres://")):
        raise SettingsError(f"{PREFIX}{name.upper()}: must begin with postgresql://")


def _check_networks(name: str, networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise SettingsError(f"{PREFIX}{name.upper()}: {error}") from None


def _check_admin_key(key: Secret | None) -> None:
    if key is None:
        return
    text = key.reveal()
    if len(text) < ADMIN_KEY_CHARS_MIN or not text.isprintable() or text != text.strip():
        raise SettingsError(
            f"{PREFIX}ADMIN_KEY: needs {ADMIN_KEY_CHARS_MIN} or more printable characters, and no "
            f"space at its ends; this makes one: {MAKE_A_KEY}"
        )


def secret_key_texts(secret: Secret | None) -> list[str]:
    """Return the keys of `VIGIA_SECRET_KEY`, which commas, spaces or line ends separate."""
    return [] if secret is None else [key for key in re.split(r"[\s,]+", secret.reveal()) if key]


def check_secret_key(name: str, secret: Secret) -> None:
    """Raise SettingsError, which names where the keys are written, unless each can be used."""
    keys = secret_key_texts(secret)
    are_good = all(len(key) >= SECRET_KEY_CHARS_MIN and key.isprintable() for key in keys)
    if not are_good or not 1 <= len(keys) <= SECRET_KEYS_MAX:
        raise SettingsError(
            f"{name}: needs a key of {SECRET_KEY_CHARS_MIN} or more printable characters without "
            f"spaces and commas, or up to {SECRET_KEYS_MAX} of them separated by commas; "
            f"this makes one: {MAKE_A_KEY}"
        )


def is_guessable(key: Secret) -> bool:
    """Return whether a key repeats one part, or is made of very few different characters."""
    text = key.reveal()
    repeats = any(text[n:] == text[:-n] for n in range(1, len(text) // 2 + 1))
    return repeats or len(set(text)) < ADMIN_KEY_DIFFERENT_MIN
