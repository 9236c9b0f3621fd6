"""A database to back up, and a fresh one of the same kind to restore into."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from db.backup.making import Made, Wanted, make
from db.backup.progress import Silent
from db.backup.restoring import Target
from db.engine import Engine
from db.queries import Connection
from notifications.outbox.pause import PAUSE_RESTORED
from runtime.settings import Secret, Settings


@pytest.fixture
def source(engine: Engine, tmp_path: Path) -> Settings:
    """The settings of a service with the database of this run."""
    return source_of(engine, tmp_path)


def source_of(engine: Engine, folder: Path) -> Settings:
    if engine.embedded:
        return Settings(data_dir=Path(str(conninfo_to_dict(engine.dsn)["host"])))
    return Settings(data_dir=folder / "source", database_url=Secret(engine.dsn))


@pytest.fixture
async def fresh(engine: Engine, tmp_path: Path) -> AsyncIterator[Settings]:
    """The settings of a service that never ran."""
    data_dir = tmp_path / "fresh"
    if engine.embedded:
        yield Settings(data_dir=data_dir)
        return
    name = sql.Identifier(f"vigia_restored_{os.getpid()}")
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
    async with await psycopg.AsyncConnection.connect(engine.dsn, autocommit=True) as server:
        await server.execute(drop)
        await server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        dsn = make_conninfo(engine.dsn, dbname=f"vigia_restored_{os.getpid()}")
        yield Settings(data_dir=data_dir, database_url=Secret(dsn))
        await server.execute(drop)


async def back_up(engine: Engine, source: Settings, folder: Path, spool: Path) -> Made:
    wanted = Wanted(folder=folder, reason="a test", spool=spool, closing=(PAUSE_RESTORED,))
    return await make(engine, source, wanted, Silent())


async def nothing(_: Connection) -> None:
    """Leave what was restored as it is."""


def target_of(fresh: Settings, *, replace: bool = False) -> Target:
    return Target(settings=fresh, spool=fresh.data_dir / "spool", replace=replace, finish=nothing)
