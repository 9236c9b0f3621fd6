"""Creates databases for benchmarks on a native server, without any code of the product."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from bench import named
from bench.cpu import OWN

_QUERIES = named.load(__file__)
CREATE_EXTENSION = _QUERIES["create_extension"]
START_WORKERS = _QUERIES["start_workers"]
STOP_WORKERS = _QUERIES["stop_workers"]

Connection = AsyncConnection[TupleRow]


@asynccontextmanager
async def fresh(url: str, name: str) -> AsyncIterator[str]:
    """Yield the address of an empty database without background jobs, and drop it at the end.

    It has no parallel workers, so that the CPU of a backend is all CPU of its statements.
    """
    database = sql.Identifier(name)
    async with await connect(url) as server:
        await drop(server, name)
        try:
            await server.execute(sql.SQL("CREATE DATABASE {}").format(database))
            alone = sql.SQL("ALTER DATABASE {} SET max_parallel_workers_per_gather = 0")
            await server.execute(alone.format(database))
            async with await connect(address(url, name)) as connection:
                await connection.execute(CREATE_EXTENSION)
                await stop_workers(connection)
            yield address(url, name)
        finally:
            await drop(server, name)


async def stop_workers(connection: Connection) -> None:
    """Stop TimescaleDB's background jobs in this database."""
    await connection.execute(STOP_WORKERS)


async def start_workers(connection: Connection) -> None:
    """Start TimescaleDB's background jobs again."""
    await connection.execute(START_WORKERS)


def address(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()


async def drop(server: Connection, name: str) -> None:
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    await server.execute(statement.format(sql.Identifier(name)))


async def connect(dsn: str) -> Connection:
    return await psycopg.AsyncConnection.connect(dsn, autocommit=True, application_name=OWN)
