"""What this machine lacks to run Vigia, and what to do about it."""

import shutil
import socket
import sys
from pathlib import Path

import psycopg
from msgspec import Struct

from api.connections import limits_of, raise_file_limit
from db import engine_packages, privileges
from db.migrate import available_version
from vigia.installation import repair, web_folder
from vigia.settings import Settings

PYTHON_MIN = (3, 11)
TIMESCALEDB_MIN = (2, 29, 1)
"""Earlier ones have known vulnerabilities."""
FREE_BYTES_MIN = 2 * 2**30
FILES_MIN = 4096
CONNECT_TIMEOUT_S = 5


class Finding(Struct, frozen=True):
    """One check: what was found, and the advice when it is not enough, or could be better."""

    check: str
    ok: bool
    found: str
    advice: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Run every check that these settings need."""
    findings = [_python(), _files(), _port(settings), _pages()]
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
    """Compare with the hard limit, up to which the service raises its own at the start."""
    files = raise_file_limit()
    found = f"{files}: at most {limits_of(files).connections_max} connections of clients"
    advice = (
        f"raise the hard limit: ulimit -Hn {FILES_MIN}; for a service of systemd "
        f"LimitNOFILE={FILES_MIN}, for a container --ulimit nofile={FILES_MIN}"
    )
    return _finding("open files", found, advice, ok=files >= FILES_MIN)


def _port(settings: Settings) -> Finding:
    try:
        with socket.create_server((settings.host, settings.port)):
            return Finding("port", ok=True, found=f"{settings.port} is free")
    except OSError as error:
        advice = "end what listens there (is Vigia running?), or set VIGIA_PORT"
        return Finding("port", ok=False, found=f"{settings.port}: {error.strerror}", advice=advice)


def _pages() -> Finding:
    is_there = (web_folder() / "dist").is_dir()
    return _finding("pages", "installed" if is_there else "missing", repair(), ok=is_there)


def _engine(settings: Settings) -> Finding:
    check = "embedded engine"
    if settings.engine_dir is not None:
        is_there = engine_packages.is_complete(settings.engine_dir)
        advice = "mend VIGIA_ENGINE_DIR"
        return _finding(check, str(settings.engine_dir), advice, ok=is_there)
    is_there = engine_packages.is_installed(settings.data_dir)
    return Finding(check, ok=True, found="installed" if is_there else "npm fetches it at the start")


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
        return [Finding(check, ok=False, found=reason, advice="mend VIGIA_DATABASE_URL")]
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    is_new = numbers >= TIMESCALEDB_MIN
    return [
        _finding(check, version, "install 2.29.1 or newer", ok=is_new),
        # A superuser's service takes them away by itself, when it starts.
        _readers([] if may_revoke else effects, user),
        _left_over(roles),
    ]


def _readers(effects: list[str], user: str) -> Finding:
    """Say what readers can do to the whole server, and how an administrator ends it."""
    names, quoted = ", ".join(effects), user.replace('"', '""')
    found = f"{len(effects)} functions act on the whole server" if effects else "only read"
    advice = (
        "as a superuser, in this database: "
        f'GRANT EXECUTE ON FUNCTION {names} TO "{quoted}"; '
        f"REVOKE EXECUTE ON FUNCTION {names} FROM PUBLIC;"
    )
    return Finding("readers", ok=True, found=found, advice=advice if effects else "")


def _left_over(roles: list[str]) -> Finding:
    found = f"{len(roles)} of dropped databases" if roles else "none left over"
    statements = " ".join(f"DROP ROLE {role};" for role in roles)
    advice = f"as a superuser: {statements}" if roles else ""
    return Finding("roles of rules", ok=True, found=found, advice=advice)
