"""Databases of their own: one that holds the reference data, rolled up and compressed; or empty."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from bench import named
from bench.reference import STEP_S, Reference
from db import config, queries, series, tiers
from db.config import Retention
from db.migrate import migrate, shipped
from db.queries import Connection
from retention.apply import apply
from vigia.model import labels_of

_QUERIES = named.load(__file__)
NAMES = _QUERIES["names"]
STOP_WORKERS = _QUERIES["stop_workers"]
COPY = _QUERIES["copy"]
STATES = _QUERIES["states"]

WIDE = Retention(raw_days=60)
COPIERS = 2
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"
COPY_ROW = np.dtype(
    [("fields", ">i2"), ("time_bytes", ">i4"), ("time", ">i8"), ("id_bytes", ">i4"), ("id", ">i4"),
     ("value_bytes", ">i4"), ("value", ">f8")]
)  # fmt: skip
POSTGRES_EPOCH_S = 946_684_800


def _name(purpose: str, data: Reference) -> str:
    """Return a name that changes with the data and with our tables."""
    tables = hashlib.sha256(b"".join(migration.sql for migration in shipped())).hexdigest()
    return f"vigia_bench_{purpose}_{data.fingerprint}_{tables[:8]}"


@asynccontextmanager
async def loaded(url: str, purpose: str, data: Reference, *, keep: bool) -> AsyncIterator[str]:
    """Hand out the address of a database with the data; `keep` leaves it for the next run."""
    name = _name(purpose, data)
    async with await _connect(url) as server:
        names = await _names(server, f"vigia_bench_{purpose}_")
        for other in names - ({name} if keep else set()):
            await _drop(server, other)
        try:
            if not keep or name not in names:
                await _create(server, url, name, data)
            yield _address(url, name)
        finally:
            if not keep:
                await _drop(server, name)


@asynccontextmanager
async def empty(url: str, purpose: str) -> AsyncIterator[str]:
    """Hand out the address of a database in which nothing is, or happens by itself."""
    name = f"vigia_bench_{purpose}"
    async with await _connect(url) as server:
        await _drop(server, name)
        try:
            await server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            async with await _connect(_address(url, name)) as connection:
                await _install(connection)
            yield _address(url, name)
        finally:
            await _drop(server, name)


async def _install(connection: Connection) -> None:
    # Nothing is to happen by itself, neither between two measurements nor during one.
    await connection.execute("CREATE EXTENSION timescaledb")
    await queries.run(connection, STOP_WORKERS)


async def _create(server: Connection, url: str, name: str, data: Reference) -> None:
    """Fill a database under another name, so that one with the right name is whole."""
    unfinished = f"{name}_unfinished"
    old, new = sql.Identifier(unfinished), sql.Identifier(name)
    await server.execute(sql.SQL("CREATE DATABASE {}").format(old))
    try:
        await _fill(_address(url, unfinished), data)
    except BaseException:
        await _drop(server, unfinished)
        raise
    await server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, new))


async def _fill(dsn: str, data: Reference) -> None:
    """Migrate, widen the raw retention, copy, and let the maintenance do what it does for users."""
    async with await _connect(dsn) as connection:
        await _install(connection)
        await migrate(connection)
        await config.write(connection, "retention", msgspec.to_builtins(WIDE), data.end, "bench")
        await apply(connection, WIDE)
        ids = await _number(connection, data)
        days = np.array_split(np.arange(len(data.times)), (data.end - data.start).days)
        async with asyncio.TaskGroup() as group:
            for first in range(COPIERS):
                group.create_task(_copy(dsn, data, ids, days[first::COPIERS]))
        await tiers.maintain(connection, data.end)
        await connection.execute("ANALYZE")


async def _number(connection: Connection, data: Reference) -> NDArray[np.int64]:
    rows = await series.upsert(connection, data.series)
    numbers = {(row.metric, row.component, labels_of(row.labels)): row.id for row in rows}
    ids = [numbers[one.metric, one.component, one.labels] for one in data.series]
    first, last = data.start, data.end - timedelta(seconds=STEP_S)
    values = data.values[:, -1].tolist()
    await queries.run(connection, STATES, ids=ids, values=values, first=first, last=last)
    return np.array(ids)


async def _copy(
    dsn: str, data: Reference, ids: NDArray[np.int64], days: Sequence[NDArray[np.int64]]
) -> None:
    """Copy slot by slot, as the writer stores them: the order decides how full the pages are."""
    async with await _connect(dsn) as connection, connection.cursor() as cursor:
        for day in days:
            rows = np.empty((len(day), len(ids)), COPY_ROW)
            rows["fields"], rows["time_bytes"], rows["id_bytes"], rows["value_bytes"] = 3, 8, 4, 8
            rows["time"] = ((data.times[day] - POSTGRES_EPOCH_S) * 1_000_000)[:, None]
            rows["id"], rows["value"] = ids, data.values[:, day].T
            async with cursor.copy(COPY) as copy:
                await copy.write(COPY_HEADER + rows.tobytes() + COPY_END)


async def _names(server: Connection, prefix: str) -> set[str]:
    cursor = await server.execute(NAMES, {"prefix": prefix})
    return {name for (name,) in await cursor.fetchall()}


def _address(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()


async def _drop(server: Connection, name: str) -> None:
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    await server.execute(statement.format(sql.Identifier(name)))


async def _connect(dsn: str) -> Connection:
    connection: Connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    return connection
