"""`vigia …`: the service, and what administers it from a terminal."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import click
import msgspec
import psycopg
import uvloop
from rich.console import Console
from rich.table import Table

from db import keys
from db.engine import EngineError, open_engine
from db.migrate import MigrationError, migrate
from db.queries import Connection
from vigia import __version__, doctor, log
from vigia.main import main as run_service
from vigia.model import DomainError, Role, utc_now
from vigia.settings import Settings, SettingsError, load

EXIT_FAILURE = 1
EXIT_USAGE = 2

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
@click.version_option(__version__)
def main() -> None:
    """Self-hosted real-time monitoring on TimescaleDB."""


@main.command()
def serve() -> None:
    """Start the service."""
    log.configure()
    settings = _settings()
    _run(lambda: run_service(settings))


@main.command("doctor")
@json_option
def doctor_command(*, as_json: bool) -> None:
    """Say what this machine lacks."""
    findings = asyncio.run(doctor.examine(_settings()))
    if as_json:
        click.echo(msgspec.json.encode(findings))
    else:
        _print_table(
            ["", "check", "found", "what to do"],
            [["ok" if f.ok else "!!", f.check, f.found, f.advice] for f in findings],
        )
    sys.exit(0 if all(finding.ok for finding in findings) else EXIT_FAILURE)


@main.group("keys")
def keys_group() -> None:
    """Keys of programs and people."""


@keys_group.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice([r.value for r in Role]), default=Role.VIEWER.value)
@json_option
def create_key(name: str, role: str, *, as_json: bool) -> None:
    """Make a key and print it, this once."""

    async def create() -> None:
        async with _database() as connection:
            _, secret = await keys.create(connection, name, Role(role), utc_now(), "cli")
        printed = {"name": name, "role": role, "key": secret.reveal()}
        click.echo(msgspec.json.encode(printed) if as_json else secret.reveal())

    _run(create)


@keys_group.command("list")
@json_option
def list_keys(*, as_json: bool) -> None:
    """List the keys, revoked ones too."""

    async def show() -> None:
        async with _database() as connection:
            found = await keys.list_all(connection)
        if as_json:
            click.echo(msgspec.json.encode(found))
            return
        _print_table(
            ["name", "role", "begins with", "created", "revoked"],
            [[k.name, k.role, k.prefix, str(k.created_at), str(k.revoked_at or "")] for k in found],
        )

    _run(show)


@keys_group.command("revoke")
@click.argument("name")
def revoke_key(name: str) -> None:
    """End a key; sessions opened with it end as well."""

    async def revoke() -> None:
        async with _database() as connection:
            await keys.revoke(connection, name, utc_now())

    _run(revoke)


def _settings() -> Settings:
    try:
        return load()
    except SettingsError as error:
        click.echo(f"vigia: {error}", err=True)
        sys.exit(EXIT_USAGE)


@asynccontextmanager
async def _database() -> AsyncIterator[Connection]:
    """The database of the running service, or one started for this command alone."""
    async with open_engine(_settings(), share=True) as engine:
        connection: Connection = await psycopg.AsyncConnection.connect(
            engine.dsn, autocommit=True, prepare_threshold=None
        )
        async with connection:
            await migrate(connection)
            yield connection


def _run(command: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run to the end; what a user can mend is one line, and everything else a traceback."""
    try:
        uvloop.run(command())
    except (DomainError, EngineError, MigrationError, SettingsError, OSError) as error:
        click.echo(f"vigia: {error}", err=True)
        sys.exit(EXIT_FAILURE)


def _print_table(columns: list[str], rows: list[list[str]]) -> None:
    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
