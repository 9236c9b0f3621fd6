"""Creates databases for benchmarks: with the reference data, rolled up and compressed, or empty."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from psycopg import sql

from bench import named
from bench.cpu import process_s
from bench.databases import address, connect, drop, stop_workers
from bench.reference import STEP_S, Reference
from config import store as config
from config.model import Retention
from db import queries
from db.migrate import migrate, shipped
from db.queries import Connection
from model.series import Column, Kind, labels_of
from retention import tiers
from retention.apply import apply
from samples import series
from samples.insert import insert_batch
from samples.write_batch import WriteBatch

_QUERIES = named.load(__file__)
NAMES = _QUERIES["names"]
COMMENT = _QUERIES["comment"]
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


class Filled(Struct, frozen=True):
    """The cost of filling a database, in wall-clock seconds and CPU seconds of its backends."""

    samples: int
    copy_s: float
    copy_cpu_s: float
    maintain_s: float
    maintain_cpu_s: float

    @property
    def copy_cpu_us(self) -> float:
        """CPU for each sample."""
        return self.copy_cpu_s / self.samples * 1_000_000

    @property
    def maintain_cpu_us(self) -> float:
        """CPU for each sample, to roll up, compress and drop."""
        return self.maintain_cpu_s / self.samples * 1_000_000


def _name(purpose: str, data: Reference) -> str:
    """Return a database name that depends on the data, the tables, and the retention."""
    parts = [*(migration.sql for migration in shipped()), repr(Filled.__struct_fields__).encode()]
    tables = hashlib.sha256(b"".join(parts)).hexdigest()
    return f"vigia_bench_{purpose}_{data.fingerprint}_{tables[:8]}"


@asynccontextmanager
async def loaded(url: str, purpose: str, data: Reference, *, keep: bool) -> AsyncIterator[str]:
    """Yield the address of a database with the data. `keep` keeps it for the next run."""
    name = _name(purpose, data)
    async with await connect(url) as server:
        names = await _names(server, f"vigia_bench_{purpose}_")
        for other in names - ({name} if keep else set()):
            await drop(server, other)
        try:
            if not keep or name not in names:
                await _create(server, url, name, data)
            yield address(url, name)
        finally:
            if not keep:
                await drop(server, name)


@asynccontextmanager
async def empty(url: str, purpose: str) -> AsyncIterator[str]:
    """Yield the address of an empty database without background jobs."""
    name = f"vigia_bench_{purpose}"
    async with await connect(url) as server:
        await drop(server, name)
        try:
            await server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            async with await connect(address(url, name)) as connection:
                await _install(connection)
            yield address(url, name)
        finally:
            await drop(server, name)


async def _install(connection: Connection) -> None:
    # Background jobs would disturb the measurements.
    await connection.execute("CREATE EXTENSION timescaledb")
    await stop_workers(connection)


async def _create(server: Connection, url: str, name: str, data: Reference) -> None:
    """Fill a database under a temporary name, so that one with the right name is complete."""
    unfinished = f"{name}_unfinished"
    old, new = sql.Identifier(unfinished), sql.Identifier(name)
    await server.execute(sql.SQL("CREATE DATABASE {}").format(old))
    try:
        filled = await _fill(address(url, unfinished), data)
        # The cost is stored with the data, for later runs that find them.
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}")
        said = sql.Literal(msgspec.json.encode(filled).decode())
        await server.execute(comment.format(old, said))
    except BaseException:
        await drop(server, unfinished)
        raise
    await server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, new))


async def read_filled(connection: Connection) -> Filled:
    """Return the cost of filling the database of a connection."""
    return msgspec.json.decode(await queries.value(connection, COMMENT), type=Filled)


async def _fill(dsn: str, data: Reference) -> Filled:
    """Migrate, extend the raw retention, copy the data, and run the maintenance."""
    async with await connect(dsn) as connection:
        await _install(connection)
        await migrate(connection)
        await config.write(connection, "retention", msgspec.to_builtins(WIDE), data.end, "bench")
        await apply(connection, WIDE)
        ids = await _number(connection, data)
        days = np.array_split(np.arange(len(data.times)), (data.end - data.start).days)
        began = time.perf_counter()
        copies = [_copy(dsn, data, ids, days[first::COPIERS]) for first in range(COPIERS)]
        copy_cpu_s = sum(await asyncio.gather(*copies))
        await _distribute(connection, data, ids)
        copy_s = time.perf_counter() - began
        backend = connection.info.backend_pid
        before_s, began = process_s(backend), time.perf_counter()
        await tiers.maintain(connection, data.end)
        maintain_s, used_s = time.perf_counter() - began, process_s(backend) - before_s
        await connection.execute("ANALYZE")
    return Filled(data.samples, copy_s, copy_cpu_s, maintain_s, used_s)


async def _number(connection: Connection, data: Reference) -> NDArray[np.int64]:
    rows = await series.upsert(connection, data.series)
    numbers = {(row.metric, row.component, labels_of(row.labels)): row.id for row in rows}
    ids = [numbers[one.metric, one.component, one.labels] for one in data.series]
    first = data.times[np.argmin(np.isnan(data.values), axis=1)]
    await queries.run(
        connection,
        STATES,
        ids=ids,
        values=data.values[:, -1].tolist(),
        first=[datetime.fromtimestamp(time, UTC) for time in first.tolist()],
        last=data.end - timedelta(seconds=STEP_S),
    )
    return np.array(ids)


async def _distribute(connection: Connection, data: Reference, ids: NDArray[np.int64]) -> None:
    """Store the samples of distributions as the writer does, with their bucket counts."""
    rows = [n for n, one in enumerate(data.series) if one.kind is Kind.DISTRIBUTION]
    if rows:
        there = [~np.isnan(data.values[row]) for row in rows]
        columns = [
            Column(data.series[row], data.times[where] * 1_000_000, data.values[row][where])
            for row, where in zip(rows, there, strict=True)
        ]
        known = {data.series[row]: int(ids[row]) for row in rows}
        async with connection.transaction():
            await insert_batch(connection, known, WriteBatch(columns), can_copy=True)


async def _copy(
    dsn: str, data: Reference, ids: NDArray[np.int64], days: Sequence[NDArray[np.int64]]
) -> float:
    """Copy the samples slot by slot, and return the CPU seconds of the backend.

    The order is that of the writer, because it decides how full the pages are.
    """
    plain = [n for n, one in enumerate(data.series) if one.kind is not Kind.DISTRIBUTION]
    ids, values = ids[plain], data.values[plain]
    async with await connect(dsn) as connection, connection.cursor() as cursor:
        for day in days:
            rows = np.empty((len(day), len(ids)), COPY_ROW)
            rows["fields"], rows["time_bytes"], rows["id_bytes"], rows["value_bytes"] = 3, 8, 4, 8
            rows["time"] = ((data.times[day] - POSTGRES_EPOCH_S) * 1_000_000)[:, None]
            rows["id"], rows["value"] = ids, values[:, day].T
            rows = rows[~np.isnan(rows["value"])]
            async with cursor.copy(COPY) as copy:
                await copy.write(COPY_HEADER + rows.tobytes() + COPY_END)
        return process_s(connection.info.backend_pid)


async def _names(server: Connection, prefix: str) -> set[str]:
    cursor = await server.execute(NAMES, {"prefix": prefix})
    return {name for (name,) in await cursor.fetchall()}
