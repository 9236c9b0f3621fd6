"""Checks whether this machine meets the requirements of Vigia, with advice for each problem."""

import asyncio
import shutil
import socket
import sys
from http import HTTPStatus
from pathlib import Path

import msgspec
import psycopg
from msgspec import Struct

from api.server.connections import limits_of
from db import engine_packages
from db.migrate import available_version
from model.errors import UnavailableError
from runtime.file_limit import ADVICE, FILES_ADVISED, raise_file_limit
from runtime.installation import repair, web_folder
from runtime.settings import MAKE_A_KEY, Settings, is_guessable
from vigia.cli import privileges
from vigia.cli.client import AnswerError, open_unauthenticated

PYTHON_MIN = (3, 11)
TIMESCALEDB_MIN = (2, 29, 1)
"""Earlier versions have known vulnerabilities."""
FREE_BYTES_MIN = 2 * 2**30
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 5.0


class Finding(Struct, frozen=True):
    """The result of one check: what was found, and advice if it could be better."""

    check: str
    ok: bool
    found: str
    advice: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Run the checks that apply to these settings."""
    findings = [_python(), _files(), _port(settings), await _service(settings)]
    findings += [_pages(), _admin_key(settings)]
    if settings.database_url is None:
        return [
            *findings,
            _engine(settings),
            _data_dir(settings.data_dir),
            _disk(settings.data_dir),
        ]
    return [*findings, *await _server(settings.database_url.reveal())]


def _finding(check: str, found: str, advice: str, *, ok: bool) -> Finding:
    return Finding(check, ok, found, "" if ok else advice)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return _finding("Python", found, "install 3.11 or newer", ok=sys.version_info >= PYTHON_MIN)


def _files() -> Finding:
    """Check the hard limit: the service raises its soft limit to it at the start."""
    files = raise_file_limit()
    found = f"{files}: at most {limits_of(files).connections_max} client connections"
    return _finding("open files", found, ADVICE, ok=files >= FILES_ADVISED)


def _port(settings: Settings) -> Finding:
    try:
        with socket.create_server((settings.host, settings.port)):
            return Finding("port", ok=True, found=f"{settings.port} is free")
    except OSError as error:
        advice = "stop the program that listens there (is Vigia running?), or set VIGIA_PORT"
        return Finding("port", ok=False, found=f"{settings.port}: {error.strerror}", advice=advice)


async def _service(settings: Settings) -> Finding:
    """Check whether the service with these settings is ready, if it runs."""
    check, advice = "service", "fix the cause; the service then continues by itself"
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S), open_unauthenticated(settings) as service:
            await service.ask("GET", "/readyz")
    except AnswerError as error:
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return Finding(check, ok=False, found=f"not ready: {error}", advice=advice)
    except (UnavailableError, TimeoutError, msgspec.DecodeError):
        pass
    else:
        return Finding(check, ok=True, found="ready")
    return Finding(check, ok=True, found=f"no service answers on port {settings.port}")


def _pages() -> Finding:
    is_there = (web_folder() / "dist").is_dir()
    return _finding("pages", "installed" if is_there else "missing", repair(), ok=is_there)


def _admin_key(settings: Settings) -> Finding:
    check = "admin key"
    if settings.admin_key is None:
        return Finding(check, ok=True, found="not set; the first start creates one")
    if is_guessable(settings.admin_key):
        advice = f"set another key in VIGIA_ADMIN_KEY; make one with: {MAKE_A_KEY}"
        return Finding(check, ok=False, found="repetitive, can be guessed", advice=advice)
    return Finding(check, ok=True, found="set")


def _engine(settings: Settings) -> Finding:
    check = "embedded engine"
    if settings.engine_dir is not None:
        is_there = engine_packages.is_complete(settings.engine_dir)
        advice = "set VIGIA_ENGINE_DIR to a folder with a complete engine"
        return _finding(check, str(settings.engine_dir), advice, ok=is_there)
    is_there = engine_packages.is_installed(settings.data_dir)
    found = "installed" if is_there else "not installed; the start downloads it with npm"
    return Finding(check, ok=True, found=found)


def _data_dir(data_dir: Path) -> Finding:
    probe = data_dir / ".probe"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        advice = "make it writable, or set VIGIA_DATA_DIR"
        return Finding("data directory", ok=False, found=str(error), advice=advice)
    return Finding("data directory", ok=True, found=str(data_dir.resolve()))


def _disk(data_dir: Path) -> Finding:
    free = shutil.disk_usage(
        next(p for p in (data_dir, *data_dir.absolute().parents) if p.exists())
    ).free
    return _finding(
        "free disk", f"{free / 2**30:.1f} GiB", "free at least 2 GiB", ok=free >= FREE_BYTES_MIN
    )


async def _server(dsn: str) -> list[Finding]:
    check = "TimescaleDB"
    try:
        async with await psycopg.AsyncConnection.connect(
            dsn, connect_timeout=CONNECT_TIMEOUT_S
        ) as connection:
            version = await available_version(connection) or "not installed"
            effects = await privileges.side_effects(connection)
            roles = await privileges.left_over_roles(connection)
            user = connection.info.user
            may_revoke = connection.info.parameter_status("is_superuser") == "on"
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        return [Finding(check, ok=False, found=reason, advice="correct VIGIA_DATABASE_URL")]
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    is_new = numbers >= TIMESCALEDB_MIN
    return [
        _finding(check, version, "install 2.29.1 or newer", ok=is_new),
        # If the service is a superuser, it revokes these rights itself at the start.
        _readers([] if may_revoke else effects, user),
        _left_over(roles),
    ]


def _readers(effects: list[str], user: str) -> Finding:
    """Report functions with which readers affect the whole server, and how to revoke them."""
    names, quoted = ", ".join(effects), user.replace('"', '""')
    found = f"may call {len(effects)} functions that affect the whole server" if effects else "ok"
    advice = (
        "as a superuser, in this database: "
        f'GRANT EXECUTE ON FUNCTION {names} TO "{quoted}"; '
        f"REVOKE EXECUTE ON FUNCTION {names} FROM PUBLIC;"
    )
    return Finding("readers", ok=True, found=found, advice=advice if effects else "")


def _left_over(roles: list[str]) -> Finding:
    found = f"{len(roles)} left over from dropped databases" if roles else "none left over"
    statements = " ".join(f"DROP ROLE {role};" for role in roles)
    advice = f"as a superuser: {statements}" if roles else ""
    return Finding("roles of SQL rules", ok=True, found=found, advice=advice)
