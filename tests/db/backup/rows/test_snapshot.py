"""What a backup of a server reads is of one moment, whatever others do meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from db.backup import tables
from db.backup.rows.snapshot import Snapshot, open_snapshot
from db.engine import Engine
from db.pool import DatabasePool
from db.queries import Connection
from model.errors import ConflictError

FILL = b"""
INSERT INTO system_metrics (time, series_id, value)
SELECT time, 1, 7 FROM generate_series('2026-01-01'::timestamptz, '2026-01-04', '1 minute') time;
UPDATE tiers SET compress_after = '1 hour' WHERE name = 'raw';
"""
MAINTAIN = b"""CALL maintain(NULL, '{"now": "2026-01-04 12:00+00", "force": true}')"""
IS_WAITING = """
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 7318009 AND NOT granted)
"""
WAIT_S = 20.0


@pytest.fixture
async def server(engine: Engine, pool: DatabasePool) -> AsyncIterator[Connection]:
    if engine.embedded:
        pytest.skip("the embedded engine has one session, and its files are copied")
    async with pool.connection() as connection:
        await connection.execute(FILL)
    async with await psycopg.AsyncConnection.connect(engine.dsn, autocommit=True) as connection:
        yield connection


async def rows_of(snapshot: Snapshot, name: str) -> int:
    [reading] = [one for one in snapshot.readings if one.source.name == name]
    return (await tables.count(snapshot.connection, reading, lambda _: None)).rows


async def is_waiting(pool: DatabasePool) -> bool:
    async with pool.connection() as connection:
        row = await (await connection.execute(IS_WAITING)).fetchone()
        return row is not None and bool(row[0])


async def maintain(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(MAINTAIN)


async def test_others_write_and_the_snapshot_stays_as_it_was(
    server: Connection, pool: DatabasePool
) -> None:
    async with open_snapshot(server) as snapshot:
        async with pool.connection() as connection:
            await connection.execute(FILL.replace(b"time, 1, 7", b"time, 2, 7"))
            await connection.execute("DELETE FROM system_metrics WHERE series_id = 1")
        assert await rows_of(snapshot, "system_metrics") == 3 * 1440 + 1


async def test_no_chunk_is_compressed_under_a_snapshot(
    server: Connection, pool: DatabasePool, engine: Engine
) -> None:
    async with open_snapshot(server) as snapshot:
        maintaining = asyncio.create_task(maintain(engine.dsn))
        async with asyncio.timeout(WAIT_S):
            while not await is_waiting(pool):
                assert not maintaining.done()
        assert await rows_of(snapshot, "system_metrics") == 3 * 1440 + 1
        async with pool.connection() as connection:
            # Whoever waits holds nothing that others need.
            async with asyncio.timeout(WAIT_S):
                await connection.execute("SELECT count(*) FROM system_metrics")
                await connection.execute("UPDATE tiers SET keep = keep")
    await maintaining

    async with open_snapshot(server) as snapshot:
        assert await rows_of(snapshot, "system_metrics") == 3 * 1440 + 1
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed"
        )
        assert await cursor.fetchone() == (3,)


async def test_a_table_of_somebody_else_is_named_and_left_out(
    server: Connection, pool: DatabasePool
) -> None:
    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE somebody_elses (id int)")
    try:
        async with open_snapshot(server) as snapshot:
            assert snapshot.left_out == ["somebody_elses"]
            assert "somebody_elses" not in {one.source.name for one in snapshot.readings}
    finally:
        async with pool.connection() as connection:
            await connection.execute("DROP TABLE somebody_elses")


async def test_a_database_of_another_version_is_refused(
    server: Connection, pool: DatabasePool
) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, '', '')"
        )
    try:
        with pytest.raises(ConflictError, match="schema is at version 9999, but this program"):
            async with open_snapshot(server):
                pass
    finally:
        async with pool.connection() as connection:
            await connection.execute("DELETE FROM schema_migrations WHERE version = 9999")
