"""One real TimescaleDB for the whole run: native where there is one, else the embedded engine."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from db.engine import Engine, open_engine
from db.migrate import migrate
from db.pool import open_pool
from db.queries import Pool
from vigia.settings import Secret, Settings

NATIVE_URL = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
RESET = Path(__file__).with_name("reset.sql").read_bytes()


@asynccontextmanager
async def _native_database(name: str) -> AsyncIterator[str]:
    """A database of this run's own, in which nothing happens by itself."""
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    async with await psycopg.AsyncConnection.connect(NATIVE_URL, autocommit=True) as server:
        await server.execute(drop)
        await server.execute(create)
        dsn = psycopg.conninfo.make_conninfo(NATIVE_URL, dbname=name)
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:
            await own.execute("CREATE EXTENSION timescaledb")
            await own.execute("SELECT _timescaledb_functions.stop_background_workers()")
        try:
            yield dsn
        finally:
            await server.execute(drop)


@pytest.fixture(scope="session")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    if NATIVE_URL:
        async with _native_database(f"vigia_test_{os.getpid()}") as dsn:
            async with open_engine(Settings(database_url=Secret(dsn))) as native:
                yield native
    else:
        data_dir = tmp_path_factory.mktemp("engine")
        async with open_engine(Settings(data_dir=data_dir)) as embedded:
            yield embedded


@pytest.fixture(scope="session")
async def migrated_pool(engine: Engine) -> AsyncIterator[Pool]:
    async with open_pool(engine.dsn, embedded=engine.embedded) as opened:
        async with opened.connection() as connection:
            await migrate(connection)
        yield opened


@pytest.fixture
async def pool(migrated_pool: Pool) -> Pool:
    """A pool on a database that holds nothing but the schema."""
    async with migrated_pool.connection() as connection:
        await connection.execute(RESET)
    return migrated_pool
