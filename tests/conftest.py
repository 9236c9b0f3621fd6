"""One real TimescaleDB for the whole run: native where there is one, else the embedded engine."""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from db.engine import Engine, open_engine
from db.migrate import migrate
from db.pool import DatabasePool, open_pool
from runtime.settings import Secret, Settings

NATIVE_URL = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
DOCKER = Path("/var/run/docker.sock")
COMPOSE = Path(__file__).parent.parent / "docker-compose.yml"
TESTS = Path(__file__).parent
MEMORY = Path("/dev/shm")
MEMORY_FREE_BYTES_MIN = 4 << 30
RESET = Path(__file__).with_name("reset.sql").read_bytes()

# A slow example is no failure: other processes may have the processor.
settings.register_profile("vigia", deadline=None)
settings.load_profile("vigia")

DATABASE_FIXTURES = {"engine", "environment"}
"""Whoever uses one of these, directly or through another fixture, needs a database."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a database, and begin with what takes longest, so that no worker idles."""
    for item in items:
        if DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("db")
    items.sort(key=lambda item: item.path.parent.relative_to(TESTS).parts[:1] != ("system",))


@asynccontextmanager
async def _native_database(url: str, name: str) -> AsyncIterator[str]:
    """A database of this run's own, in which nothing happens by itself."""
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as server:
        await server.execute(drop)
        await server.execute(create)
        dsn = psycopg.conninfo.make_conninfo(url, dbname=name)
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:
            await own.execute("CREATE EXTENSION timescaledb")
            await own.execute("SELECT _timescaledb_functions.stop_background_workers()")
        try:
            yield dsn
        finally:
            await server.execute(drop)


def _docker_answers() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(DOCKER)) == 0


@contextmanager
def _container() -> Iterator[str]:
    """A server in a container of the image that the compose file names."""
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415 (slow, seldom needed)

    compose = COMPOSE.read_text(encoding="utf-8")
    [image] = re.findall(r"image: (timescale/timescaledb:\S+)", compose)
    with PostgresContainer(image, driver=None) as container:
        yield container.get_connection_url()


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A native server's address; empty where there is none, and the embedded engine serves."""
    if NATIVE_URL or not _docker_answers():
        yield NATIVE_URL
        return
    with _container() as url:
        yield url


@pytest.fixture(scope="session")
def engine_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is room, since a reset creates and deletes many files."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_FREE_BYTES_MIN:
        yield tmp_path_factory.mktemp("engine")
        return
    with tempfile.TemporaryDirectory(prefix="vigia-test-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
async def engine(server_url: str, engine_folder: Path) -> AsyncIterator[Engine]:
    if not server_url:
        settings = Settings(data_dir=engine_folder)
        async with open_engine(settings, may_forget=True) as embedded:
            yield embedded
        return
    async with (
        _native_database(server_url, f"vigia_test_{os.getpid()}") as dsn,
        open_engine(Settings(database_url=Secret(dsn))) as native,
    ):
        yield native


@pytest.fixture(scope="session")
async def migrated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose embedded database is migrated and has no rows.

    To copy it takes a tenth of a second, where a first start takes three. What starts on an empty
    one is tested in test_wheel.py and tests/db.
    """
    folder = tmp_path_factory.mktemp("migrated")
    async with (
        open_engine(Settings(data_dir=folder)) as engine,
        open_pool(engine.dsn, embedded=True) as pool,
        pool.connection() as connection,
    ):
        await migrate(connection)
    return folder


@pytest.fixture
def database_url(engine: Engine) -> str:
    """The address of this run's database, as VIGIA_DATABASE_URL takes it."""
    words = psycopg.conninfo.conninfo_to_dict(engine.dsn)
    return f"postgresql:///?{urlencode(words, quote_via=quote)}"


@pytest.fixture(scope="session")
async def migrated_pool(engine: Engine) -> AsyncIterator[DatabasePool]:
    async with open_pool(engine.dsn, embedded=engine.embedded) as opened:
        async with opened.connection() as connection:
            await migrate(connection)
        yield opened


@pytest.fixture
async def pool(migrated_pool: DatabasePool) -> DatabasePool:
    """A pool on a database that holds nothing but the schema."""
    async with migrated_pool.connection() as connection:
        await connection.execute(RESET)
    return migrated_pool


@pytest.fixture
async def away(engine: Engine) -> DatabasePool:
    """A pool whose database cannot be reached any more."""
    async with open_pool(engine.dsn, embedded=engine.embedded) as closed:
        pass
    return closed
